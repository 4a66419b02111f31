package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"runbook/test/etcdhost"
)

const drillScratch = "/var/tmp/runbook-drill"

// A backup is rehearsed beside a running etcd, which notices nothing.
func TestBackupWithARehearsal(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	before := s.unitState()
	out := s.runbook(0, "run", backup, "--yes", "--var", "drill=true")
	s.contains(out, "can be restored, etcd starts on it, and holds all its keys", "recovery_seconds = ")
	snapshot := filepath.Join(backupDir, s.snapshots(backupDir)[0])
	s.contains(s.runbook(0, "drill", snapshot), fmt.Sprintf("%d keys", keys), "It would have saved you")
	if after := s.unitState(); after != before {
		t.Errorf("the unit is %s, was %s", after, before)
	}
	if d := s.digest(); d.Keys != keys {
		t.Errorf("etcd has %d keys, want %d", d.Keys, keys)
	}
	s.sh("! ls " + drillScratch)

	torn := backupDir + "/backup-torn.db"
	s.sh(fmt.Sprintf("head -c 100000 %s > %s", snapshot, torn))
	s.contains(s.runbook(1, "drill", torn), "It would not have saved you")
	s.contains(s.runbook(1, "drill", snapshot, "--scratch", dataDir), "too near")
	s.sh("! ls " + drillScratch)
}

// After a drill that was killed the next one finds its remains and leaves
// nothing of either.
func TestKilledDrillLeavesNothing(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	snapshot := s.takeBackup()
	for _, call := range []string{"fsync", "renameat2", "fdatasync"} {
		code, out := s.try("strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+call+":signal=KILL:when=2",
			s.binary, "drill", snapshot)
		if code == 0 {
			t.Fatalf("it wasn't killed at %s\n%s", call, out)
		}
	}
	s.contains(s.runbook(0, "drill", snapshot), "It would have saved you")
	s.sh("! ls " + drillScratch)
}
