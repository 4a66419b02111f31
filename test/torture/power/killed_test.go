package power

import (
	"fmt"
	"testing"

	"runbook/test/torture/tally"
)

// A run that is killed leaves writes behind that no disk has yet, and that the
// next process takes for done. When that one shows a step as done, they have to
// be durable all the same.
func TestKilledThenResumedThenPowerCut(t *testing.T) {
	tr := runOfFiles(t)
	tr.killed(t, "kills in a run of the file actions, resumed, with all on disk that was shown as done", 12)
}

// killed kills the recorded run after each of its calls, in quick mode after
// some, and resumes it. follow looks at what is durable whenever the screen
// shows a step as done.
func (tr *trial) killed(t *testing.T, what string, some int) {
	t.Helper()
	var points []*trial
	r := tr.replay()
	tr.follow(t, r, func(c call) {
		// What comes before the run exists is begun anew, in a run of its own.
		if r.screen.run == "" || r.screen.phase != "" {
			return
		}
		k := *tr
		k.what = fmt.Sprintf("killed after %v and resumed", c)
		k.start = r.model.clone()
		points = append(points, &k)
	})
	if !tally.Full() {
		chance := tally.Chance(t)
		chance.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:min(len(points), some)]
	}
	onAllThreads(t, what, points, func(t *testing.T, k *trial) {
		k.resumed(t, r.screen.run)
		if got := normal(t, k.after, r.screen.run); got != k.want {
			t.Errorf("%s, it ends with\n%s\ninstead of\n%s", k.what, got, k.want)
		}
	})
}

// resumed records a resume on what a killed process has left, of which the
// model knows what isn't durable.
func (tr *trial) resumed(t *testing.T, id string) {
	t.Helper()
	mount(t, tr.root)
	tr.start.visible.layOut(t, tr.root, tr.start.next)
	tr.calls, tr.screen = tr.record(t, "resume", id)
	tr.after = readDisk(t, tr.root, tr.began)
	tr.follow(t, tr.replay(), func(call) {})
}
