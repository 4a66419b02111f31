package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

var fillDiskSpec = engine.Spec{
	Name: "fault_fill_disk",
	Doc: "Fills the file system of a directory with a file that holds nothing, root's reserve included. " +
		"Undo deletes that file." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath, Doc: "Absolute path of a directory on the file system."},
		{Name: "leave_bytes", Type: cty.Number, Default: cty.NumberIntVal(0), Check: checkCount, Doc: "How much is left free, in bytes."},
	},
	Results: []engine.Attribute{{Name: "file", Type: cty.String, Doc: "The file that fills it."}},
	Example: `step "fault_fill_disk" "no_room" {
  path = "/var/lib/etcd"
}`,
	New: func() engine.Action { return new(fillDisk) },
}

type fillDisk struct {
	Path  string `cty:"path"`
	Leave int64  `cty:"leave_bytes"`
}

var _ engine.Action = (*fillDisk)(nil)

// ballast is the record of a filled file system.
type ballast struct {
	File  string `json:"file"`
	Leave int64  `json:"leave"`
}

// Plan implements engine.Action.
func (a *fillDisk) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	dir := filepath.Clean(a.Path)
	if _, err := existing(ctx, w, dir, engine.TypeDirectory); err != nil {
		return engine.Change{}, err
	}
	b := ballast{File: filepath.Join(dir, ".ballast-"+w.Run().ID), Leave: a.Leave}
	c := engine.Change{Results: engine.Result{"file": b.File}}
	if made, err := w.Stat(ctx, b.File); err != nil || made.Exists {
		return c, err
	}
	free, err := freeOn(dir)
	if err != nil {
		return engine.Change{}, err
	}
	c.Items = []engine.Item{{
		Target: b.File, Before: "absent", After: fmt.Sprintf("fills the file system, all but %s", humanize.IBytes(uint64(a.Leave))),
		Note: humanize.IBytes(free) + " are free",
	}}
	fact := engine.PathFact{Path: b.File, Exists: true, Type: engine.TypeFile, Owner: "root", Group: "root", Mode: 0o600}
	c.Effects = []engine.Effect{{Created: &engine.Created{Fact: fact, Bytes: int64(free) - a.Leave}}}
	return c, c.SetData(b)
}

// freeOn is what root can still write on the file system of dir, in bytes.
func freeOn(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, engine.Errorf(dir, "statfs: %w", err)
	}
	return st.Bfree * uint64(st.Bsize), nil
}

// Apply implements engine.Action. The file has its name from the beginning, so
// that undo finds it however far this got.
func (a *fillDisk) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var b ballast
	if err := c.GetData(&b); err != nil {
		return nil, err
	}
	f, err := b.open()
	if err != nil {
		return nil, engine.Errorf(b.File, "open: %w", err)
	}
	err = b.fill(ctx, f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, engine.Errorf(b.File, "filling the disk: %w", err).WithHint("Roll the drill back: that deletes the file.")
	}
	return c.Results, durable.SyncDir(filepath.Dir(b.File))
}

// open opens the file, which an earlier call may have made. Nobody else's file
// is to grow.
func (b ballast) open() (*os.File, error) {
	f, err := durable.Open(b.File, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && (int(st.Uid) != os.Geteuid() || st.Nlink != 1 || st.Mode&unix.S_IFMT != unix.S_IFREG) {
		err = errors.New("it is not the file that this drill makes")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fill allocates in steps that become smaller as room runs out.
func (b ballast) fill(ctx context.Context, f *os.File, r engine.Reporter) error {
	const least = 4096
	for step := int64(1 << 30); step >= least; {
		if err := ctx.Err(); err != nil {
			return err
		}
		free, err := freeOn(filepath.Dir(b.File))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		r.Progress(engine.Progress{Doing: "filling the disk", Done: info.Size(), Total: info.Size() + int64(free) - b.Leave})
		if step > int64(free)-b.Leave {
			step /= 2
			continue
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, info.Size(), step); {
		case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
			step /= 2
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		}
	}
	return f.Sync()
}

// Undo implements engine.Action.
func (a *fillDisk) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var b ballast
	if err := c.GetData(&b); err != nil {
		return err
	}
	return durable.RemoveAll(b.File)
}
