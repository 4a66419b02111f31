package power

import (
	"fmt"
	"testing"

	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// killed kills what was recorded after each of its calls, in quick mode after
// some, and goes on. A process that is killed leaves writes behind that no disk
// has yet, and that the next one finds done: when that shows a step as done,
// which is where follow looks, they have to be durable all the same.
func (tr *trial) killed(t *testing.T, what string, some int, command func(*run.State) []string) {
	t.Helper()
	var points []*trial
	r := tr.replay()
	tr.follow(t, r, func(c call) {
		k := *tr
		k.name = fmt.Sprintf("killed after %v, and gone on", c)
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
	must(t, tr.name, err)
	args := command(state)
	if state == nil || len(args) == 0 {
		return // nothing was done yet, or all is done
	}
	tr.calls, tr.screen = tr.record(t, args...)
	tr.after = readDisk(t, tr.root, tr.began)
	tr.follow(t, tr.replay(), func(call) {})
	if got := normal(t, tr.after, state.Header.Run.ID); got != tr.want {
		t.Errorf("%s, it ends otherwise than undisturbed\n%s", tr.name, difference(tr.want, got))
	}
}
