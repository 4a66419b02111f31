package disasters

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/test/disaster"
	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/systemdhost"
)

const (
	recovery  = "runbook run etcd-recover.hcl"
	look      = "runbook plan etcd-recover.hcl"
	diagnosis = "runbook read etcd_diagnosis --json"
	backup    = "runbook run etcd-backup.hcl --yes"
)

// machine is the host that this process is in, with an etcd that is set up anew
// for each disaster.
type machine struct {
	systemdhost.Here
	etcd *etcdhost.Etcd
}

var _ disaster.Site = (*machine)(nil)

// fresh leaves nothing of earlier disasters. An etcd that is to be taken away may
// be masked, or not be there.
const fresh = `
	systemctl unmask etcd.service
	for unit in etcd.service etcd-old.service; do
		if systemctl cat $unit >/dev/null 2>&1; then systemctl stop $unit; fi
	done
	rm -f /etc/systemd/system/etcd*.service
	systemctl daemon-reload
	systemctl reset-failed
	if id etcd >/dev/null 2>&1; then pkill -KILL -u etcd || true; fi
	rm -rf /var/lib/runbook /var/lib/etcd* /srv/etcd /var/backups/etcd
	install -d -m 0700 /var/backups/etcd
	journalctl --quiet --rotate
	journalctl --quiet --vacuum-time=1us`

func (m *machine) Reset(ctx context.Context) error {
	binary, err := program.Build()
	if err != nil {
		return err
	}
	if err := m.sh(ctx, fresh+"\nln -sf "+binary+" /usr/local/bin/runbook"); err != nil {
		return err
	}
	// By flags, as one of them may be misspelt.
	if m.etcd, err = etcdhost.Install(ctx, m.Here, etcdhost.Options{Flags: true}); err != nil {
		return err
	}
	return m.etcd.Start(ctx)
}

func (m *machine) sh(ctx context.Context, script string) error {
	out, err := m.Command(ctx, "sh", "-ec", script).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return err
}

func (m *machine) Client(ctx context.Context) (*clientv3.Client, error) { return m.etcd.Client(ctx) }

func (m *machine) Backup(ctx context.Context) error {
	return m.sh(ctx, backup+" && rm -rf /var/lib/runbook")
}

// Objects has nothing to write: nobody uses this etcd but by its own protocol.
func (m *machine) Objects(context.Context, *disaster.Ledger, *clientv3.Client, bool) error {
	return nil
}

// Serves waits until etcd takes writes.
func (m *machine) Serves(ctx context.Context) error {
	c, err := m.Client(ctx)
	if err != nil {
		return err
	}
	_, err = c.Put(ctx, "/written", "after the recovery")
	return errors.Join(err, c.Close())
}

// Whole sees that it is the unit that serves, and no other etcd.
func (m *machine) Whole(ctx context.Context, _ *disaster.Ledger, _ *clientv3.Client) error {
	state, err := m.etcd.State(ctx)
	if err == nil && state != "active" {
		return fmt.Errorf("%s is %s", m.etcd.Unit, state)
	}
	return err
}
