package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"runbook/engine"
	"runbook/engine/durable"
)

// identity is what tells a directory from any other on its file system,
// whatever it is called. The device number is no part of it: it may be another
// one after a reboot. The zero identity is that of nothing.
type identity struct {
	Inode uint64 `json:"inode"`
}

func identityOf(path string) (identity, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, &engine.Error{Where: path, Err: err}
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{Inode: st.Ino}, nil
}

// swap puts a new directory in the place of an old one and keeps the old one.
// All names are in one directory. Which of them holds what tells how far an
// earlier call got: the old directory is known by its identity.
//
// Where the file system can, the two change places in one instant: were the
// target absent for a moment, an etcd that something starts then would fill
// it with a new, empty cluster.
type swap struct {
	Target  string   `json:"target"`
	Partial string   `json:"partial"` // being made; removed and begun again
	New     string   `json:"new"`     // complete, not in place yet
	Kept    string   `json:"kept"`    // the old directory
	Undone  string   `json:"undone"`  // the new one, after it was undone
	Old     identity `json:"old"`     // zero if there was nothing
	// Existed says that there is to be something to replace. While planning,
	// that may be what an earlier step will make, which has no identity yet.
	Existed bool `json:"existed"`
}

func newSwap(target, tag string, old identity) swap {
	return swap{
		Target:  target,
		Partial: target + ".runbook-" + tag + ".partial",
		New:     target + ".runbook-" + tag + ".new",
		Kept:    target + ".before-" + tag,
		Undone:  target + ".undone-" + tag,
		Old:     old,
	}
}

// undoNote says what undo takes away, and that it goes there.
func (s swap) undoNote(goes string) string {
	back := "what was in its place before comes back"
	if !s.Existed {
		back = "nothing was in its place before"
	}
	return fmt.Sprintf("What is at %s by then, with all that etcd has written there since, goes to %s; %s.", s.Target, goes, back)
}

// freeSwap is a swap by names that are free. A run that replaces the same path a
// second time finds the first ones taken.
func freeSwap(ctx context.Context, w engine.World, target string, old identity) (swap, error) {
	for n := 1; ; n++ {
		tag := w.Run().ID
		if n > 1 {
			tag += "." + strconv.Itoa(n)
		}
		s := newSwap(target, tag, old)
		taken := false
		for _, path := range []string{s.Partial, s.New, s.Kept, s.Undone} {
			fact, err := w.Stat(ctx, path)
			if err != nil {
				return s, err
			}
			taken = taken || fact.Exists
		}
		if !taken {
			return s, nil
		}
	}
}

// places is what is where at one moment.
type places struct{ target, fresh, kept identity }

func (s swap) look() (p places, err error) {
	for path, id := range map[string]*identity{s.Target: &p.target, s.New: &p.fresh, s.Kept: &p.kept} {
		if *id, err = identityOf(path); err != nil {
			return p, err
		}
	}
	return p, nil
}

// staged reports whether the new directory is complete, in place or not.
func (s swap) staged() (bool, error) {
	p, err := s.look()
	if err != nil {
		return false, err
	}
	return p.fresh != identity{} || p.kept == s.Old && s.Old != identity{} || s.Old == identity{} && p.target != identity{}, nil
}

// untouched reports whether the old directory is in its place, or there is
// nothing where there was nothing.
func (s swap) untouched() (bool, error) {
	p, err := s.look()
	return p.target == s.Old && p.kept == identity{}, err
}

// apply puts the new directory in place, however far an earlier call got.
func (s swap) apply() error {
	p, err := s.look()
	if err != nil {
		return err
	}
	none := identity{}
	switch {
	case s.Old == none && p.target == none && p.fresh != none:
		return durable.Rename(s.New, s.Target)
	case s.Old == none && p.target != none && p.fresh == none:
		return durable.SyncParents(s.New, s.Target) // in place already, but on disk?
	case s.Old == none:
		return s.foreign("nothing")
	case p.target == s.Old && p.fresh != none && p.kept == none:
		return s.exchange()
	case p.target != none && p.fresh == s.Old && p.kept == none:
		return durable.Rename(s.New, s.Kept) // exchanged, not named yet
	case p.target == none && p.fresh != none && p.kept == s.Old:
		return durable.Rename(s.New, s.Target) // between the two renames
	case p.target != none && p.fresh == none && p.kept == s.Old:
		return durable.SyncParents(s.Target, s.Kept)
	}
	return s.foreign("the old data")
}

// exchange swaps new and old and gives the old one its name.
func (s swap) exchange() error {
	err := durable.Exchange(s.New, s.Target)
	if errors.Is(err, durable.ErrExchange) {
		if err := durable.Rename(s.Target, s.Kept); err != nil {
			return err
		}
		return durable.Rename(s.New, s.Target)
	}
	if err != nil {
		return err
	}
	return durable.Rename(s.New, s.Kept)
}

// undo puts the old directory back, however far apply or an earlier undo got.
func (s swap) undo() error {
	p, err := s.look()
	if err != nil {
		return err
	}
	none := identity{}
	switch {
	case s.Old == none && p.target == none:
		// never in place, or undone already
	case s.Old == none && p.fresh == none:
		err = setAside(s.Target, s.Undone)
	case s.Old == none:
		err = s.foreign("nothing")
	case p.target == s.Old && p.kept == none:
		// never in place, or undone already
	case p.target == s.Old:
		err = setAside(s.Kept, s.Undone) // exchanged back, not named yet
	case p.kept == s.Old && p.target == none:
		err = durable.Rename(s.Kept, s.Target)
	case p.kept == s.Old:
		err = s.restoreFrom(s.Kept)
	case p.fresh == s.Old && p.target != none && p.kept == none:
		// Exchanged, not named yet. Naming it first keeps the new directory,
		// which was in place, from ever standing where clean removes.
		if err = durable.Rename(s.New, s.Kept); err == nil {
			err = s.restoreFrom(s.Kept)
		}
	default:
		err = s.foreign("the old data")
	}
	if err != nil {
		return err
	}
	return s.clean()
}

// restoreFrom changes the target for the old directory, which is at from, and
// sets what was in the target aside.
func (s swap) restoreFrom(from string) error {
	err := durable.Exchange(from, s.Target)
	if errors.Is(err, durable.ErrExchange) {
		if err := setAside(s.Target, s.Undone); err != nil {
			return err
		}
		return durable.Rename(from, s.Target)
	}
	if err != nil {
		return err
	}
	return setAside(from, s.Undone)
}

// clean removes what was never in place and holds nothing but a copy.
func (s swap) clean() error {
	fresh, err := identityOf(s.New)
	if err != nil {
		return err
	}
	if fresh != (identity{}) && fresh == s.Old {
		return s.foreign("the old data")
	}
	return errors.Join(durable.RemoveAll(s.Partial), durable.RemoveAll(s.New))
}

// foreign says that the directories are not as any call here leaves them.
func (s swap) foreign(before string) error {
	return engine.Errorf(s.Target, "someone else has changed this directory: at the start it was %s", before).
		WithHint("Look at %s and what is named like it in %s; the old data is the directory with inode %d. Nothing was changed.",
			filepath.Base(s.Target), filepath.Dir(s.Target), s.Old.Inode)
}
