package power

import (
	"strings"
	"testing"

	"runbook/engine/run"
)

// A rollback that the power was cut in is gone on with, and everything is what
// it was before the run.
func TestRollbackOfFiles(t *testing.T) {
	tr := runOfFiles(t)
	r := tr.replay()
	tr.follow(t, r, func(call) {})
	id := r.screen.run
	back := tr.recorded(t, "power cuts in a rollback of the file actions, gone on with", tr.after, r.next, "rollback", id, "--yes")
	isBack(t, tr.before, back.after)
	back.cutPower(t, rollBack)
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
