package power

import (
	"fmt"
	"testing"

	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// A process that is killed leaves writes behind that no disk has yet, and that
// the next process finds done. When that one shows a step as done, they have to
// be durable all the same.

func TestKilledThenPowerCut(t *testing.T) {
	tr := runOfFiles(t)
	tr.killed(t, "kills in a run of the file actions, with all on disk that its resume showed as done", 8, goOn(tr))
}

func TestRollbackKilledThenPowerCut(t *testing.T) {
	rollbackOfFiles(t).killed(t, "kills in a rollback of the file actions, with all on disk that its resume showed as undone", 6, rollBack)
}

func TestRestoreKilledThenPowerCut(t *testing.T) {
	tr := runOfRestore(t)
	tr.killed(t, "kills in a restore, with all on disk that its resume showed as done", 4, goOn(tr))
}

func TestRestoreRollbackKilledThenPowerCut(t *testing.T) {
	rollbackOfRestore(t).killed(t, "kills in a rollback of a restore, with all on disk that its resume showed as undone", 4, rollBack)
}

// killed kills what was recorded after each of its calls, in quick mode after
// some, and goes on. follow looks at what is durable whenever the screen shows
// a step as done.
func (tr *trial) killed(t *testing.T, what string, some int, command func(*run.State) []string) {
	t.Helper()
	var points []*trial
	r := tr.replay()
	tr.follow(t, r, func(c call) {
		k := *tr
		k.what = fmt.Sprintf("killed after %v, and gone on", c)
		k.start = r.model.clone()
		points = append(points, &k)
	})
	if !tally.Full() {
		chance := tally.Chance(t)
		chance.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:min(len(points), some)]
	}
	onAllThreads(t, what, points, func(t *testing.T, k *trial) { k.goesOn(t, command) })
}

// goesOn records the next process on what a killed one has left, of which the
// model knows what isn't durable.
func (tr *trial) goesOn(t *testing.T, command func(*run.State) []string) {
	t.Helper()
	mount(t, tr.root)
	tr.start.visible.layOut(t, tr.root, tr.start.next)
	state, err := tr.state()
	must(t, tr.what, err)
	args := command(state)
	if state == nil || len(args) == 0 {
		return // nothing was done yet, or all is done
	}
	tr.calls, tr.screen = tr.record(t, args...)
	tr.after = readDisk(t, tr.root, tr.began)
	tr.follow(t, tr.replay(), func(call) {})
	if got := normal(t, tr.after, state.Header.Run.ID); got != tr.want {
		t.Errorf("%s, it ends otherwise than undisturbed\n%s", tr.what, difference(tr.want, got))
	}
}
