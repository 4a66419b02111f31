package file

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// place is where something new is put, which may hold something old. All its
// names are in one directory. What is at them tells how far an earlier call
// got: the old thing is known by its identity, and while anything else is at
// Staging, the new one has never been in place.
type place struct {
	Target  string `json:"target"`
	Staging string `json:"staging"`          // being made; removed and begun again
	Kept    string `json:"kept"`             // the old thing
	Undone  string `json:"undone"`           // the new one, after it was undone
	Existed bool   `json:"existed"`          // whether there is to be an old thing
	Old     thing  `json:"old,omitzero"`     // which it is
	Holder  uint64 `json:"holder,omitempty"` // the inode of the directory of it all
}

// choosePlace finds names that are free. A run that replaces the same path
// twice finds the first ones taken.
func choosePlace(ctx context.Context, w engine.World, old engine.PathFact, making, attribute string) (place, error) {
	p := place{Target: old.Path, Existed: old.Exists}
	if err := refuseLinked(ctx, w, old.Path, attribute); err != nil {
		return p, err
	}
	if old.Exists && old.Inode != 0 {
		now, err := w.Source(ctx, old.Path)
		if err != nil {
			return p, err
		}
		if p.Old, err = thingAt(now); err != nil {
			return p, err
		}
	}
	dir, err := w.Stat(ctx, filepath.Dir(old.Path))
	if err != nil {
		return p, err
	}
	if dir.Type == engine.TypeDirectory {
		p.Holder = dir.Inode
	}
	run := w.Run()
	for n := 1; ; n++ {
		p.Staging = beside(old.Path, making, run.ID, n)
		p.Kept = beside(old.Path, "replaced", run.ID, n)
		p.Undone = beside(old.Path, "undone", run.ID+p.tag(run.Step), n)
		if free, err := allFree(ctx, w, p.Staging, p.Kept, p.Undone); err != nil || free {
			return p, err
		}
	}
}

// tag tells the undone file of a step that finds nothing from those of other steps that
// write the same path: nothing that is kept gives it a number of its own.
func (p place) tag(step string) string {
	if p.Existed {
		return ""
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(step)) // a hash takes all
	return fmt.Sprintf("-%08x", h.Sum32())
}

// beside is a hidden name in the directory of path that says what it is. Only
// there a rename surely stays on its file system.
func beside(path, what, run string, n int) string {
	dir, base := filepath.Split(path)
	suffix := "." + what + "-" + run
	if n > 1 {
		suffix += fmt.Sprintf(".%d", n)
	}
	return dir + "." + cut(base, suffix) + suffix
}

// cut shortens name so that it has room for the dot and the suffix within the
// 255 bytes that Linux gives a name.
func cut(name, suffix string) string {
	room := min(len(name), 255-len(".")-len(suffix))
	return strings.ToValidUTF8(name[:room], "") // no half of a character
}

func allFree(ctx context.Context, w engine.World, paths ...string) (bool, error) {
	for _, path := range paths {
		if fact, err := w.Stat(ctx, path); err != nil || fact.Exists {
			return false, err
		}
	}
	return true, nil
}

// effects are those of replacing the old thing by what made says.
func (p place) effects(made engine.Effect) []engine.Effect {
	if !p.Existed {
		return []engine.Effect{made}
	}
	return []engine.Effect{{Moved: &engine.Moved{From: p.Target, To: p.Kept}}, made}
}

// kept is the result and the note that tell where the old thing is.
func (p place) kept() (result any, paths []string, note string) {
	if !p.Existed {
		return nil, nil, ""
	}
	return p.Kept, []string{p.Kept}, "the old one is kept at " + p.Kept
}

// thing is what tells a file from any other that is or was on its file system:
// an inode number is given again as soon as it is free, and what is staged may
// well get that of something that has just been deleted. The zero thing is
// nothing at all.
type thing struct {
	Inode uint64 `json:"inode"`
	Born  int64  `json:"born,omitempty"` // in nanoseconds; 0 where the file system doesn't tell
}

func thingAt(path string) (thing, error) {
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	err := durable.At(path, func(dir int, name string) error {
		return unix.Statx(dir, name, flags, unix.STATX_INO|unix.STATX_BTIME, &st)
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return thing{}, nil
	}
	if err != nil {
		return thing{}, engine.Errorf(path, "statx: %w", err)
	}
	return thingOf(st), nil
}

func thingOf(st unix.Statx_t) thing {
	t := thing{Inode: st.Ino}
	if st.Mask&unix.STATX_BTIME != 0 {
		t.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return t
}

// found is what is at a place's names at one moment.
type found struct{ target, staging, kept thing }

var nothing thing

func (p place) look() (f found, err error) {
	for path, at := range map[string]*thing{p.Target: &f.target, p.Staging: &f.staging, p.Kept: &f.kept} {
		if *at, err = thingAt(path); err != nil {
			return f, err
		}
	}
	return f, nil
}

// fill puts something new in place, however far an earlier call got. stage
// makes it at Staging, durably, and is told to begin afresh. ready tells
// whether what is at Target is the new thing; it is asked only where nothing
// old is a witness of it.
func (p place) fill(ready func() (bool, error), stage func() error) error {
	f, err := p.look()
	if err != nil {
		return err
	}
	switch {
	case p.Existed && p.Old == nothing:
		return engine.Errorf(p.Target, "the step was planned before an earlier one made this").
			WithHint("Plan it again now that the earlier step is done.")
	case p.Existed && f.kept == p.Old && f.target == nothing && f.staging != nothing: // between two renames
		return durable.Rename(p.Staging, p.Target)
	case p.Existed && f.kept == p.Old && f.target != nothing:
		return durable.SyncParents(p.Target, p.Kept)
	case p.Existed && f.staging == p.Old && f.target != nothing: // exchanged, not named yet
		return durable.Rename(p.Staging, p.Kept)
	case f.target != p.Old && !p.Existed && f.staging == nothing:
		if ok, err := ready(); err != nil || ok {
			return errors.Join(err, durable.SyncDir(filepath.Dir(p.Target)))
		}
	}
	if f.target != p.Old || f.kept != nothing {
		return p.refuse()
	}
	if err := p.sameHolder(); err != nil {
		return err
	}
	if err := durable.RemoveAll(p.Staging); err != nil {
		return err
	}
	if err := stage(); err != nil {
		return err
	}
	return p.install()
}

// sameHolder refuses where the directory is another one than planned with:
// whoever owns one of its parents may have put a link to elsewhere there.
func (p place) sameHolder() error {
	dir := filepath.Dir(p.Target)
	now, err := inodeAt(dir)
	if err != nil || p.Holder == 0 || now == p.Holder {
		return err
	}
	return engine.Errorf(dir, "this is another directory than when the step was planned").
		WithHint("Look who has replaced it, then plan again.")
}

// refuse leaves alone what someone else has put in the way. What it puts at
// Staging is the witness for undo.
func (p place) refuse() error {
	if f, err := p.look(); err == nil && f.staging == nothing {
		if err := durable.MkdirAll(p.Staging, 0o700); err != nil {
			return err
		}
	}
	if !p.Existed {
		return engine.Errorf(p.Target, "something has appeared here since the step was planned").
			WithHint("Move it aside, then resume the run.")
	}
	return replaced(p.Target)
}

// install changes what is staged for what is in place. Where the file system
// can, that is one instant: nobody ever finds the path absent.
func (p place) install() error {
	if !p.Existed {
		return durable.Rename(p.Staging, p.Target)
	}
	err := durable.Exchange(p.Staging, p.Target)
	if errors.Is(err, durable.ErrExchange) {
		if err := durable.Rename(p.Target, p.Kept); err != nil {
			return err
		}
		return durable.Rename(p.Staging, p.Target)
	}
	if err != nil {
		return err
	}
	if out, err := thingAt(p.Staging); err != nil || out != p.Old { // replaced in the last moment
		return errors.Join(err, durable.Exchange(p.Staging, p.Target), p.refuse())
	}
	return durable.Rename(p.Staging, p.Kept)
}

// clear puts back what was at Target, however far fill or an earlier clear
// got. What is in place by then is moved aside.
func (p place) clear() error {
	f, err := p.look()
	switch {
	case err != nil:
		return err
	case !p.Existed && f.target != nothing && f.staging == nothing:
		return durable.Rename(p.Target, p.Undone)
	case !p.Existed || f.target == p.Old && f.kept == nothing:
		return durable.RemoveAll(p.Staging)
	}
	if err := p.bringBack(f); err != nil {
		return err
	}
	return durable.RemoveAll(p.Staging)
}

func (p place) bringBack(f found) error {
	switch {
	case f.target == p.Old: // exchanged back, not named yet
		return durable.Rename(p.Kept, p.Undone)
	case f.kept == p.Old && f.target == nothing:
		return durable.Rename(p.Kept, p.Target)
	case f.kept == p.Old:
		return p.exchangeBack()
	case f.staging == p.Old && f.target != nothing && f.kept == nothing:
		// Exchanged, not named yet. Naming it first keeps the new thing, which
		// was in place, from ever standing where staging is removed.
		if err := durable.Rename(p.Staging, p.Kept); err != nil {
			return err
		}
		return p.exchangeBack()
	case f.staging != nothing && f.staging != p.Old && f.kept == nothing:
		return nil // never in place: someone else had replaced the old one
	}
	return engine.Errorf(p.Target, "someone else has changed this: what was here is not at %s any more", p.Kept).
		WithHint("Look in %s for the inode %d and put it back by hand. Nothing was changed.", filepath.Dir(p.Target), p.Old.Inode)
}

func (p place) exchangeBack() error {
	err := durable.Exchange(p.Kept, p.Target)
	if errors.Is(err, durable.ErrExchange) {
		if err := durable.Rename(p.Target, p.Undone); err != nil {
			return err
		}
		return durable.Rename(p.Kept, p.Target)
	}
	if err != nil {
		return err
	}
	return durable.Rename(p.Kept, p.Undone)
}
