package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"runbook/test/etcdhost"
	"runbook/test/program"
)

const (
	copyDir = "/var/backups/copies"
	copies  = `copies=["` + copyDir + `"]`
)

// snapshots lists the snapshots in dir, the oldest first.
func (s *scene) snapshots(dir string) []string {
	s.Helper()
	return strings.Fields(s.sh("ls -tr " + dir + " | grep '\\.db$' || true"))
}

// age makes a snapshot and what belongs to it older by so many days.
func (s *scene) age(path string, days int) {
	s.Helper()
	s.sh(fmt.Sprintf("for f in %s.*; do touch -d '%d days ago' $f; done", strings.TrimSuffix(path, ".db"), days))
}

// A backup with everything: copies, an archive of the configuration, and old
// ones deleted with what belongs to them, here and there.
func TestBackupWithCopiesAndPrune(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.sh("install -d " + copyDir)
	vars := []string{"--yes", "--var", copies, "--var", `archive=["/etc/default"]`, "--var", "keep_within=48h"}
	s.runbook(0, append([]string{"run", backup}, vars...)...)
	old := s.snapshots(backupDir)[0]
	for _, dir := range []string{backupDir, copyDir} {
		s.age(dir+"/"+old, 3)
	}
	out := s.runbook(0, append([]string{"run", "-v", backup}, vars...)...)
	s.contains(out, backupDir+"/"+old+": snapshot of", "→ deleted for good", "can't be undone: deleted snapshots can't be brought back",
		"on the same device as etcd's data in "+dataDir)
	for _, dir := range []string{backupDir, copyDir} {
		left := s.snapshots(dir)
		if len(left) != 1 || left[0] == old {
			t.Fatalf("%s holds %v, the old one is %s", dir, left, old)
		}
		if got := s.sh("stat -c '%a %U' " + dir + "/*"); got != "600 root\n600 root" {
			t.Errorf("in %s: %s", dir, got)
		}
		s.sh("etcdutl snapshot status " + filepath.Join(dir, left[0]))
		s.sh("tar -tzf " + dir + "/*.tar.gz | grep -qx etc/default/etcd")
	}
	s.sh("cmp " + backupDir + "/*.db " + copyDir + "/*.db; cmp " + backupDir + "/*.tar.gz " + copyDir + "/*.tar.gz")

	s.breakEtcd()
	s.runbook(0, "run", restore, "--yes", "--var", "backup_dir="+copyDir)
	if d := s.digest(); d.Keys != keys {
		t.Errorf("%d keys from the copy, want %d", d.Keys, keys)
	}
}

// After a week of failed backups the last good snapshot is still there, however
// old it is, and nothing stands in the way of the next backup.
func TestFailedBackupsDeleteNothing(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	vars := []string{"run", backup, "--yes", "--var", "keep_within=24h"}
	s.runbook(0, vars...)
	good := s.snapshots(backupDir)[0]
	s.age(backupDir+"/"+good, 8)
	s.stop()
	for range 7 {
		s.contains(s.runbook(5, vars...), "connection refused")
	}
	s.sh(fmt.Sprintf("head -c 100000 %[1]s/%[2]s > %[1]s/backup-torn.db; touch -d '2 days ago' %[1]s/backup-torn.db", backupDir, good))
	s.must(s.etcd.Start(s.ctx))
	s.contains(s.runbook(0, "run", prunesOnly(t), "--yes"), "backup-torn.db stays, but doesn't verify")
	if left := s.snapshots(backupDir); len(left) != 2 || left[0] != good {
		t.Fatalf("left %v", left)
	}
	s.runbook(0, vars...) // a good one of today: now the old one may go
	if left := s.snapshots(backupDir); len(left) != 2 || left[0] != "backup-torn.db" {
		t.Errorf("left %v", left)
	}
}

// prunesOnly is a runbook that deletes by age, whatever the backups came to.
func prunesOnly(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prune.hcl")
	writeFile(t, path, `runbook "prune" {}
step "etcd_snapshot_prune" "prune" {
  directory   = "`+backupDir+`"
  keep_within = "24h"
}
`)
	return path
}

// A backup that was killed stands in nobody's way.
func TestKilledBackupBlocksNobody(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	code, out := s.try("strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", "inject=renameat2:signal=KILL:when=2",
		s.binary, "run", backup, "--yes")
	if code != 128+9 || !s.begun() {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	s.breakEtcd()
	s.contains(s.runbook(0, "run", restore, "--yes"), "of etcd-backup was cut short", "is given up")
	s.contains(s.runbook(0, "list"), "abandoned")
}

// scheduleVars are for a timer that elapses all the time.
var scheduleVars = []string{"--var", "binary=" + program.Path, "--var", "on_calendar=*-*-* *:*:00/5", "--var", "randomized_delay=0", "--var", copies}

// unscheduled is what a host looks like that has no schedule.
const unscheduled = "systemctl cat etcd-backup.timer etcd-backup.service; ls -d /etc/systemd/system/etcd-backup.* /etc/systemd/system/*/etcd-backup.*"

// unschedule removes the timer at the end of the test, if it is there still.
func (s *scene) unschedule() {
	s.Cleanup(func() {
		s.ctx = context.Background()
		s.sh("(systemctl disable --now etcd-backup.timer; systemctl stop etcd-backup.service) || true; " +
			"rm -rf /etc/systemd/system/etcd-backup.* /etc/systemd/system/.etcd-backup.*; systemctl daemon-reload; systemctl reset-failed || true")
	})
}

// The schedule is installed, takes the first backup itself, and the timer takes
// the next. Rolled back, nothing of it is left.
func TestBackupSchedule(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.unschedule()
	s.sh("install -d " + copyDir)
	s.contains(s.sh("("+unscheduled+") 2>&1 || true"), "No files found")
	s.runbook(0, append([]string{"run", schedule, "--yes"}, scheduleVars...)...)
	id := strings.Fields(s.sh(s.binary + " list | grep etcd-backup-schedule"))[0]
	if first := s.snapshots(backupDir); len(first) != 1 {
		t.Fatalf("after the schedule was installed: %v", first)
	}
	if state := s.sh("systemctl is-enabled etcd-backup.timer; systemctl is-active etcd-backup.timer"); state != "enabled\nactive" {
		t.Error(state)
	}
	s.contains(s.runbook(0, append([]string{"plan", schedule}, scheduleVars...)...), "Nothing to do", "is armed already")

	s.await(t, "test $(ls "+backupDir+"/*.db | wc -l) -ge 2")
	s.await(t, "systemctl show -P Result etcd-backup.service | grep -qx success && "+s.binary+" list | grep 'etcd-backup .*finished'")
	newest := s.snapshots(backupDir)[1]
	s.sh("etcdutl snapshot status " + backupDir + "/" + newest)
	s.sh("cmp " + backupDir + "/" + newest + " " + copyDir + "/" + newest)

	s.sh("systemctl stop etcd-backup.timer")
	s.await(t, "! systemctl is-active etcd-backup.service")
	s.runbook(0, "rollback", id, "--yes")
	if left := s.sh("(" + unscheduled + ") 2>/dev/null || true"); left != "" {
		t.Errorf("left after the rollback: %s", left)
	}
	if left := s.snapshots(backupDir); len(left) == 0 || left[0] != newest {
		t.Errorf("snapshots left after the rollback: %v, with %s", left, newest)
	}
}

// Where the first backup fails, no timer is left behind.
func TestBackupScheduleThatFails(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.unschedule()
	s.sh("install -d " + copyDir)
	s.stop()
	s.contains(s.runbook(5, append([]string{"run", schedule, "--yes"}, scheduleVars...)...), "connection refused")
	if left := s.sh("(" + unscheduled + ") 2>/dev/null || true"); left != "" {
		t.Errorf("left: %s", left)
	}
}
