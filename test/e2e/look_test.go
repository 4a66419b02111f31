package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runbook/test/etcdhost"
	"runbook/test/torture/tally"
)

// opening are the system calls that change something if their flags say so.
var opening = []string{"open", "openat", "openat2"}

// changing are those that change something in any case. strace need not know
// those with a question mark.
var changing = []string{
	"?creat", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?rmdir", "?mkdir", "mkdirat",
	"?chmod", "fchmod", "fchmodat", "?fchmodat2", "?chown", "fchown", "?lchown", "fchownat",
	"truncate", "ftruncate", "fallocate", "?link", "linkat", "?symlink", "symlinkat", "?mknod", "mknodat",
	"setxattr", "lsetxattr", "fsetxattr", "?setxattrat", "removexattr", "lremovexattr", "fremovexattr", "?removexattrat",
	"?utime", "?utimes", "?futimesat", "utimensat",
	"mount", "umount2", "?move_mount", "?fsmount", "?mount_setattr", "pivot_root",
	"sethostname", "setdomainname", "?settimeofday", "?clock_settime", "?adjtimex", "?clock_adjtime", "reboot", "ptrace",
}

// forWriting are the flags of a file that is opened to be changed, and
// harmless the files that may be opened so.
var (
	forWriting = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE`)
	harmless   = regexp.MustCompile(`"/dev/null"|"/proc/self/`)
)

// changes returns the lines of a trace that are attempts to change something.
func changes(trace string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(trace), "\n"), func(line string) bool {
		_, call, _ := strings.Cut(line, " ") // after the process's number
		name, rest, ok := strings.Cut(strings.TrimSpace(call), "(")
		if !ok || strings.HasPrefix(name, "<... ") {
			return true // a signal, an exit, the end of an unfinished call
		}
		if name == "???" {
			return true // a thread of a process that ends: strace lets go of it between calls
		}
		return slices.Contains(opening, name) && (!forWriting.MatchString(rest) || harmless.MatchString(rest))
	})
}

// Looking makes no system call that changes something, whether or not the
// kernel would refuse it.
func TestLookingChangesNothing(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.runbook(0, "run", backup, "--yes")
	s.breakEtcd()
	for _, off := range []string{"", "1"} {
		t.Setenv("RUNBOOK_NO_LANDLOCK", off)
		for _, args := range [][]string{
			{"plan", restore}, {"validate", restore}, {"explain"}, {"explain", "step"}, {"list"}, {"show"}, {"report"}, {"report", "--html"},
			{"fmt", "--check", restore}, {"fmt", "--diff", restore},
			{"read", "etcd_diagnosis", "unit=etcd.service", `backups=["/var/backups/etcd"]`},
			{"read", "etcd_installation"}, {"read", "etcd_diagnosis"}, {"read", "etcd_member"}, {"read", "etcd_loss"}, {"read", "etcd_status"},
		} {
			if found := s.changesBy(args...); len(found) > 0 {
				t.Errorf("RUNBOOK_NO_LANDLOCK=%q runbook %s:\n%s", off, strings.Join(args, " "), strings.Join(found, "\n"))
				continue
			}
			tally.Count(t, "commands that look, watched in all their system calls, that changed nothing", 1)
		}
	}
}

// A trace that shows no change of a run would show none of a plan either.
func TestChangesAreSeen(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	if found := s.changesBy("run", backup, "--yes"); len(found) < 10 {
		t.Errorf("a run makes more changes than these:\n%s", strings.Join(found, "\n"))
	}
}

// changesBy runs the binary, which has to succeed, and returns its attempts to
// change something, with those of its children.
func (s *scene) changesBy(args ...string) []string {
	s.Helper()
	log := filepath.Join(s.TempDir(), "trace")
	calls := strings.Join(slices.Concat(opening, changing), ",")
	s.exec(0, "strace", append([]string{"-f", "-qq", "-o", log, "-e", "trace=" + calls, "-e", "signal=none", s.binary}, args...)...)
	text, err := os.ReadFile(log)
	s.must(err)
	return changes(string(text))
}

// The kernel holds a plan to looking, and says so where it can't.
func TestPlanIsHeldToLooking(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	if out := s.runbook(0, "plan", backup); strings.Contains(out, "does not hold") {
		t.Error(out)
	}
	t.Setenv("RUNBOOK_NO_LANDLOCK", "1")
	s.contains(s.runbook(0, "plan", backup), "the kernel does not hold this plan to looking: RUNBOOK_NO_LANDLOCK is set.")
}
