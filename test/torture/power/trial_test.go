package power

import (
	"fmt"
	"runtime"
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
	what   string // of the summary table
	before disk
	calls  []call
	screen string
	start  *model
	after  disk
	want   string // what is in the work directory in the end
}

// recorded runs a command on the disk before, from the number next on, and
// follows it with the model, which has to come to what the kernel came to.
func (b *bench) recorded(t *testing.T, what string, before disk, next uint64, args ...string) *trial {
	t.Helper()
	mount(t, b.root)
	before.layOut(t, b.root, next)
	tr := &trial{bench: b, what: what, before: before, start: newModel(before, next)}
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
		t.Errorf("%s: the screen says %v, and not all is durable\n%s", tr.what, r.screen, difference(want, got))
	}
}

// cutPower cuts the power after every call, in every way, and sees how it goes
// on. command says what to do in a state; nothing where all is done.
func (tr *trial) cutPower(t *testing.T, command func(*run.State) []string) {
	s := newCuts(tally.Chance(t))
	r := tr.replay()
	s.add(r.model, r.screen, "the beginning")
	tr.follow(t, r, func(c call) { s.add(r.model, r.screen, c.String()) })
	chosen := s.order
	if !tally.Full() {
		s.chance.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:min(len(chosen), quick)]
	}
	t.Logf("%s: %d points, %d states, %d are tried", tr.what, s.points, len(s.order), len(chosen))
	onAllThreads(t, tr.what, chosen, func(t *testing.T, c *cut) { tr.survives(t, c, r.next, command) })
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

// quick is how many states of a trial are tried in `make test`.
const quick = 30

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
