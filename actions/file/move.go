package file

import (
	"context"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var moveSpec = engine.Spec{
	Name: "move",
	Doc: "Renames a file or directory within its file system. " +
		"Nothing is ever replaced: the step is refused where something is at the destination. " +
		"It is done in one atomic operation, so other programs see the old name or the new one. " +
		"Where only the destination exists, the step has nothing to do.",
	Attributes: []engine.Attribute{
		{Name: "from", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the file or directory to move."},
		{Name: "to", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path at which it will be; not the directory to put it in. The parent directory has to exist."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "Where it is now."},
	},
	Example: `step "move" "set_data_aside" {
  from = "/var/lib/etcd/member"
  to   = "/var/lib/etcd/member.broken"
}`,
	New: func() engine.Action { return new(move) },
}

type move struct {
	From string `cty:"from"`
	To   string `cty:"to"`
}

var _ engine.Action = (*move)(nil)

// Plan implements engine.Action.
func (m *move) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	from, to := filepath.Clean(m.From), filepath.Clean(m.To)
	src, err := w.Stat(ctx, from)
	if err != nil {
		return engine.Change{}, err
	}
	dst, err := w.Stat(ctx, to)
	if err != nil {
		return engine.Change{}, err
	}
	results := engine.Result{"path": to}
	if !src.Exists && dst.Exists {
		return engine.Change{Results: results}, nil
	}
	if err := refuseMove(ctx, w, src, dst); err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{
		Items:   []engine.Item{{Target: from, Before: src.Type, After: "at " + to}},
		Effects: []engine.Effect{{Moved: &engine.Moved{From: from, To: to}}},
		Results: results,
	}
	return c, c.SetData(relocation{From: from, To: to, Inode: src.Inode})
}

func refuseMove(ctx context.Context, w engine.World, src, dst engine.PathFact) error {
	switch {
	case !src.Exists:
		return engine.Errorf(src.Path, "there is nothing here, nor at %s", dst.Path).
			WithHint("Check the path for a typing mistake.").WithAttribute("from")
	case src.Path == dst.Path:
		return engine.Errorf(dst.Path, "from and to are the same path").WithAttribute("to")
	case below(dst.Path, src.Path):
		return engine.Errorf(dst.Path, "is inside %s, which can't be moved into itself", src.Path).WithAttribute("to")
	case dst.Exists:
		return engine.Errorf(dst.Path, "something is here already (a %s), and move replaces nothing", dst.Type).
			WithHint("Remove it in an earlier step (remove keeps it aside), or move to another name.").WithAttribute("to")
	}
	if err := movable(ctx, w, src.Path, "from"); err != nil {
		return err
	}
	if err := refuseLinked(ctx, w, src.Path, "from"); err != nil {
		return err
	}
	return refuseParent(ctx, w, src, dst)
}

// refuseParent tells why src can't be put into dst's directory.
func refuseParent(ctx context.Context, w engine.World, src, dst engine.PathFact) error {
	if err := needParent(ctx, w, dst.Path, "to"); err != nil {
		return err
	}
	if err := refuseLinked(ctx, w, dst.Path, "to"); err != nil {
		return err
	}
	dir, err := w.Stat(ctx, filepath.Dir(dst.Path))
	if err != nil {
		return err
	}
	// The device of what an earlier step will have created isn't known yet.
	if dir.Type == engine.TypeDirectory && src.Device != 0 && dir.Device != 0 && src.Device != dir.Device {
		return engine.Errorf(dst.Path, "is on another file system than %s", src.Path).
			WithHint("Choose a destination on the same file system: moving between two would be a copy, which isn't atomic.").
			WithAttribute("to")
	}
	return nil
}

// needParent refuses a path whose directory doesn't exist. A symbolic link to
// a directory does as well as a directory; the system call itself tells where
// it doesn't.
func needParent(ctx context.Context, w engine.World, path, attribute string) error {
	dir, err := w.Stat(ctx, filepath.Dir(path))
	if err != nil || dir.Type == engine.TypeDirectory || dir.Type == engine.TypeSymlink {
		return err
	}
	return engine.Errorf(dir.Path, "there is no such directory").
		WithHint("Create it in an earlier step (make_directory).").WithAttribute(attribute)
}

// Apply implements engine.Action.
func (m *move) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r, err := carryRecorded(c, false)
	if err != nil {
		return nil, err
	}
	return engine.Result{"path": r.To}, nil
}

// Undo implements engine.Action.
func (m *move) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	_, err := carryRecorded(c, true)
	return err
}
