package fault

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var truncateSpec = engine.Spec{
	Name:     "fault_truncate",
	Doc:      "Cuts files off, as a full disk or a crash does. What is cut off is saved first; undo writes it back into the same files." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath, Doc: "Absolute path of the file; its last element may be a pattern such as *.wal, for all regular files that match it."},
		{Name: "size_bytes", Type: cty.Number, Default: cty.NumberIntVal(0), Check: checkCount, Doc: "What is left of each file, in bytes."},
		keepIn,
	},
	Results: []engine.Attribute{
		{Name: "files", Type: cty.List(cty.String), Doc: "The files that were cut off."},
		{Name: "kept", Type: cty.String, Doc: "The directory in which what was cut off is saved; empty where there was nothing to do."},
	},
	Example: `step "fault_truncate" "empty_wal" {
  path = "/var/lib/etcd/member/wal/*.wal"
}`,
	New: func() engine.Action { return new(truncate) },
}

type truncate struct {
	Path   string `cty:"path"`
	Size   int64  `cty:"size_bytes"`
	KeepIn string `cty:"keep_in"`
}

var _ engine.Action = (*truncate)(nil)

// Plan implements engine.Action. A file that is written to all the time is not
// what is compared between plan and run, so the items name its bytes.
func (a *truncate) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	files, err := a.matching(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	d := damage{Dir: keptAt(a.KeepIn, w.Run())}
	c := engine.Change{Results: engine.Result{"files": []string{}, "kept": ""}}
	for i, f := range files {
		if f.Size <= a.Size {
			continue
		}
		if err := oneName(ctx, w, f.Path); err != nil {
			return engine.Change{}, err
		}
		c.Items = append(c.Items, engine.Item{
			Target: "bytes of " + f.Path, Before: "whole", After: fmt.Sprintf("cut off at %d", a.Size), Note: fmt.Sprintf("%d bytes now", f.Size),
		})
		d.Wounds = append(d.Wounds, wound{
			Path: f.Path, Inode: f.Inode, Offset: a.Size, Length: math.MaxInt64 - a.Size, ModTime: f.ModTime, Kept: filepath.Join(d.Dir, fmt.Sprint(i)),
		})
	}
	if c.Empty() {
		return c, nil
	}
	c.Results = engine.Result{"files": d.paths(), "kept": d.Dir}
	c.Kept = []string{d.Dir}
	return c, c.SetData(d)
}

func (d damage) paths() []string {
	var all []string
	for _, w := range d.Wounds {
		all = append(all, w.Path)
	}
	return all
}

// matching are the regular files that path names, in order.
func (a *truncate) matching(ctx context.Context, w engine.World) ([]engine.PathFact, error) {
	dir, pattern := filepath.Split(filepath.Clean(a.Path))
	var found []engine.PathFact
	err := w.Walk(ctx, filepath.Clean(dir), func(f engine.PathFact) error {
		match, err := filepath.Match(pattern, filepath.Base(f.Path))
		if match && f.Type == engine.TypeFile && filepath.Dir(f.Path) == filepath.Clean(dir) {
			found = append(found, f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, engine.Errorf(a.Path, "there is no regular file to cut off").WithHint("Name files that are there.").WithAttribute("path")
	}
	slices.SortFunc(found, func(a, b engine.PathFact) int { return strings.Compare(a.Path, b.Path) })
	return found, nil
}

// Apply implements engine.Action.
func (a *truncate) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var d damage
	if err := c.GetData(&d); err != nil {
		return nil, err
	}
	if err := d.save(); err != nil {
		return nil, err
	}
	return c.Results, d.inflict(func(w wound, f *os.File) error { return f.Truncate(w.Offset) })
}

// Undo implements engine.Action.
func (a *truncate) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	return healRecorded(c)
}

func healRecorded(c engine.Change) error {
	if c.Empty() {
		return nil
	}
	var d damage
	if err := c.GetData(&d); err != nil {
		return err
	}
	return d.heal()
}
