package kill

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// changing are the system calls that change something, or make it last: names,
// owners, modes, content, what another process is told. strace need not know
// those with a question mark.
var changing = []string{
	"pwrite64", "writev", "flock",
	"fsync", "fdatasync", "syncfs", "sync_file_range",
	"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir",
	"mkdir", "mkdirat", "mknodat", "chown", "lchown", "fchown", "fchownat",
	"chmod", "fchmod", "fchmodat", "?fchmodat2", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
	"truncate", "ftruncate", "fallocate", "copy_file_range", "sendfile", "splice", "utimensat", "mount", "umount2",
}

// sometimes are calls that change something in some of their forms, or wait for
// somebody else who does. Of what is written, that which is shown lasts no longer
// than the process, nor does what wakes its threads.
var sometimes = map[string]*regexp.Regexp{
	"write":   regexp.MustCompile(`^([3-9]|\d\d+)<(/|pipe:)|` + asks),
	"sendmsg": regexp.MustCompile(asks),
	"sendto":  regexp.MustCompile(asks),
	"openat":  regexp.MustCompile(`O_CREAT|O_TRUNC`),
	"ioctl":   regexp.MustCompile(`FICLONE|FS_IOC_SET`),
	"clone":   regexp.MustCompile(`CLONE_VFORK`), // starts a program, not a thread
	"waitid":  regexp.MustCompile(``),
	"read":    regexp.MustCompile(`^\d+<pipe:`), // waits for a program
}

// asks is part of a message by which systemd is asked to do something, rather
// than how something is.
const asks = `(Start|Stop|Restart|Reload|ResetFailed)Unit"|(Enable|Disable|Mask|Unmask)UnitFiles"|"Reload"`

// A point is where a process is killed: when it makes a call for the nth time,
// which it then doesn't carry out any more. Since the kill at the next call
// finds this one done, both sides of every call are covered.
type point struct {
	call string
	nth  int
}

func (p point) String() string { return p.call + " number " + strconv.Itoa(p.nth) }

// killedAt runs the binary until the point and reports whether it got there.
// Otherwise code and out are how it ended. A program that it starts is let go:
// a watcher is there to outlive it.
func (h *host) killedAt(p point, args ...string) (was bool, code int, out string) {
	h.Helper()
	inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.call, p.nth)
	code, out = h.strace(os.DevNull, append([]string{"-e", "trace=" + p.call, "-e", inject, h.binary}, args...)...)
	return code == killed, code, out
}

func (h *host) strace(log string, args ...string) (code int, out string) {
	h.Helper()
	return h.exec("strace", append([]string{"-f", "-b", "execve", "-qq", "-e", "signal=none", "-o", log}, args...)...)
}

// points runs the binary undisturbed and returns the points that its first
// thread passes, a kind of call after the other; strace counts each thread's
// calls by themselves. Changes that other threads make are elsewhere.
func (h *host) points(want int, args ...string) (all []point, elsewhere []string) {
	h.Helper()
	log := filepath.Join(h.TempDir(), "trace")
	calls := strings.Join(slices.Concat(changing, slices.Sorted(maps.Keys(sometimes))), ",")
	code, out := h.strace(log, append([]string{"-y", "-s", "1000", "-e", "trace=" + calls, h.binary}, args...)...)
	if code != want {
		h.Fatalf("%v under strace: exit code %d, want %d\n%s", args, code, want, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		h.Fatal(err)
	}
	return parse(string(text))
}

// traced is a call in strace's log: the thread, the call and what follows.
var traced = regexp.MustCompile(`(?m)^(\d+) +(\w+)\((.*)$`)

// toProcesses are calls that another thread may make: an order to a watcher,
// and what wakes this process's own threads.
var toProcesses = regexp.MustCompile(`^\d+<(pipe|anon_inode):`)

// looks are calls that another thread may make while the host is looked at: it reads
// the log of a unit with journalctl, and waits for that.
var looks = map[string]bool{"read": true, "clone": true, "waitid": true}

func parse(text string) (all []point, elsewhere []string) {
	counts := map[string]int{}
	first := ""
	for _, m := range traced.FindAllStringSubmatch(text, -1) {
		thread, call, rest := m[1], m[2], m[3]
		if first == "" {
			first = thread
		}
		form, some := sometimes[call]
		changes := !some || form.MatchString(rest)
		if thread != first {
			if changes && !toProcesses.MatchString(rest) && !looks[call] {
				elsewhere = append(elsewhere, m[0])
			}
			continue
		}
		if counts[call]++; changes {
			all = append(all, point{call, counts[call]})
		}
	}
	slices.SortStableFunc(all, func(a, b point) int { return strings.Compare(a.call, b.call) })
	return all, elsewhere
}
