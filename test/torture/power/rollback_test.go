package power

import (
	"strings"
	"testing"

	"runbook/engine/run"
)

// rolledBack is the rollback of a run.
func (tr *trial) rolledBack(t *testing.T) *trial {
	t.Helper()
	r := tr.replay()
	tr.follow(t, r, func(call) {})
	back := tr.recorded(t, tr.after, r.next, "rollback", r.screen.run, "--yes")
	isBack(t, tr.before, back.after)
	return back
}

// rollBack is what to do where a rollback was to be: it is said again, as is
// resume where it has begun.
func rollBack(s *run.State) []string {
	switch id := s.Header.Run.ID; s.Phase {
	case run.RollingBack:
		return []string{"resume", id}
	case run.RolledBack:
		return nil
	default:
		return []string{"rollback", id, "--yes"}
	}
}

// isBack fails unless all that was there is there again, the same inodes at
// the same places.
func isBack(t *testing.T, before, after disk) {
	t.Helper()
	now := after.text(workDir, true)
	for line := range strings.Lines(before.text(workDir, true)) {
		if !strings.Contains(now, line) {
			t.Errorf("after the rollback this is gone: %safter it there is\n%s", line, now)
		}
	}
}
