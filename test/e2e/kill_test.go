package e2e

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"runbook/test/etcdhost"
)

// lasting are the system calls that make something last or give it its name.
// strace counts the calls of each group together.
var lasting = []string{"fsync,fdatasync,syncfs,sync_file_range", "?rename,?renameat,renameat2"}

// outcome is what a restore leaves behind.
type outcome struct {
	digest     etcdhost.Digest
	data, kept string
	unit       string
}

// The restore is killed with SIGKILL at its first, second, third, … fsync and
// rename. Resumed, it always ends as an undisturbed run does.
func TestRestoreKilledEverywhere(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.breakEtcd()
	damaged := filepath.Join(t.TempDir(), "damaged")
	s.sh("cp -a " + dataDir + " " + damaged)

	s.runbook(0, "run", restore, "--yes")
	want := s.outcome()
	points := 0
	for _, calls := range lasting {
		for n := 1; s.killedAt(damaged, calls, n); n++ {
			points++
			if got := s.outcome(); got != want {
				t.Fatalf("killed at %s number %d, then resumed:\n%+v\nwant:\n%+v", calls, n, got, want)
			}
		}
	}
	t.Logf("kill points survived: %d", points)
	if points < 20 {
		t.Errorf("only %d kill points: the restore has more fsyncs and renames than that", points)
	}
}

// killedAt lays out the damaged data, runs the restore until its n-th call of
// calls, and resumes it. It reports whether the run was killed at all.
func (s *scene) killedAt(damaged, calls string, n int) bool {
	s.Helper()
	s.stop()
	s.sh("rm -rf " + dataDir + "* " + stateDir + "; cp -a " + damaged + " " + dataDir)
	strace := []string{"-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + calls,
		"-e", "inject=" + calls + ":signal=KILL:when=" + strconv.Itoa(n), s.binary, "run", restore, "--yes"}
	code, out := s.try("strace", strace...)
	if code == 0 {
		return false
	}
	if code != 128+9 {
		s.Fatalf("killed at %s number %d: exit code %d\n%s", calls, n, code, out)
	}
	if s.begun() {
		s.runbook(0, "resume")
	} else { // killed before the run existed: nothing to resume, and nothing done
		s.runbook(0, "run", restore, "--yes")
	}
	return true
}

// begun reports whether there is a run that can be resumed.
func (s *scene) begun() bool {
	s.Helper()
	_, out := s.try(s.binary, "list")
	return strings.Contains(out, "interrupted")
}

func (s *scene) outcome() outcome {
	s.Helper()
	kept := strings.Fields(s.sh("ls -d " + dataDir + ".*"))
	if len(kept) != 1 {
		s.Fatalf("beside the data directory: %v, want one kept directory", kept)
	}
	o := outcome{digest: s.digest(), unit: s.unitState()}
	s.stop() // a running etcd writes
	o.data, o.kept = tree(s.T, dataDir, false), tree(s.T, kept[0], true)
	return o
}
