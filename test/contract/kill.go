package contract

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/torture/tally"
)

// childEnv names the file with the order for a process that is to be killed.
const (
	childEnv  = "RUNBOOK_CONTRACT_ORDER"
	orderName = "order"
)

// order is what a child process does.
type order struct {
	Undo    bool
	Request engine.StepRequest
	Change  engine.Change
}

// Child carries out an order and exits, if this process was started for one.
// It has to come first in TestMain.
func Child(reg *engine.Registry) {
	path := os.Getenv(childEnv)
	if path == "" {
		return
	}
	// strace counts system calls per thread.
	runtime.LockOSThread()
	if err := carryOut(reg, path); err != nil {
		complain(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func carryOut(reg *engine.Registry, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	h := host.NewLocal(reg)
	if o.Undo {
		return h.Undo(context.Background(), o.Request, o.Change, quiet{})
	}
	_, err = h.Apply(context.Background(), o.Request, o.Change, quiet{})
	return err
}

// changing are the system calls that change names, owners, modes or content,
// or make them durable; strace need not know those with a question mark.
// write is left to the cases: the runtime uses it too.
var changing = []string{
	"fsync", "fdatasync", "syncfs", "sync_file_range",
	"rename", "renameat", "renameat2", "link", "linkat", "symlinkat", "unlink", "unlinkat", "rmdir",
	"mkdir", "mkdirat", "mknodat", "chown", "lchown", "fchown", "fchownat",
	"chmod", "fchmod", "fchmodat", "?fchmodat2", "setxattr", "lsetxattr", "fsetxattr", "lremovexattr",
	"truncate", "ftruncate", "fallocate", "copy_file_range", "pwrite64", "utimensat",
}

// survivesKill kills Apply and Undo at each of their calls that change
// something, in a fresh scene each time. What follows has to end as if nothing
// had happened. Since a call that is killed is not carried out, and the kill
// at the next one finds it done, both sides of every call are covered.
func (s suite) survivesKill(t *testing.T) {
	if s.looks() && !s.c.Kills {
		return // no scene of it can be half-way
	}
	var trace, back []string
	var after, count string
	again(t, func() {
		ref := s.stage(t)
		trace = ref.record(t, false)
		after, count = ref.scene.Observe(t), ref.scene.count(t)
		back = ref.record(t, true)
	})

	inApply := s.eachPoint(t, trace, func(t *testing.T, p point) bool {
		st := s.stage(t)
		killed := st.kill(t, false, p)
		st.plan(t) // the examination of a step in flight
		st.apply(t, st.change)
		st.is(t, "killed, then applied again", after)
		if got := st.scene.count(t); got != count {
			t.Errorf("killed, then applied again: %s, want %s", got, count)
		}
		return killed
	})
	tally.Count(t, "kill points in an action's Apply, then applied again", len(inApply))
	before := s.eachPoint(t, trace, func(t *testing.T, p point) bool {
		st := s.stage(t)
		killed := st.kill(t, false, p)
		want := st.undone(st.scene.Observe(t))
		st.undo(t)
		st.is(t, "killed, then undone", want)
		return killed
	})
	tally.Count(t, "kill points in an action's Apply, then undone", len(before))
	inUndo := s.eachPoint(t, back, func(t *testing.T, p point) bool {
		st := s.stage(t)
		st.apply(t, st.change)
		killed := st.kill(t, true, p)
		st.undo(t)
		st.is(t, "Undo killed, then undone again", st.undone(after))
		return killed
	})
	tally.Count(t, "kill points in an action's Undo, then undone again", len(inUndo))
	if len(inApply) == 0 {
		t.Error("Apply made no call that can be killed; name its calls in Case.Syscalls")
	}
	if !t.Failed() {
		killings{s, inApply, inUndo, after, count}.survived(t)
	}
}

// A point is the call at which a process is killed: the nth of its kind.
type point struct {
	call string
	nth  int
}

func (p point) String() string { return fmt.Sprintf("%s number %d", p.call, p.nth) }

// eachPoint calls try for the first, second, … occurrence of each of calls,
// until nothing is killed any more. It returns where it was.
func (s suite) eachPoint(t *testing.T, calls []string, try func(t *testing.T, p point) bool) (points []point) {
	t.Helper()
	for _, call := range calls {
		for nth, killed := 1, true; killed && !t.Failed(); nth++ {
			p := point{call, nth}
			if again(t, func() { killed = try(t, p) }); killed {
				points = append(points, p)
			}
			if t.Failed() {
				t.Logf("killed at %s", p)
			}
		}
	}
	return points
}

// record runs an undisturbed child and returns which of the calls it makes.
func (st stage) record(t *testing.T, undo bool) []string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	calls := strings.Join(slices.Concat(changing, st.c.Syscalls), ",")
	if st.trace(t, undo, log, "-e", "trace="+calls) {
		t.Fatal("the undisturbed process was killed")
	}
	text, err := os.ReadFile(log)
	fatal(t, "trace", err)
	var made []string
	for _, m := range regexp.MustCompile(`(?m)^\d+ +(\w+)\(`).FindAllSubmatch(text, -1) {
		made = append(made, string(m[1]))
	}
	slices.Sort(made)
	return slices.Compact(made)
}

// kill runs a child that is killed when one of its threads gets to a point. It
// reports whether it was.
func (st stage) kill(t *testing.T, undo bool, p point) bool {
	t.Helper()
	return st.trace(t, undo, os.DevNull, "-e", "trace="+p.call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.call, p.nth))
}

// trace runs a child under strace and reports whether it was killed.
func (st stage) trace(t *testing.T, undo bool, log string, options ...string) bool {
	t.Helper()
	cmd := st.traced(t, undo, log, options...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		giveUpWith(string(out))
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return false
}

// traced is a child under strace.
func (st stage) traced(t *testing.T, undo bool, log string, options ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	fatal(t, "executable", err)
	path := filepath.Join(t.TempDir(), orderName)
	data := encoded(t, order{Undo: undo, Request: st.request, Change: st.change})
	fatal(t, "order", os.WriteFile(path, []byte(data), 0o600))
	// Its option --seccomp-bpf would be faster, but then no signal arrives.
	// A program that the action starts is let go: what it does is its own.
	args := append([]string{"-f", "-b", "execve", "-qq", "-e", "signal=none", "-o", log}, options...)
	cmd := exec.CommandContext(t.Context(), "strace", append(args, exe)...)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	return cmd
}
