package contract

import (
	"math/rand/v2"
	"testing"

	"runbook/test/torture/tally"
)

// killings are three kills in a row: of Apply or Undo, and twice of what is
// called again. They are a sample: there are too many to try all.
type killings struct {
	suite
	inApply, inUndo []point
	after, count    string // how an undisturbed Apply leaves the scene
}

// survived tries in make torture one of them for every eight points, and in make
// test one for some of the cases.
func (k killings) survived(t *testing.T) {
	n := (len(k.inApply) + 7) / 8
	if !tally.Full() {
		if !tally.Takes(k.c.Action+" "+k.c.Name, 4) {
			return
		}
		n = 1
	}
	chance := tally.Chance(t)
	held := 0
	for range n {
		for _, try := range []func(*testing.T, *rand.Rand) bool{k.applied, k.undone, k.undoneAgain} {
			all := false
			if !t.Failed() {
				again(t, func() { all = try(t, chance) })
			}
			if all {
				held++
			}
		}
	}
	if !t.Failed() {
		tally.Count(t, "actions killed three times in a row, then applied or undone", held)
	}
}

// dies kills Apply or Undo at a point by chance, and an early one where it has
// been killed before, as less is left to do then. It reports whether there was
// such a point.
func (k killings) dies(t *testing.T, st stage, undo, again bool, chance *rand.Rand) bool {
	t.Helper()
	points := k.inApply
	if undo {
		points = k.inUndo
	}
	if len(points) == 0 {
		return false
	}
	p := points[chance.IntN(len(points))]
	if again {
		p.nth = 1 + chance.IntN(min(p.nth, 3))
	}
	killed := st.kill(t, undo, p)
	t.Logf("killed: %v, undo %v, at %s", killed, undo, p) // shown where the test fails
	return killed
}

func (k killings) applied(t *testing.T, chance *rand.Rand) bool {
	st := k.stage(t)
	all := true
	for n := range 3 {
		all = k.dies(t, st, false, n > 0, chance) && all
		st.plan(t)
	}
	st.apply(t, st.change)
	st.is(t, "killed three times, then applied again", k.after)
	if got := st.scene.count(t); got != k.count {
		t.Errorf("killed three times, then applied again: %s, want %s", got, k.count)
	}
	return all
}

func (k killings) undone(t *testing.T, chance *rand.Rand) bool {
	st := k.stage(t)
	all := k.dies(t, st, false, false, chance)
	want := st.undone(st.scene.Observe(t))
	for range 2 {
		all = k.dies(t, st, true, true, chance) && all
	}
	st.undo(t)
	st.is(t, "killed, and Undo killed twice, then undone", want)
	return all
}

func (k killings) undoneAgain(t *testing.T, chance *rand.Rand) bool {
	st := k.stage(t)
	st.apply(t, st.change)
	all := true
	for n := range 3 {
		all = k.dies(t, st, true, n > 0, chance) && all
	}
	st.undo(t)
	st.is(t, "Undo killed three times, then undone again", st.undone(k.after))
	return all
}
