package etcd

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// Undo implements engine.Action. Both directories are put back to where they
// were; a copy is set aside, as what a restore made is.
func (a *adopt) Undo(ctx context.Context, c engine.Change, rep engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	r := &restored{}
	if err := c.GetData(r); err != nil {
		return err
	}
	if r.Adopt.Copy {
		return a.restore().Undo(ctx, c, rep)
	}
	if err := r.refuseUndoInUse(); err != nil {
		return err
	}
	moves := r.moves()
	for i := len(moves) - 1; i >= 0; i-- { // the data first
		rep.Progress(engine.Progress{Doing: "putting " + moves[i].from + " back"})
		if err := r.undoMove(moves[i]); err != nil {
			return err
		}
	}
	return nil
}

// undoMove puts back what a swap has replaced, and what was moved. The swap
// removes what it finds under the names of what is being made, so what was
// moved has to be out of there before.
func (r *restored) undoMove(m move) error {
	at, err := m.at()
	if err != nil {
		return err
	}
	s := m.swap
	if at == filepath.Join(s.Partial, m.inner) || at == filepath.Join(s.New, m.below) {
		if err := r.putBack(m, at); err != nil {
			return err
		}
		at = m.from
	}
	if err := s.undo(); err != nil {
		return err
	}
	if at == m.from {
		return emptied(s.Undone, m)
	}
	if at, err = m.at(); err != nil {
		return err
	}
	if err := r.putBack(m, at); err != nil {
		return err
	}
	return emptied(filepath.Dir(at), m)
}

// emptied removes the directory that was around what was put back, unless
// there is something else in it.
func emptied(path string, m move) error {
	if m.below == "" {
		return nil
	}
	return removeEmpty(path)
}

// removeEmpty removes a directory, if there is one, and nothing in it.
func removeEmpty(path string) error {
	err := durable.Rmdir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	return durable.SyncDir(filepath.Dir(path))
}

// putBack makes a directory what it was, and moves it to where it was.
func (r *restored) putBack(m move, at string) error {
	if m.swap == &r.Data {
		record := filepath.Join(at, adoptName)
		if r.Adopt.Record == "" {
			if err := durable.RemoveAll(record); err != nil {
				return err
			}
		} else if err := durable.WriteFile(record, []byte(r.Adopt.Record), 0o600); err != nil {
			return err
		}
	}
	if err := durable.Take(at, m.UID, m.GID, m.Mode); err != nil {
		return err
	}
	return durable.Rename(at, m.from)
}
