package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// overlay is the host's facts under predicted effects: the newest effect that
// speaks of a path answers, and what none speaks of is read from the host.
type overlay struct {
	facts engine.Facts
	run   engine.RunInfo
	past  *history
	n     int // how many of the past's effects count
}

func newOverlay(facts engine.Facts, run engine.RunInfo, past *history) *overlay {
	return &overlay{facts: facts, run: run, past: past, n: len(past.effects)}
}

var _ engine.World = (*overlay)(nil)

func (o *overlay) Run() engine.RunInfo { return o.run }

// Touched implements engine.World.
func (o *overlay) Touched() string {
	if o.n == 0 {
		return ""
	}
	return o.past.effects[o.n-1].Step
}

// origin is where a path of the predicted world comes from.
type origin struct {
	path    string          // where it is now
	absent  bool            // nothing will be there
	created *engine.Created // an earlier step will have made it
	below   bool            // it is below what created made
	copied  bool            // what is there now will have been copied
	step    string          // the step that said so
}

// locate follows path back through the effects, newest first.
func (o *overlay) locate(path string) (origin, error) {
	path = filepath.Clean(path)
	copied := false
	for i := o.past.before(o.n, path); i >= 0; i = o.past.before(i, path) {
		e := o.past.effects[i]
		switch {
		case e.Anything:
			return origin{}, &engine.UnknownError{Step: e.Step}
		case e.Moved != nil:
			if rest, ok := under(path, e.Moved.To); ok {
				path = e.Moved.From + rest
			} else if _, ok := under(path, e.Moved.From); ok {
				return origin{path: path, absent: true, step: e.Step}, nil
			}
		case e.Copied != nil:
			if rest, ok := under(path, e.Copied.To); ok {
				path, copied = e.Copied.From+rest, true
			}
		case e.Removed != nil:
			if _, ok := under(path, e.Removed.Path); ok {
				return origin{path: path, absent: true, step: e.Step}, nil
			}
		case e.Created != nil:
			if rest, ok := under(path, e.Created.Fact.Path); ok {
				nothing := e.Created.Empty && rest != ""
				return origin{path: path, absent: nothing, created: e.Created, below: rest != "", step: e.Step}, nil
			}
		}
	}
	return origin{path: path, copied: copied}, nil
}

// under returns what of path is below root ("" if they are the same).
func under(path, root string) (string, bool) {
	root = filepath.Clean(root)
	if path == root {
		return "", true
	}
	if root == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, root)
	return rest, ok && rest[0] == '/'
}

// real is path with the symbolic links in its parent directories followed, as
// far as they exist: effects speak of places, whatever names lead there. The
// last element stays what it is.
func real(path string) string {
	path = filepath.Clean(path)
	dir, base := filepath.Split(path)
	if base == "" {
		return path
	}
	if there, err := filepath.EvalSymlinks(dir); err == nil {
		return filepath.Join(there, base)
	}
	return filepath.Join(real(filepath.Clean(dir)), base)
}

// settled is effects with the places that their paths lead to.
func settled(effects []engine.Effect) []engine.Effect {
	out := slices.Clone(effects)
	for i, e := range out {
		switch {
		case e.Moved != nil:
			out[i].Moved = &engine.Moved{From: real(e.Moved.From), To: real(e.Moved.To)}
		case e.Removed != nil:
			out[i].Removed = &engine.Removed{Path: real(e.Removed.Path)}
		case e.Created != nil:
			c := *e.Created
			c.Fact.Path = real(c.Fact.Path)
			out[i].Created = &c
		case e.Copied != nil:
			c := *e.Copied
			c.From, c.To = real(c.From), real(c.To)
			out[i].Copied = &c
		case e.Owned != nil:
			own := *e.Owned
			own.Path = real(own.Path)
			out[i].Owned = &own
		}
	}
	return out
}

// Stat implements engine.World.
func (o *overlay) Stat(ctx context.Context, path string) (engine.PathFact, error) {
	if !filepath.IsAbs(path) {
		return engine.PathFact{}, engine.Errorf(path, "not an absolute path")
	}
	fact, err := o.stat(real(path))
	fact.Path = filepath.Clean(path)
	return fact, err
}

// stat is Stat of a path whose parents are no links.
func (o *overlay) stat(path string) (engine.PathFact, error) {
	from, err := o.locate(path)
	if err != nil {
		return engine.PathFact{}, err
	}
	if from.below && !from.absent {
		return engine.PathFact{}, &engine.UnknownError{Step: from.step}
	}
	fact, err := o.factAt(path, from)
	if err != nil {
		return engine.PathFact{}, err
	}
	return o.owned(path, fact), nil
}

func (o *overlay) factAt(path string, from origin) (engine.PathFact, error) {
	if !from.absent && from.created == nil {
		fact, err := lstat(from.path)
		fact.Path = path
		fact.Free -= o.taken()
		if from.copied { // a thing of its own, on whatever file system
			fact.Device, fact.Inode = 0, 0
			free, freeErr := freeBytes(path)
			fact.Free, err = free-o.taken(), errors.Join(err, freeErr)
		}
		return fact, err
	}
	free, err := freeBytes(path)
	if err != nil {
		return engine.PathFact{}, err
	}
	fact := engine.PathFact{Path: path}
	if from.created != nil && !from.absent {
		fact = from.created.Fact
		fact.Path, fact.Exists = path, true
	}
	fact.Free = free - o.taken()
	return fact, nil
}

// taken is how much space the effects use. It is counted against every file
// system: the prediction errs towards too little room.
func (o *overlay) taken() int64 { return o.past.taken }

// owned applies the Owned effects that reach path. A path that moved keeps
// the owner and the mode it was given under its earlier name.
func (o *overlay) owned(path string, fact engine.PathFact) engine.PathFact {
	if !fact.Exists {
		return fact
	}
	for _, own := range slices.Backward(o.given(path)) { // each begins with what those before it have left
		fact = handOver(fact, own)
	}
	return fact
}

// given lists the Owned effects that reach path, newest first, without the mode
// where that is another path's.
func (o *overlay) given(path string) (all []engine.Owned) {
	for i := o.past.before(o.n, path); i >= 0; i = o.past.before(i, path) {
		e := o.past.effects[i]
		switch {
		case e.Moved != nil:
			if rest, ok := under(path, e.Moved.To); ok {
				path = e.Moved.From + rest
			}
		case e.Copied != nil:
			if rest, ok := under(path, e.Copied.To); ok {
				path = e.Copied.From + rest
			}
		case e.Created != nil:
			if _, ok := under(path, e.Created.Fact.Path); ok {
				return all
			}
		case e.Owned != nil:
			rest, ok := under(path, e.Owned.Path)
			if !ok || rest != "" && !e.Owned.Recursive {
				continue
			}
			own := *e.Owned
			if rest != "" {
				own.Mode = nil
			}
			all = append(all, own)
		}
	}
	return all
}

// handOver is what becomes of a fact where its path is given to somebody. The
// kernel takes from what isn't a directory the bits that would make it a program
// of its new owner's power.
func handOver(fact engine.PathFact, own engine.Owned) engine.PathFact {
	if fact.Type != engine.TypeDirectory && (fact.UID != own.UID || fact.GID != own.GID) {
		fact.Mode &^= unix.S_ISUID
		if fact.Mode&unix.S_IXGRP != 0 { // else the bit is no program's
			fact.Mode &^= unix.S_ISGID
		}
	}
	fact.UID, fact.GID, fact.Owner, fact.Group = own.UID, own.GID, own.Owner, own.Group
	if own.Mode != nil {
		fact.Mode = *own.Mode
	}
	return fact
}

// Source implements engine.World.
func (o *overlay) Source(_ context.Context, path string) (string, error) {
	from, err := o.locate(real(path))
	if err != nil {
		return "", err
	}
	if from.created != nil && !from.absent {
		return "", &engine.UnknownError{Step: from.step}
	}
	if from.absent {
		return "", engine.Errorf(path, "step %s will have taken it away: %w", from.step, fs.ErrNotExist)
	}
	_, err = os.Lstat(from.path)
	if errors.Is(err, unix.ENOTDIR) { // below a file there is nothing
		err = &fs.PathError{Op: "lstat", Path: from.path, Err: unix.ENOENT}
	}
	if err != nil {
		return "", &engine.Error{Where: path, Err: err}
	}
	return from.path, nil
}

// Walk implements engine.World.
func (o *overlay) Walk(ctx context.Context, root string, fn func(engine.PathFact) error) error {
	if !filepath.IsAbs(root) {
		return engine.Errorf(root, "not an absolute path")
	}
	at := real(root)
	return o.walk(ctx, at, func(fact engine.PathFact) error {
		fact.Path = join(root, strings.TrimPrefix(fact.Path, at))
		return fn(fact)
	})
}

// walk is Walk of a root whose parents are no links.
func (o *overlay) walk(ctx context.Context, root string, fn func(engine.PathFact) error) error {
	top, err := o.stat(root)
	if err != nil || !top.Exists {
		return err
	}
	from, err := o.locate(root)
	if err != nil {
		return err
	}
	if from.created != nil {
		if err := fn(top); err != nil || !from.created.Empty {
			return err
		}
		return o.walkArrivals(ctx, root, "", fn)
	}
	mount, err := mountID(from.path)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(from.path, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since its directory was read
		}
		if err != nil {
			return &engine.Error{Where: p, Err: err}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if skip, err := elsewhere(p, d, mount); skip || err != nil {
			return err
		}
		return o.visit(top, join(root, strings.TrimPrefix(p, from.path)), p, d, fn)
	})
	if err != nil {
		return err
	}
	return o.walkArrivals(ctx, root, from.path, fn)
}

// walkArrivals walks over what earlier steps will have put below root, except
// what is at its place below seen, which was walked over: it comes back there.
func (o *overlay) walkArrivals(ctx context.Context, root, seen string, fn func(engine.PathFact) error) error {
	var walked []string
	for i, e := range o.past.effects[:o.n] {
		path := o.arrival(i, e)
		rest, inside := under(path, root)
		known := slices.ContainsFunc(walked, func(w string) bool { _, ok := under(path, w); return ok })
		if !inside || rest == "" || known {
			continue
		}
		if from, err := o.locate(path); seen != "" && err == nil && from.created == nil && !from.absent && from.path == join(seen, rest) {
			continue
		}
		if err := o.walk(ctx, path, fn); err != nil {
			return err
		}
		walked = append(walked, path)
	}
	return nil
}

// arrival is where in the predicted world the thing will be that effect i
// puts somewhere; empty if it puts nothing anywhere.
func (o *overlay) arrival(i int, e engine.Effect) string {
	var path string
	switch {
	case e.Moved != nil:
		path = e.Moved.To
	case e.Copied != nil:
		path = e.Copied.To
	case e.Created != nil:
		path = e.Created.Fact.Path
	}
	for _, j := range o.past.moves {
		later := o.past.effects[j]
		if j <= i || j >= o.n {
			continue
		}
		if rest, ok := under(path, later.Moved.From); ok {
			path = later.Moved.To + rest
		}
	}
	return path
}

// join appends rest, what a walk has put behind its root, to root.
func join(root, rest string) string { return filepath.Clean(root + "/" + rest) }

// elsewhere reports whether p belongs to another mount than the walk, and
// keeps the walk from entering it. A bind mount of the same file system is
// another mount too; its device number wouldn't tell.
func elsewhere(p string, d fs.DirEntry, mount uint64) (bool, error) {
	id, err := mountID(p)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || id == mount {
		return false, err
	}
	if d.IsDir() {
		return true, filepath.SkipDir
	}
	return true, nil
}

// visit hands one entry of a walk to fn. Entries that effects took away or
// that have vanished are passed over.
func (o *overlay) visit(top engine.PathFact, path, now string, d fs.DirEntry, fn func(engine.PathFact) error) error {
	if at, err := o.locate(path); err != nil || at.absent || at.created != nil || at.path != now {
		return err
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since its directory was read
	}
	if err != nil {
		return &engine.Error{Where: now, Err: err}
	}
	fact, err := fill(engine.PathFact{Path: now, Free: top.Free}, info)
	if err != nil {
		return err
	}
	fact.Path = path
	return fn(o.owned(path, fact))
}

// Unit implements engine.World.
func (o *overlay) Unit(ctx context.Context, name string) (engine.UnitFact, error) {
	told, ok := o.past.units[name]
	if any := newest(o.past.anything, o.n); any >= 0 && (!ok || any > told) {
		return engine.UnitFact{}, &engine.UnknownError{Step: o.past.effects[any].Step}
	}
	if ok {
		return *o.past.effects[told].Unit, nil
	}
	return o.facts.Unit(ctx, name)
}
