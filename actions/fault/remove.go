package fault

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

var removeSpec = engine.Spec{
	Name: "fault_remove",
	Doc: "Takes a file or directory away, and may put something useless in its place. " +
		"It is renamed to a hidden name beside it; undo renames it back." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath, Doc: "Absolute path of what is taken away."},
		{Name: "replace_with", Type: cty.String, Check: checkStray, Doc: "What is put in its place: an empty \"file\" or \"directory\". Default: nothing."},
	},
	Results: []engine.Attribute{{Name: "kept", Type: cty.String, Doc: "Where it is kept."}},
	Example: `step "fault_remove" "lose_member" {
  path         = "/var/lib/etcd/member"
  replace_with = "file"
}`,
	New: func() engine.Action { return new(remove) },
}

type remove struct {
	Path        string  `cty:"path"`
	ReplaceWith *string `cty:"replace_with"`
}

var _ engine.Action = (*remove)(nil)

// removed is the record of a removal.
type removed struct {
	Path  string `json:"path"`
	Kept  string `json:"kept"`
	Inode uint64 `json:"inode"`
	Stray string `json:"stray,omitempty"` // what takes its place: file or directory
}

func checkStray(v cty.Value) error {
	if !slices.Contains([]string{engine.TypeFile, engine.TypeDirectory}, v.AsString()) {
		return errors.New(`it has to be "file" or "directory"`)
	}
	return nil
}

// Plan implements engine.Action. A run takes a thing away once: what it keeps
// tells that it has.
func (a *remove) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Path)
	r := removed{Path: path, Kept: filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".fault-"+w.Run().ID)}
	c := engine.Change{Results: engine.Result{"kept": r.Kept}}
	if taken, err := w.Stat(ctx, r.Kept); err != nil || taken.Exists {
		return c, err
	}
	fact, err := existing(ctx, w, path, "")
	if err != nil {
		return engine.Change{}, err
	}
	r.Inode = fact.Inode
	c.Items = []engine.Item{{Target: path, Before: fact.Type, After: "absent", Note: "kept at " + r.Kept}}
	c.Effects = []engine.Effect{{Moved: &engine.Moved{From: path, To: r.Kept}}}
	c.Kept = []string{r.Kept}
	if a.ReplaceWith != nil {
		r.Stray = *a.ReplaceWith
		c.Items[0].After = "an empty " + r.Stray
		made := engine.PathFact{Path: path, Exists: true, Type: r.Stray, Owner: "root", Group: "root", Mode: 0o600}
		c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: made, Empty: true}})
	}
	return c, c.SetData(r)
}

// Apply implements engine.Action.
func (a *remove) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r removed
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	away, err := r.away()
	if err != nil {
		return nil, err
	}
	if !away {
		if err := durable.Rename(r.Path, r.Kept); err != nil {
			return nil, err
		}
	}
	return c.Results, r.putStray()
}

// away reports whether the thing is at the place where it is kept.
func (r removed) away() (bool, error) {
	here, there := inodeAt(r.Path), inodeAt(r.Kept)
	if there == r.Inode {
		return true, durable.SyncParents(r.Path, r.Kept)
	}
	if here == r.Inode {
		return false, nil
	}
	return false, engine.Errorf(r.Path, "what was here when the step was planned is neither here nor at %s", r.Kept).
		WithHint("Something else has moved or deleted it; find it before going on.")
}

func (r removed) putStray() error {
	var err error
	switch r.Stray {
	case engine.TypeFile:
		err = durable.Create(r.Path, func(*os.File) error { return nil })
	case engine.TypeDirectory:
		err = durable.MkdirAll(r.Path, 0o600)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // made by an earlier call
	}
	return err
}

// Undo implements engine.Action.
func (a *remove) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r removed
	if err := c.GetData(&r); err != nil {
		return err
	}
	switch away, err := r.away(); {
	case err != nil:
		return err
	case !away: // perhaps an earlier call has renamed it, and was ended before the sync
		return durable.SyncParents(r.Path, r.Kept)
	}
	if r.Stray != "" {
		if err := r.takeStray(); err != nil {
			return err
		}
	}
	return durable.Rename(r.Kept, r.Path)
}

// takeStray deletes what putStray made, if it is as useless as it was.
func (r removed) takeStray() error {
	info, err := os.Lstat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		err = errors.New("it isn't empty any more")
	}
	if err == nil {
		err = takeEmpty(r.Path)
	}
	if err != nil {
		return engine.Errorf(r.Path, "taking away what was put here: %w", err).WithHint("Move it aside, then roll back again: what was here before is kept at %s.", r.Kept)
	}
	return nil
}

// takeEmpty removes a file, or a directory with nothing in it.
func takeEmpty(path string) error {
	err := durable.At(path, func(dir int, name string) error { return unix.Unlinkat(dir, name, 0) })
	if errors.Is(err, unix.EISDIR) {
		return durable.Rmdir(path)
	}
	return err
}

// inodeAt is 0 where nothing is.
func inodeAt(path string) uint64 {
	st, err := durable.Lstat(path)
	if err != nil {
		return 0
	}
	return st.Ino
}
