package e2e

import (
	"testing"

	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/systemdhost"
)

// An etcd whose unit has a name of its own is found, with the backups that the
// installed schedule takes elsewhere; and its damage, without any argument.
func TestFoundByItself(t *testing.T) {
	const (
		unit    = "key-value.service"
		data    = "/var/lib/kv"
		backups = "/var/backups/kv"
	)
	s := bareScene(t)
	s.atEnd("rm -rf " + data + " " + backups + " /usr/lib/systemd/system/" + unit + "; systemctl daemon-reload")
	var err error
	s.etcd, err = etcdhost.Install(s.ctx, systemdhost.Here{}, etcdhost.Options{Unit: unit, DataDir: data, Flags: true})
	s.must(err)
	s.atEnd("systemctl stop " + unit + "; systemctl reset-failed")
	s.must(s.etcd.Start(s.ctx))
	s.must(s.etcd.Seed(s.ctx, keys))
	s.unschedule()
	s.runbook(0, "run", schedule, "--yes", "--var", "binary="+program.Path, "--var", "unit="+unit, "--var", "backup_dir="+backups, "--var", "name=nightly")
	s.atEnd("systemctl disable --now nightly.timer; rm -f /etc/systemd/system/nightly.*; systemctl daemon-reload")
	newest := s.sh("ls " + backups + "/*.db")

	s.contains(s.runbook(0, "read", "etcd_installation"), "runs_as unit", "unit "+unit, "data_dir "+data, "backup_dirs "+backups)
	s.contains(s.runbook(0, "read", "etcd_member"), "name cp1", "data_dir "+data, "owner etcd")
	s.contains(s.runbook(0, "read", "etcd_status"), "healthy true")
	s.contains(s.runbook(0, "read", "etcd_snapshot"), "path "+newest)
	s.contains(s.runbook(0, "read", "etcd_backups"), "newest "+newest)

	s.breakEtcd()
	s.contains(s.runbook(0, "read", "etcd_diagnosis"), "recommended restore", "data_dir "+data, newest)
	s.contains(s.runbook(0, "read", "etcd_loss"), "snapshot_keys")
	s.contains(s.runbook(0, "read", "etcd_status"), "reachable false")
}
