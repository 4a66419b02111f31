package fault

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var scribbleSpec = engine.Spec{
	Name: "fault_scribble",
	Doc: "Overwrites a part of a file with bytes that mean nothing, as a failing disk does. " +
		"The part is saved first; undo writes it back into the same file." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath, Doc: "Absolute path of the file."},
		{Name: "offset", Type: cty.Number, Default: cty.NumberIntVal(0), Check: checkCount, Doc: "Where the part begins, in bytes from the file's beginning."},
		{Name: "length", Type: cty.Number, Default: cty.NumberIntVal(1 << 20), Check: checkLength, Doc: "How much is overwritten, in bytes; less where the file ends before."},
		keepIn,
	},
	Results: []engine.Attribute{{Name: "kept", Type: cty.String, Doc: "The directory in which the part is saved."}},
	Example: `step "fault_scribble" "first_mib" {
  path = "/var/lib/etcd/member/snap/db"
}`,
	New: func() engine.Action { return new(scribble) },
}

type scribble struct {
	Path   string `cty:"path"`
	Offset int64  `cty:"offset"`
	Length int64  `cty:"length"`
	KeepIn string `cty:"keep_in"`
}

var _ engine.Action = (*scribble)(nil)

func checkLength(v cty.Value) error { return checkWhole(v, 1, 1<<40) }

// Plan implements engine.Action. What is overwritten once can be overwritten
// again: there is always something to do.
func (a *scribble) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Path)
	f, err := existing(ctx, w, path, engine.TypeFile)
	if err != nil {
		return engine.Change{}, err
	}
	if err := oneName(ctx, w, path); err != nil {
		return engine.Change{}, err
	}
	length := min(a.Length, f.Size-a.Offset)
	if length <= 0 {
		return engine.Change{}, engine.Errorf(path, "it has %d bytes, so there is nothing at %d", f.Size, a.Offset).WithHint("Choose a smaller offset.").WithAttribute("offset")
	}
	d := damage{Dir: keptAt(a.KeepIn, w.Run())}
	d.Wounds = []wound{{Path: path, Inode: f.Inode, Offset: a.Offset, Length: length, ModTime: f.ModTime, Kept: filepath.Join(d.Dir, "0")}}
	c := engine.Change{
		Items:   []engine.Item{{Target: "bytes of " + path, Before: "whole", After: fmt.Sprintf("%d bytes at %d overwritten", length, a.Offset)}},
		Results: engine.Result{"kept": d.Dir},
		Kept:    []string{d.Dir},
		Repeats: true,
	}
	return c, c.SetData(d)
}

// Apply implements engine.Action. The bytes are the same each time.
func (a *scribble) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	var d damage
	if err := c.GetData(&d); err != nil {
		return nil, err
	}
	if err := d.save(); err != nil {
		return nil, err
	}
	return c.Results, d.inflict(func(w wound, f *os.File) error {
		noise := rand.NewChaCha8([32]byte{1})
		_, err := io.CopyN(io.NewOffsetWriter(f, w.Offset), noise, w.Length)
		return err
	})
}

// Undo implements engine.Action.
func (a *scribble) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	return healRecorded(c)
}
