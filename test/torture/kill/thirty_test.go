package kill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"runbook/test/torture/tally"
)

// stages are the processes of an undisturbed run, and of its rollback. Each ends
// where somebody has to agree, or with the run.
var stages = []struct {
	codes []int
	args  func(run string) []string
}{
	{waiting, func(string) []string { return []string{"run", thirty, "--yes"} }},
	{done, func(run string) []string { return []string{"approve", run, "aside"} }},
	{waiting, func(string) []string { return []string{"resume"} }},
	{done, func(run string) []string { return []string{"approve", run, "count"} }},
	{done, func(string) []string { return []string{"resume"} }},
	{done, func(string) []string { return []string{"rollback", "--yes"} }},
}

const rollback = 5 // its stage

// A kill is a point of a stage. In some series the two processes that follow
// are killed too.
type kill struct {
	stage int
	point
	next [2]point
}

func (k kill) String() string {
	text := fmt.Sprintf("%s of stage %d", k.point, k.stage)
	if k.next[0].nth > 0 {
		text += fmt.Sprintf(", then at %s, then at %s", k.next[0], k.next[1])
	}
	return text
}

// outcomes are how a scene looks before the run and after it, undisturbed.
type outcomes struct{ before, after outcome }

type outcome struct{ state, plan, ledger string }

// A run of thirty steps is killed with SIGKILL at each call that changes
// something, and resumed; or rolled back; and what resumes it or rolls it back is
// killed as well. It always ends as an undisturbed run does, or leaves nothing
// of it, and every effect comes once.
func TestThirtyStepsKilledEverywhere(t *testing.T) {
	h := newHost(t)
	h.prepare()
	want, forward, back := h.reference()
	c := chooser{tally.Chance(t)}
	again := slices.DeleteFunc(slices.Clone(forward), func(k kill) bool { return k.stage != 2 && k.stage != 4 })

	h.each("resumed", c.some(forward, 8, len(forward)), func(s *scene, k kill) {
		if s.dies(k) {
			s.goOn()
			s.isDone(want)
			s.held("kill points of a run of 32 steps, then resumed")
		}
	})
	h.each("rolled back", c.some(forward, 3, 80), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			s.held("kill points of a run of 32 steps, a sample, then rolled back")
		}
	})
	h.each("rollback", c.some(back, 3, 80), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			s.held("kill points of its rollback, a sample, then resumed")
		}
	})
	h.each("resumes", c.with(again, c.some(forward, 3, 60)), func(s *scene, k kill) {
		if s.dies(k) && s.diesOn(k.next[0]) && s.diesOn(k.next[1]) {
			s.goOn()
			s.isDone(want)
			s.held("runs of 32 steps killed, and twice again while resumed, then resumed")
		}
	})
	h.each("rollbacks", c.with(back, c.some(forward, 3, 60)), func(s *scene, k kill) {
		if s.dies(k) && s.diesBack(k.next[0]) && s.diesBack(k.next[1]) {
			s.goBack()
			s.isUndone(want)
			s.held("runs of 32 steps killed, and twice again while rolled back, then resumed")
		}
	})
}

// held counts what was tried, where it held.
func (s *scene) held(what string) {
	s.Helper()
	if !s.Failed() {
		tally.Count(s, what, 1)
	}
}

// reference carries the run out undisturbed, and its rollback. It tells what it
// comes to, and where the run and the rollback can be killed.
func (h *host) reference() (want outcomes, forward, back []kill) {
	h.Helper()
	s := h.newScene("0")
	s.reset()
	want.before = s.outcome()
	for stage := range stages {
		for _, p := range s.points(stages[stage].codes[0], s.args(stage)...) {
			if stage == rollback {
				back = append(back, kill{stage: stage, point: p})
			} else {
				forward = append(forward, kill{stage: stage, point: p})
			}
		}
		if stage == rollback-1 {
			want.after = s.outcome()
			s.isDone(want)
		}
	}
	s.isUndone(want)
	if s.Failed() {
		s.Fatal("it doesn't hold where nothing disturbs it")
	}
	return want, forward, back
}

// chooser chooses by chance.
type chooser struct{ *rand.Rand }

// some returns a number of kills: the first number in make test, the second in
// make torture.
func (c chooser) some(from []kill, quick, full int) []kill {
	n := quick
	if tally.Full() {
		n = full
	}
	from = slices.Clone(from)
	c.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:min(n, len(from))]
}

// with gives each kill two more: early ones, as what goes on after a kill may be
// short.
func (c chooser) with(from, kills []kill) []kill {
	early := slices.DeleteFunc(slices.Clone(from), func(k kill) bool {
		return k.nth > 15 || !slices.Contains(changing, k.call) && k.call != "write"
	})
	for i := range kills {
		kills[i].next = [2]point{early[c.IntN(len(early))].point, early[c.IntN(len(early))].point}
	}
	return kills
}

// each tries every one of kills, in several scenes at once.
func (h *host) each(name string, kills []kill, try func(*scene, kill)) {
	h.Helper()
	var next atomic.Int64
	ok := h.Run(name, func(t *testing.T) {
		for n := range atOnce {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				own := *h
				own.T, own.ctx = t, t.Context()
				s := own.newScene(fmt.Sprint(n))
				for i := next.Add(1) - 1; int(i) < len(kills) && !t.Failed(); i = next.Add(1) - 1 {
					if try(s, kills[i]); t.Failed() {
						t.Logf("killed at %s", kills[i])
						next.Store(int64(len(kills)))
					}
				}
			})
		}
	})
	if !ok {
		h.FailNow()
	}
}

// upTo resets the scene and carries out the stages before one.
func (s *scene) upTo(stage int) {
	s.Helper()
	s.reset()
	for i := range stage {
		s.runbook(stages[i].codes, s.args(i)...)
	}
}

// args are those of a stage, for the run that there is.
func (s *scene) args(stage int) []string {
	s.Helper()
	return stages[stage].args(s.id())
}

// dies carries a run out up to a point at which it is killed. A point that it
// doesn't get to, because less had to be waited for this time, is none.
func (s *scene) dies(k kill) bool {
	s.Helper()
	s.upTo(k.stage)
	return s.killedOr(stages[k.stage].codes, k.point, s.args(k.stage))
}

// killedOr reports whether the binary was killed at the point. Otherwise it has
// to end with one of the codes.
func (s *scene) killedOr(codes []int, p point, args []string) bool {
	s.Helper()
	was, code, out := s.killedAt(p, args...)
	if !was && !slices.Contains(codes, code) {
		s.Fatalf("not killed at %s, but exit code %d\n%s", p, code, out)
	}
	return was
}

// onward are the arguments by which the run goes on, after somebody has agreed
// to what it asks; nil where it is done. One that was killed before it was
// recorded has to be started anew.
func (s *scene) onward() []string {
	s.Helper()
	r := s.look()
	switch {
	case r == nil:
		return s.args(0)
	case r.Status == "finished":
		return nil
	case r.Waiting != nil:
		s.runbook(done, "approve", r.ID, r.Waiting.Step)
	}
	return []string{"resume"}
}

// goOn brings the run to its end.
func (s *scene) goOn() {
	s.Helper()
	for range len(stages) {
		args := s.onward()
		if args == nil {
			return
		}
		s.runbook(either, args...)
	}
}

// diesOn brings the run on up to a point at which it is killed again.
func (s *scene) diesOn(p point) bool {
	s.Helper()
	args := s.onward()
	return args != nil && s.killedOr(either, p, args)
}

// backward are the arguments by which the run is rolled back, or its rollback
// goes on; nil where nothing is left of it.
func (s *scene) backward() []string {
	s.Helper()
	r := s.look()
	switch {
	case r == nil || r.Status == "rolled_back":
		return nil
	case slices.ContainsFunc(r.Log, func(e entry) bool { return e.Kind == "rollback" }):
		return []string{"resume"}
	}
	return s.args(rollback)
}

// goBack rolls the run back.
func (s *scene) goBack() {
	s.Helper()
	if args := s.backward(); args != nil {
		s.runbook(done, args...)
	}
}

// diesBack rolls the run back up to a point at which that is killed.
func (s *scene) diesBack(p point) bool {
	s.Helper()
	args := s.backward()
	return args != nil && s.killedOr(done, p, args)
}

func (s *scene) outcome() outcome {
	s.Helper()
	return outcome{s.state(), s.plan(), s.ledger()}
}

// isDone holds that the run has come to what it comes to undisturbed, and every
// effect to one line of the ledger.
func (s *scene) isDone(want outcomes) {
	s.Helper()
	s.equal("state", s.state(), want.after.state)
	s.equal("ledger", s.ledger(), want.after.ledger)
	s.equal("plan", s.plan(), want.after.plan)
	r := s.look()
	s.orderly(r)
	if r.Status != "finished" || r.StepsDone != r.Steps || r.Failure != nil {
		s.Errorf("show: %s, %d of %d steps done, failure %v", r.Status, r.StepsDone, r.Steps, r.Failure)
	}
	for _, step := range r.Records {
		if !slices.Contains([]string{"done", "unchanged", "skipped"}, step.Status) {
			s.Errorf("show: step %s is %s", step.Name, step.Status)
		}
	}
}

// isUndone holds that everything is as it was before the run.
func (s *scene) isUndone(want outcomes) {
	s.Helper()
	s.equal("state", s.state(), want.before.state)
	s.equal("plan", s.plan(), want.before.plan)
	s.settled()
	r := s.look()
	if r == nil { // killed before it had begun
		s.equal("ledger", s.ledger(), "")
		return
	}
	s.orderly(r)
	if r.Status != "rolled_back" || r.Failure != nil {
		s.Errorf("show: %s, failure %v", r.Status, r.Failure)
	}
	for _, step := range r.Records {
		if !slices.Contains([]string{"undone", "left_as_is", "not_begun", "unchanged", "skipped"}, step.Status) {
			s.Errorf("show: step %s is %s", step.Name, step.Status)
		}
	}
}

// settled holds that each effect which the ledger counts came once at most, and
// was undone once, later.
func (s *scene) settled() {
	s.Helper()
	lines := strings.Split(strings.TrimSpace(s.ledger()), "\n")
	count := func(what string) (n, at int) {
		for i, line := range lines {
			if line == what {
				n, at = n+1, i
			}
		}
		return n, at
	}
	for _, effect := range []string{"inner", "mark", "count", "each a", "each b", "flaky", "told"} {
		n, at := count(effect)
		undone, later := count("undo " + effect)
		if effect == "flaky" { // undone where one of its attempts was made
			tries, _ := count("try")
			n = min(tries, 1)
		}
		if effect == "told" { // that it isn't, the runbook says
			undone, later = n, at
		}
		if n > 1 || n != undone || later < at {
			s.Errorf("the ledger has %q %d times, and its undoing %d times:\n%s", effect, n, undone, s.ledger())
		}
	}
}

func (s *scene) equal(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s (- is, + should be):\n%s", what, difference(got, want))
	}
}

// difference is what two texts have each for itself, line by line.
func difference(got, want string) string {
	var out strings.Builder
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	if out.Len() == 0 {
		return "in another order, or another number of times:\n" + got + "\nshould be:\n" + want
	}
	return out.String()
}
