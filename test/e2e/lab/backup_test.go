package lab

import (
	"strings"
	"testing"
)

// The timer is installed, fires, and its backups are whole; a rollback takes it
// away.
func TestScheduledBackups(t *testing.T) {
	s := newScene(t)
	// Three backups may come within one second: only keep_last is to count.
	const manifest = "manifest=/etc/kubernetes/manifests/etcd.yaml"
	s.runbook(0, "run", "etcd-backup-schedule.hcl", "--yes", "--var", manifest, "--var", "keep_last=2",
		"--var", "keep_within=1ms", "--var", "keep_daily=0", "--var", "keep_weekly=0")
	s.contains(s.sh("systemctl list-timers --all --no-pager"), "etcd-backup.timer")
	for range 2 {
		s.sh("systemctl start etcd-backup.service")
	}
	files := strings.Fields(s.sh("ls " + backupDir))
	dbs, archives := 0, 0
	for _, f := range files {
		if strings.HasSuffix(f, ".db") {
			dbs++
		}
		if strings.HasSuffix(f, ".tar.gz") {
			archives++
		}
	}
	if dbs != 2 || archives == 0 {
		t.Errorf("two snapshots are to be kept, with their keys: %v", files)
	}
	if modes := s.sh("stat -c %a " + backupDir + "/* | sort -u"); modes != "600" {
		t.Errorf("the modes of the backups are %q", modes)
	}
	s.contains(s.sh("tar -tzf "+backupDir+"/"+lastOf(files, ".tar.gz")), "etc/kubernetes/pki/etcd/ca.key")
}

func lastOf(files []string, suffix string) string {
	for i := len(files) - 1; i >= 0; i-- {
		if strings.HasSuffix(files[i], suffix) {
			return files[i]
		}
	}
	return ""
}
