package power

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// trial is a command that was recorded undisturbed, and what has to come of it
// after any power cut.
type trial struct {
	*bench
	name   string
	before disk
	calls  []call
	screen string
	start  *model
	after  disk
	want   string // what is in the work directory in the end
}

// recorded runs a command on the disk before, from the number next on, and
// follows it with the model, which has to come to what the kernel came to.
func (b *bench) recorded(t *testing.T, before disk, next uint64, args ...string) *trial {
	t.Helper()
	mount(t, b.root)
	before.layOut(t, b.root, next)
	tr := &trial{bench: b, name: args[0], before: before, start: newModel(before, next)}
	tr.calls, tr.screen = b.record(t, args...)
	tr.after = readDisk(t, b.root, b.began)
	r := tr.replay()
	tr.follow(t, r, func(call) {})
	tr.want = normal(t, tr.after, r.screen.run)
	return tr
}

func (tr *trial) replay() *replay { return newReplay(tr.start.clone(), tr.root, tr.screen) }

// follow replays the recorded calls, calls each after each that has changed
// something, and checks the model.
func (tr *trial) follow(t *testing.T, r *replay, each func(call)) {
	t.Helper()
	for _, c := range tr.calls {
		shown := len(r.screen.done) + len(r.screen.undone)
		changed, err := r.step(c)
		must(t, "replay", err)
		if !changed {
			continue
		}
		if len(r.screen.done)+len(r.screen.undone) != shown || r.screen.phase != "" {
			tr.lasting(t, r)
		}
		each(c)
	}
	if got, want := r.visible.text("/", true), tr.after.text("/", true); got != want {
		t.Fatalf("the model went astray\n%s", difference(want, got))
	}
}

// lasting fails unless all that was done is durable by now. It is asked where
// the screen says so.
func (tr *trial) lasting(t *testing.T, r *replay) {
	t.Helper()
	if got, want := r.durable.text(workDir, true), r.visible.text(workDir, true); got != want {
		t.Fatalf("%s: the screen says %v, and not all is durable\n%s", tr.name, r.screen, difference(want, got))
	}
}

// counts are how many cases of each kind are tried in `make test`.
type counts struct{ run, rollback, again, killed, rollbackKilled int }

// all tries a run and its rollback.
func (tr *trial) all(t *testing.T, what string, n counts) {
	back := tr.rolledBack(t)
	t.Run("run", func(t *testing.T) {
		tr.cutPower(t, "power cuts in a run of "+what+", gone on with", n.run, goOn(tr))
	})
	t.Run("rollback", func(t *testing.T) {
		back.cutPower(t, "power cuts in a rollback of "+what+", gone on with", n.rollback, rollBack)
	})
	t.Run("again", func(t *testing.T) {
		tr.cutAgain(t, "power cuts in a run of "+what+" that had gone on after one, gone on with", n.again)
	})
	t.Run("killed", func(t *testing.T) {
		tr.killed(t, "kills in a run of "+what+", with all on disk that its resume showed as done", n.killed, goOn(tr))
	})
	t.Run("rollback killed", func(t *testing.T) {
		back.killed(t, "kills in a rollback of "+what+", with all on disk that its resume showed as undone", n.rollbackKilled, rollBack)
	})
}

// cutPower cuts the power after every call, in every way, and sees how it goes
// on. command says what to do in a state; nothing where all is done.
func (tr *trial) cutPower(t *testing.T, what string, some int, command func(*run.State) []string) {
	t.Helper()
	s, next := tr.cuts(t)
	if !tally.Full() {
		s.draw(some)
	}
	tr.surviveAll(t, what, s.order, next, command)
}

// cuts are all states that a power cut may leave behind, and the number of the
// inode that would come next.
func (tr *trial) cuts(t *testing.T) (s *cuts, next uint64) {
	t.Helper()
	s = newCuts(tally.Chance(t))
	r := tr.replay()
	s.add(r.model, r.screen, "the beginning")
	tr.follow(t, r, func(c call) { s.add(r.model, r.screen, c.String()) })
	t.Logf("%s: %d points, %d states", tr.name, s.points, len(s.order))
	return s, r.next
}

func (tr *trial) surviveAll(t *testing.T, what string, all []*cut, next uint64, command func(*run.State) []string) {
	t.Helper()
	onAllThreads(t, what, all, func(t *testing.T, c *cut) { tr.survives(t, c, next, command) })
}

// cutAgain cuts the power in a run, has it go on, and cuts it once more.
func (tr *trial) cutAgain(t *testing.T, what string, some int) {
	t.Helper()
	private(t)
	s, next := tr.cuts(t)
	s.order = slices.DeleteFunc(s.order, func(c *cut) bool { return c.screen.run == "" || c.screen.phase != "" })
	firsts := 1
	if tally.Full() {
		firsts, some = 10, 50
	}
	s.draw(firsts)
	for _, c := range s.order {
		second := tr.recorded(t, c.disk, next, "resume", c.screen.run)
		second.before = tr.before
		if second.want != tr.want {
			t.Fatalf("after %s, with %s, it ended otherwise than an undisturbed run\n%s", c.at, c.what, difference(tr.want, second.want))
		}
		more, next := second.cuts(t)
		more.draw(some)
		second.surviveAll(t, what, more.order, next, goOn(tr))
	}
}

// onAllThreads tries all cases, each thread with mounts of its own.
func onAllThreads[C any](t *testing.T, what string, cases []C, try func(*testing.T, C)) {
	var next atomic.Int64
	var violated atomic.Bool
	t.Run("each", func(t *testing.T) {
		for thread := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(thread), func(t *testing.T) {
				t.Parallel()
				private(t)
				held := counter{t: t, what: what}
				defer func() {
					held.end()
					violated.CompareAndSwap(false, t.Failed())
				}()
				for i := next.Add(1) - 1; i < int64(len(cases)) && !t.Failed() && !violated.Load(); i = next.Add(1) - 1 {
					try(t, cases[i])
					held.one()
				}
			})
		}
	})
}

// survives lays out what a power cut has left, has the binary go on there, and
// checks what comes of it.
func (tr *trial) survives(t *testing.T, c *cut, next uint64, command func(*run.State) []string) {
	t.Helper()
	mount(t, tr.root)
	c.disk.layOut(t, tr.root, next)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("power cut after %s; there is %s.\n%s\nThe disk:\n%s", c.at, c.what, fmt.Sprintf(format, args...), c.disk.text("/", true))
	}
	if lost := tr.lost(c.disk); lost != "" {
		fail("%s is nowhere", lost)
	}
	state, err := tr.state()
	if err != nil {
		fail("the journal: %v", err)
	}
	if broken := c.screen.broken(state); broken != "" {
		fail("%s", broken)
	}
	if state == nil && c.disk.text(workDir, true) != tr.before.text(workDir, true) {
		fail("there is no run, and something has changed")
	}
	if args := command(state); len(args) > 0 {
		if code, out := tr.goOn(t, args...); code != 0 {
			fail("runbook %v: exit code %d\n%s", args, code, out)
		}
	}
	if state, err = tr.state(); err != nil || state == nil || state.Phase.Open() {
		fail("it ended with the journal saying %+v, %v", state, err)
	}
	if got := normal(t, readDisk(t, tr.root, tr.began), state.Header.Run.ID); got != tr.want {
		fail("it ended otherwise than an undisturbed run\n%s", difference(tr.want, got))
	}
}

// lost is a file whose content of before is nowhere any more, or "".
func (tr *trial) lost(d disk) (lost string) {
	there := map[string]bool{}
	d.walk(func(_ string, _ uint64, n *inode) {
		if n.kind == 'f' {
			there[n.sum()] = true
		}
	})
	tr.before.walk(func(path string, _ uint64, n *inode) {
		if n.kind == 'f' && strings.HasPrefix(path, workDir) && !there[n.sum()] {
			lost = path
		}
	})
	return lost
}

// state is that of the only run on the disk, nil where there is none.
func (tr *trial) state() (*run.State, error) {
	all, err := tr.store().List()
	switch {
	case err != nil || len(all) == 0:
		return nil, err
	case len(all) > 1:
		return nil, fmt.Errorf("there are %d runs", len(all))
	}
	return all[0].State, all[0].Err
}

// counter tells what was tried, a few at a time.
type counter struct {
	t    *testing.T
	what string
	n    int
}

func (c *counter) one() {
	if c.n++; c.n == 100 {
		c.end()
	}
}

func (c *counter) end() {
	if c.n > 0 && !c.t.Failed() {
		tally.Count(c.t, c.what, c.n)
	}
	c.n = 0
}

// goOn begins a run where none is left, and resumes one that isn't through.
func goOn(tr *trial) func(*run.State) []string {
	return func(s *run.State) []string {
		switch {
		case s == nil:
			return append([]string{"run", tr.runbook, "--yes"}, tr.args...)
		case s.Phase.Open():
			return []string{"resume", s.Header.Run.ID}
		}
		return nil
	}
}
