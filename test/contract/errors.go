package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/test/strace"
	"runbook/test/torture/tally"
)

// survivesErrors fails Apply and Undo at each of their calls that the disk can
// fail, in a fresh scene each time: once, and for good. The error has to say
// where and what, and once the cause is gone another Apply has to end as if
// nothing had happened, and Undo to take all back.
func (s suite) survivesErrors(t *testing.T) {
	if s.looks() && !s.c.Kills || !tally.Full() {
		return // it takes half as long as all the rest: make torture does it
	}
	var forth, back []strace.Fault
	var after, count string
	again(t, func() {
		ref := s.stage(t)
		forth = ref.faults(t, false)
		after, count = ref.scene.Observe(t), ref.scene.count(t)
		back = ref.faults(t, true)
	})
	undone := inTurn(forth)
	if _, another := met.LoadOrStore(s.c.Action, true); another {
		forth, undone, back = inTurn(forth), everyThird(undone), inTurn(back)
	}

	s.eachFault(t, "errors in an action, applied again", forth, func(t *testing.T, f strace.Fault) bool {
		st := s.stage(t)
		hit := st.failWith(t, false, f)
		if hit.failed {
			st.plan(t)
			st.apply(t, st.change)
			hit.isMadeAnew(t)
		}
		st.is(t, "after the error, and applied again where it failed", after)
		if got := st.scene.count(t); got != count {
			t.Errorf("after the error: %s, want %s", got, count)
		}
		return hit.met
	})
	s.eachFault(t, "errors in an action, undone", undone, func(t *testing.T, f strace.Fault) bool {
		st := s.stage(t)
		hit := st.failWith(t, false, f)
		want := st.undone(st.scene.Observe(t))
		st.undo(t)
		st.is(t, "after the error and Undo", want)
		return hit.met
	})
	s.eachFault(t, "errors in an undo, undone again", back, func(t *testing.T, f strace.Fault) bool {
		st := s.stage(t)
		st.apply(t, st.change)
		hit := st.failWith(t, true, f)
		if hit.failed {
			st.undo(t)
		}
		st.is(t, "after an error in Undo, and undone again where it failed", st.undone(after))
		return hit.met
	})
}

// met are the actions of which a case has met all errors. The others of their
// cases meet fewer: they go over much of the same ground, and all of it would take
// most of a day.
var met sync.Map

// inTurn takes of each call one of the errors that it may meet, another one from
// call to call. Undo looks at what is there, and not at why.
func inTurn(all []strace.Fault) (some []strace.Fault) {
	type call struct {
		name string
		nth  int
	}
	of := map[call][]strace.Fault{}
	for _, f := range all {
		c := call{f.Calls[0], f.Nth}
		if f.Lasting {
			c.name = "any"
		}
		of[c] = append(of[c], f)
	}
	for c, those := range of {
		some = append(some, those[c.nth%len(those)])
	}
	slices.SortFunc(some, func(a, b strace.Fault) int { return strings.Compare(a.String(), b.String()) })
	return some
}

func everyThird(all []strace.Fault) (some []strace.Fault) {
	for i := 0; i < len(all); i += 3 {
		some = append(some, all[i])
	}
	return some
}

// selection is of how many faults one is tried in a quick run.
const selection = 40

func (s suite) eachFault(t *testing.T, what string, all []strace.Fault, try func(t *testing.T, f strace.Fault) (met bool)) {
	t.Helper()
	n := 0
	for _, f := range all {
		if s.c.Fills && f.Err() != unix.EMFILE || !tally.Takes(s.c.Action+s.c.Name+what+f.String(), selection) {
			continue
		}
		t.Run(what+"/"+f.String(), func(t *testing.T) {
			met := false
			again(t, func() { met = try(t, f) })
			if met && !t.Failed() {
				n++
			}
		})
	}
	tally.Count(t, what, n)
}

// faults runs an undisturbed child and lists what can happen to its calls from
// where it has its order.
func (st stage) faults(t *testing.T, undo bool) []strace.Fault {
	t.Helper()
	log := filepath.Join(t.TempDir(), "trace")
	out, code := st.child(t, undo, log, strace.Traced()...)
	if code != 0 {
		t.Fatalf("the undisturbed process fails: %s", out)
	}
	made, err := strace.Read(log)
	fatal(t, "trace", err)
	ordered := slices.IndexFunc(made, readsOrder)
	all := strace.Faults(made, func(c strace.Call) bool { return c.At > ordered })
	return slices.DeleteFunc(all, func(f strace.Fault) bool { return slices.ContainsFunc(f.Met(made), strace.Call.Talks) })
}

func readsOrder(c strace.Call) bool {
	return c.Name == "openat" && filepath.Base(c.Paths()[0]) == orderName
}

// child runs a child under strace, whatever it ends with.
func (st stage) child(t *testing.T, undo bool, log string, options ...string) (out string, code int) {
	t.Helper()
	cmd := st.traced(t, undo, log, append([]string{"-y"}, options...)...)
	ended := endWith(cmd, patience)
	text, err := cmd.CombinedOutput()
	ended()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	giveUpWith(string(text))
	return string(text), cmd.ProcessState.ExitCode()
}

// patience bounds how long a child may take: many times as long as any takes.
const patience = 90 * time.Second

// endWith kills a command that is about to start, and all that it starts, once it
// takes too long. What is returned has to be called when it has ended.
func endWith(cmd *exec.Cmd, within time.Duration) (ended func()) {
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	timer := time.AfterFunc(within, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
	return func() { timer.Stop() }
}

// hit is what a fault did to a process.
type hit struct {
	met    bool // it came to the fault
	failed bool // and ended with an error
	// unsynced are files that couldn't be synced, held open so that their
	// inodes aren't given away.
	unsynced []unsynced
}

type unsynced struct {
	path   string
	file   *os.File
	before unix.Stat_t
}

// failWith runs a child that meets f. A child that fails has to say where and
// what; one that doesn't, copes, which it can't with what was not synced.
func (st stage) failWith(t *testing.T, undo bool, f strace.Fault) hit {
	t.Helper()
	started := time.Now()
	log := filepath.Join(t.TempDir(), "log")
	out, code := st.child(t, undo, log, f.Arguments()...)
	made, err := strace.Read(log)
	fatal(t, "trace", err)
	injected := made.Injected()
	if len(injected) == 0 {
		if code != 0 {
			t.Fatalf("it fails without the fault: %s", out)
		}
		return hit{}
	}
	if slices.ContainsFunc(injected, func(c strace.Call) bool { return c.Foreign() || readsOrder(c) }) {
		return hit{failed: code != 0} // no disk is behind a pipe or a socket, and no product behind the order
	}
	h := hit{met: true, failed: code != 0}
	if !h.failed {
		copes(t, injected)
		return h
	}
	if code != 1 {
		t.Fatalf("it ends with code %d:\n%s", code, out)
	}
	c, err := complaintIn(out)
	fatal(t, "complaint", err)
	c.isClear(t, f, injected)
	h.hold(t, injected, started)
	return h
}

// copes fails where a process that could not sync something says that it did
// well. A hint to the kernel may fail.
func copes(t *testing.T, injected strace.Calls) {
	t.Helper()
	for _, c := range injected {
		if c.Syncs() {
			t.Errorf("it says that all is well although this failed: %s", c.Text)
		}
	}
}

// hold keeps the files that the process wrote and couldn't sync. The kernel may
// have dropped what it couldn't write, and a later fsync says nothing of it.
func (h *hit) hold(t *testing.T, injected strace.Calls, since time.Time) {
	t.Helper()
	for _, c := range injected {
		if !c.Syncs() {
			continue
		}
		path := c.Paths()[0]
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed again
		}
		fatal(t, "hold", err)
		t.Cleanup(func() { f.Close() })
		u := unsynced{path: path, file: f}
		fatal(t, "hold", unix.Fstat(int(f.Fd()), &u.before))
		written := time.Unix(u.before.Mtim.Unix()).After(since)
		if u.before.Mode&unix.S_IFMT == unix.S_IFREG && u.before.Size > 0 && written {
			h.unsynced = append(h.unsynced, u)
		}
	}
}

// isMadeAnew fails where a file that couldn't be synced was taken as it was.
func (h hit) isMadeAnew(t *testing.T) {
	t.Helper()
	for _, u := range h.unsynced {
		var now unix.Stat_t
		fatal(t, "stat", unix.Fstat(int(u.file.Fd()), &now))
		if now.Nlink > 0 && now.Mtim == u.before.Mtim {
			t.Errorf("%s couldn't be synced, and was used as it was: what it holds may not be on disk", u.path)
		}
	}
}

// complaint is an error as a child tells it.
type complaint struct{ Text, Where, Hint string }

const complaintMark = "complaint: "

// complain writes err to standard error by a call that no test makes fail.
func complain(err error) {
	c := complaint{Text: err.Error(), Hint: engine.HintOf(err)}
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		c.Where = e.Where
	}
	text, encodeErr := json.Marshal(c)
	if encodeErr != nil {
		text = []byte(encodeErr.Error())
	}
	_, _ = unix.Writev(2, [][]byte{[]byte("\n" + complaintMark), text, []byte("\n")}) // the exit code tells too
}

func complaintIn(out string) (c complaint, err error) {
	_, text, found := strings.Cut(out, "\n"+complaintMark)
	if !found {
		return c, fmt.Errorf("it fails without a word: %s", out)
	}
	text, _, _ = strings.Cut(text, "\n")
	return c, json.Unmarshal([]byte(text), &c)
}

// isClear fails unless the error says what happened, and to what: the file of
// one of the calls that failed, one beside it, or its directory.
func (c complaint) isClear(t *testing.T, f strace.Fault, injected strace.Calls) {
	t.Helper()
	if c.Where == "" {
		t.Errorf("the error has no place: %s", c.Text)
	}
	// A library may keep from us why.
	if what := f.Err().Error(); !strings.Contains(c.Text, what) && !strings.Contains(c.Text, "could not be synced") {
		t.Errorf("the error doesn't say %q: %s", what, c.Text)
	}
	if !slices.ContainsFunc(injected, c.names) {
		t.Errorf("the error doesn't name what failed: %s\nbut this failed: %s", c.Text, injected[0].Text)
	}
}

// names reports whether the error names what a call was about, something
// beside it, or a directory that it is in. A file that is known to the call by its number
// alone is better known to the error.
func (c complaint) names(call strace.Call) bool {
	return slices.ContainsFunc(call.Paths(), func(path string) bool {
		return strings.HasPrefix(path, "/proc/") || strings.Contains(c.Text, filepath.Dir(path)) || strings.HasPrefix(path, c.Where+"/")
	})
}
