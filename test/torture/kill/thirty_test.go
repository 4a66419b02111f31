package kill

import (
	"fmt"
	"slices"
	"strings"
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

	scenes := func(h *host, i int) *scene { return h.newScene(fmt.Sprint(i)) }
	series := func(name string, kills []kill, try func(*scene, kill)) {
		each(h, name, atOnce, kills, scenes, try)
	}

	series("resumed", c.some(forward, 8, len(forward)), func(s *scene, k kill) {
		if s.dies(k) {
			s.goOn()
			s.isDone(want)
			s.held("kill points of a run of 32 steps, then resumed")
		}
	})
	series("rolled back", c.some(forward, 3, 80), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			s.held("kill points of a run of 32 steps, a sample, then rolled back")
		}
	})
	series("rollback", c.some(back, 3, 80), func(s *scene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isUndone(want)
			s.held("kill points of its rollback, a sample, then resumed")
		}
	})
	series("resumes", c.with(again, c.some(forward, 3, 60)), func(s *scene, k kill) {
		if s.dies(k) {
			twice := s.diesOn(k.next)
			s.goOn()
			s.isDone(want)
			s.heldIf(twice, "runs of 32 steps killed, and twice again while resumed, then resumed")
		}
	})
	series("rollbacks", c.with(back, c.some(forward, 3, 60)), func(s *scene, k kill) {
		if s.dies(k) {
			twice := s.diesBack(k.next)
			s.goBack()
			s.isUndone(want)
			s.heldIf(twice, "runs of 32 steps killed, and twice again while rolled back, then resumed")
		}
	})
}

// reference carries the run out undisturbed, and its rollback. It tells what it
// comes to, and where the run and the rollback can be killed.
func (h *host) reference() (want outcomes, forward, back []kill) {
	h.Helper()
	s := h.newScene("0")
	s.reset()
	want.before = s.outcome()
	for stage := range stages {
		all, elsewhere := s.points(stages[stage].codes[0], s.args(stage)...)
		if len(elsewhere) > 0 {
			s.Fatalf("changes that are not made on the first thread, where they can be counted: %q", elsewhere)
		}
		for _, p := range all {
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
	s.named(r)
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
	s.named(r)
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
