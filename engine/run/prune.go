package run

import (
	"context"
	"errors"
	"slices"

	"runbook/engine"
)

// Kept lists the paths at which a run still keeps what its steps replaced, or
// what its rollback took out.
func (s *State) Kept() []string {
	return slices.DeleteFunc(s.everKept(), func(path string) bool { return s.Pruned[path] })
}

// ToPrune lists the paths that Prune deletes: those, and what it has recorded
// to be deleted and was kept from deleting.
func (s *State) ToPrune(ctx context.Context, host engine.Host) (paths []string, err error) {
	for _, path := range s.everKept() {
		if s.Pruned[path] {
			fact, err := host.Stat(ctx, path, false, nil)
			if err != nil {
				return nil, err
			}
			if !fact.Exists {
				continue
			}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

func (s *State) everKept() (paths []string) {
	for _, p := range s.Header.Plan.Steps {
		st := s.Steps[p.Name]
		if st == nil {
			continue
		}
		paths = append(paths, st.Kept()...)
	}
	return paths
}

// Prune deletes for good what a run that has ended kept, and records each. A
// run that was pruned can't be rolled back any more.
func (s Store) Prune(ctx context.Context, id string, host engine.Host, deleted func(path string)) error {
	state := newState()
	j, _, err := s.open(id, state)
	if err != nil {
		return err
	}
	if state.Phase.Open() {
		err = engine.Errorf("run "+id, "it has not ended: what it keeps may still be needed").
			WithHint("Go on with `runbook resume %s`, or undo it with `runbook rollback %s`", id, id)
	}
	if err != nil {
		return errors.Join(err, j.Close())
	}
	paths, err := state.ToPrune(ctx, host)
	for _, path := range paths {
		// First the record: whoever reads it later must not count on the path.
		if !state.Pruned[path] {
			_, err = j.Append(kindPruned, pruned{Path: path})
		}
		if err != nil {
			break
		}
		if err = host.Discard(ctx, id, path); err != nil {
			break
		}
		deleted(path)
	}
	return errors.Join(err, j.Close())
}
