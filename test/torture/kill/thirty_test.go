package kill

import (
	"fmt"
	"runtime"
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

// A kill is a point of a stage.
type kill struct {
	stage int
	point
}

func (k kill) String() string {
	return fmt.Sprintf("%s of stage %d", k.point, k.stage)
}

// outcomes are how a scene looks before the run and after it, undisturbed.
type outcomes struct{ before, after outcome }

type outcome struct{ state, plan, ledger string }

// A run of thirty steps is killed with SIGKILL at each call that changes
// something, and resumed; or rolled back; and what resumes it or rolls it back is
// killed as well.
func TestThirtySteps(t *testing.T) {
	h := newHost(t)
	h.prepare()
	want, all := h.reference()
	forward := slices.DeleteFunc(slices.Clone(all), func(k kill) bool { return k.stage == rollback })
	back := slices.DeleteFunc(slices.Clone(all), func(k kill) bool { return k.stage != rollback })
	chance := tally.Chance(t)
	pick := func(from []kill, quick, full int) []kill {
		n := quick
		if tally.Full() {
			n = full
		}
		chance.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
		return from[:min(n, len(from))]
	}
	h.each("resumed", pick(forward, 10, len(forward)), func(s *scene, k kill) {
		if s.dies(k) {
			s.goOn()
			s.isDone(want)
			tally.Count(s, "kill points of a run of 32 steps, resumed", 1)
		}
	})
	h.each("rolled back", pick(forward, 5, 200), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			tally.Count(s, "kill points of a run of 32 steps, rolled back (a sample of them)", 1)
		}
	})
	h.each("rollback resumed", pick(back, 5, len(back)), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			tally.Count(s, "kill points of its rollback, resumed", 1)
		}
	})
}

// reference carries the run out undisturbed, and its rollback, and tells what
// it comes to and where it can be killed.
func (h *host) reference() (want outcomes, all []kill) {
	h.Helper()
	s := h.newScene("0")
	s.reset()
	want.before = s.outcome()
	for stage := range stages {
		for _, p := range s.points(stages[stage].codes[0], s.args(stage)...) {
			all = append(all, kill{stage, p})
		}
		if stage == rollback-1 {
			want.after = s.outcome()
			s.isDone(want)
		}
	}
	s.isUndone(want)
	if s.Failed() {
		s.Fatalf("undisturbed already it doesn't hold")
	}
	return want, all
}

// each tries every one of kills, in as many scenes at once as there are
// processors.
func (h *host) each(name string, kills []kill, try func(*scene, kill)) {
	h.Helper()
	var next atomic.Int64
	ok := h.Run(name, func(t *testing.T) {
		for n := range runtime.GOMAXPROCS(0) {
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
	was, code, out := s.killedAt(k.point, s.args(k.stage)...)
	if !was && !slices.Contains(stages[k.stage].codes, code) {
		s.Fatalf("not killed at %s, but exit code %d\n%s", k, code, out)
	}
	return was
}

// goOn resumes the run until it is done, and agrees to what it asks. One that
// was killed before it was recorded has to be started anew.
func (s *scene) goOn() {
	s.Helper()
	for range len(stages) {
		switch r := s.look(); {
		case r == nil:
			s.runbook(waiting, stages[0].args("")...)
		case r.Waiting != nil:
			s.runbook(done, "approve", r.ID, r.Waiting.Step)
		case r.Status == "finished":
			return
		default:
			s.runbook(either, "resume")
		}
	}
	if r := s.look(); r == nil || r.Status != "finished" {
		s.Fatalf("it doesn't end: %+v", r)
	}
}

// goBack rolls the run back, if it has begun; one that is being rolled back is
// resumed.
func (s *scene) goBack() {
	s.Helper()
	switch r := s.look(); {
	case r == nil || r.Status == "rolled_back":
	case r.Status == "rolling_back" || s.rollingBack(r):
		s.runbook(done, "resume")
	default:
		s.runbook(done, "rollback", "--yes")
	}
}

func (s *scene) rollingBack(r *shown) bool {
	return slices.ContainsFunc(r.Log, func(e entry) bool { return e.Kind == "rollback" })
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
