package file

import (
	"context"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var removeSpec = engine.Spec{
	Name: "remove",
	Doc: "Takes a file or directory away without deleting it. " +
		"It is renamed to a hidden name beside it, `.NAME.removed-RUN`, and the run's report names it; " +
		"deleting it for good is left to you. " +
		"Where nothing is at the path, the step has nothing to do.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the file or directory to take away. Of a symbolic link, the link itself is taken."},
	},
	Results: []engine.Attribute{
		{Name: "kept", Type: cty.String, Doc: "Where it is kept; null where nothing was there."},
	},
	Example: `step "remove" "stale_data" {
  path = "/var/lib/etcd/member"
}`,
	New: func() engine.Action { return new(remove) },
}

type remove struct {
	Path string `cty:"path"`
}

var _ engine.Action = (*remove)(nil)

// Plan implements engine.Action.
func (a *remove) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Path)
	fact, err := w.Stat(ctx, path)
	if err != nil {
		return engine.Change{}, err
	}
	if !fact.Exists {
		return engine.Change{Results: engine.Result{"kept": nil}}, nil
	}
	if err := movable(ctx, w, path, "path"); err != nil {
		return engine.Change{}, err
	}
	if err := refuseLinked(ctx, w, path, "path"); err != nil {
		return engine.Change{}, err
	}
	kept, err := quarantine(ctx, w, path)
	if err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{
		Items:   []engine.Item{{Target: path, Before: fact.Type, After: "absent", Note: "kept at " + kept}},
		Effects: []engine.Effect{{Moved: &engine.Moved{From: path, To: kept}}},
		Results: engine.Result{"kept": kept},
		Kept:    []string{kept},
	}
	return c, c.SetData(relocation{From: path, To: kept, Inode: fact.Inode})
}

// quarantine chooses a free name beside path. A run that removes the same path
// twice finds the first name taken.
func quarantine(ctx context.Context, w engine.World, path string) (string, error) {
	for n := 1; ; n++ {
		candidate := beside(path, "removed", w.Run().ID, n)
		if free, err := allFree(ctx, w, candidate); err != nil || free {
			return candidate, err
		}
	}
}

// Apply implements engine.Action.
func (a *remove) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r, err := carryRecorded(c, false)
	if err != nil {
		return nil, err
	}
	return engine.Result{"kept": r.To}, nil
}

// Undo implements engine.Action.
func (a *remove) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	_, err := carryRecorded(c, true)
	return err
}
