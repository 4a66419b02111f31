package run

import (
	"context"
	"errors"

	"runbook/engine"
	"runbook/engine/journal"
)

// Kept lists the paths at which a run still keeps what its steps replaced, or
// what its rollback took out.
func (s *State) Kept() []string {
	var paths []string
	for _, p := range s.Header.Plan.Steps {
		st := s.Steps[p.Name]
		if st == nil {
			continue
		}
		for _, path := range st.Kept() {
			if !s.Pruned[path] {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// Prune deletes for good what a run that has ended kept, and records each. A
// run that was pruned can't be rolled back any more.
func (s Store) Prune(ctx context.Context, id string, host engine.Host, deleted func(path string)) error {
	j, records, _, err := journal.Open(s.run(id))
	if err != nil {
		return err
	}
	state, err := Replay(records)
	if err == nil && state.Phase.Open() {
		err = engine.Errorf("run "+id, "it has not ended: what it keeps may still be needed").
			WithHint("Go on with `runbook resume %s`, or undo it with `runbook rollback %s`", id, id)
	}
	if err != nil {
		return errors.Join(err, j.Close())
	}
	for _, path := range state.Kept() {
		// First the record: whoever reads it later must not count on the path.
		if err = j.Append(kindPruned, pruned{Path: path}); err != nil {
			break
		}
		if err = host.Discard(ctx, id, path); err != nil {
			break
		}
		deleted(path)
	}
	return errors.Join(err, j.Close())
}
