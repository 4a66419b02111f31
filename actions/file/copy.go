package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

var copySpec = engine.Spec{
	Name: "copy",
	Doc: "Copies a file, or a directory with all below it. " +
		"Owners, modes, times, extended attributes, symbolic links, holes, and hard links within the tree stay what they are; file flags (lsattr) don't. " +
		"The copy is made beside the destination, synced, and put in place in one atomic operation; where the file system can, it shares its blocks with the origin. " +
		"Where the same is at the destination already, times aside, the step has nothing to do; where something else is, it is refused unless replace is set. " +
		"Undoing the step moves the copy aside to `.NAME.undone-RUN`, and brings back what was replaced.",
	Attributes: []engine.Attribute{
		{Name: "from", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the file or directory. Nothing may write in it meanwhile. Of a symbolic link, the link itself is copied."},
		{Name: "to", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the copy; not the directory to put it in. The parent directory has to exist."},
		{Name: "replace", Type: cty.Bool, Default: cty.False,
			Doc: "Whether something else at the destination is replaced. It is kept beside it as `.NAME.replaced-RUN`."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "Where the copy is."},
		{Name: "kept", Type: cty.String, Doc: "Where what was replaced is kept; null where nothing was."},
	},
	Example: `step "copy" "save_data" {
  from = "/var/lib/etcd/member"
  to   = "/var/backups/etcd/member"
}`,
	New: func() engine.Action { return new(copyAction) },
}

type copyAction struct {
	From    string `cty:"from"`
	To      string `cty:"to"`
	Replace bool   `cty:"replace"`
}

var _ engine.Action = (*copyAction)(nil)

// copied is copy's record.
type copied struct {
	place
	From    string `json:"from"`
	Inode   uint64 `json:"inode"` // of the origin
	Bytes   int64  `json:"bytes"` // in its files
	Entries int    `json:"entries"`
}

// Plan implements engine.Action.
func (a *copyAction) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	src, err := w.Stat(ctx, filepath.Clean(a.From))
	if err != nil {
		return engine.Change{}, err
	}
	dst, err := w.Stat(ctx, filepath.Clean(a.To))
	if err != nil {
		return engine.Change{}, err
	}
	if err := refuseCopy(ctx, w, src, dst); err != nil {
		return engine.Change{}, err
	}
	if dst.Exists {
		same, err := sameTree(ctx, worldTree(ctx, w, src.Path), worldTree(ctx, w, dst.Path))
		if same && err == nil {
			return engine.Change{Results: engine.Result{"path": dst.Path, "kept": nil}}, nil
		}
		if err == nil {
			err = a.refuseReplace(ctx, w, dst)
		}
		if err != nil {
			return engine.Change{}, err
		}
	}
	return a.change(ctx, w, src, dst)
}

func refuseCopy(ctx context.Context, w engine.World, src, dst engine.PathFact) error {
	switch {
	case !src.Exists:
		return engine.Errorf(src.Path, "there is nothing here").
			WithHint("Check the path for a typing mistake.").WithAttribute("from")
	case src.Path == dst.Path:
		return engine.Errorf(dst.Path, "from and to are the same path").WithAttribute("to")
	}
	if err := needParent(ctx, w, dst.Path, "to"); err != nil {
		return err
	}
	if err := refuseLinked(ctx, w, src.Path, "from"); err != nil {
		return err
	}
	now, err := w.Source(ctx, src.Path)
	if err != nil {
		return err
	}
	from, to := resolved(src.Path), resolved(dst.Path)
	switch {
	case below(to, from) || below(dst.Path, src.Path) || to == from:
		return engine.Errorf(dst.Path, "is inside %s, which can't be copied into itself", src.Path).WithAttribute("to")
	case below(from, to) || below(src.Path, dst.Path):
		return engine.Errorf(dst.Path, "is around %s, which would be moved away with it", src.Path).WithAttribute("to")
	}
	return refuseMounts(src.Path, resolved(now))
}

// resolved is path with the links in its directory followed, as far as they
// exist by now.
func resolved(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, filepath.Base(path))
}

func (a *copyAction) refuseReplace(ctx context.Context, w engine.World, dst engine.PathFact) error {
	if !a.Replace {
		return engine.Errorf(dst.Path, "something else is here already (a %s)", dst.Type).
			WithHint("Set replace = true, which keeps it beside the copy, or copy to another name.").WithAttribute("to")
	}
	return movable(ctx, w, dst.Path, "to")
}

func (a *copyAction) change(ctx context.Context, w engine.World, src, dst engine.PathFact) (engine.Change, error) {
	s := sizing{links: map[uint64]bool{}}
	if err := w.Walk(ctx, src.Path, func(f engine.PathFact) error { return s.add(ctx, w, f) }); err != nil {
		return engine.Change{}, err
	}
	if err := enoughRoom(ctx, w, dst.Path, s.need, "to"); err != nil {
		return engine.Change{}, err
	}
	p, err := choosePlace(ctx, w, dst, "copying", "to")
	if err != nil {
		return engine.Change{}, err
	}
	result, kept, note := p.kept()
	item := engine.Item{Target: dst.Path, Before: "absent", After: fmt.Sprintf("copy of the %s %s", src.Type, src.Path),
		Note: fmt.Sprintf("%s, %s", entries(s.entries), humanize.IBytes(uint64(s.bytes)))}
	if dst.Exists {
		item.Before = "another " + dst.Type
		item.Note += "; " + note
	}
	c := engine.Change{
		Items:   []engine.Item{item},
		Effects: p.effects(engine.Effect{Copied: &engine.Copied{From: src.Path, To: dst.Path, Bytes: s.need}}),
		Results: engine.Result{"path": dst.Path, "kept": result},
		Kept:    kept, UndoKept: []string{p.Undone},
	}
	return c, c.SetData(copied{place: p, From: src.Path, Inode: src.Inode, Bytes: s.bytes, Entries: s.entries})
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return humanize.Comma(int64(n)) + " entries"
}

// sizing is how much there is to copy.
type sizing struct {
	entries int
	bytes   int64           // in files
	need    int64           // on the disk
	links   map[uint64]bool // files of several names, by inode
}

func (s *sizing) add(ctx context.Context, w engine.World, f engine.PathFact) error {
	s.entries++
	now, err := w.Source(ctx, f.Path)
	if err != nil {
		return passVanished(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(now, &st); err != nil {
		return passVanished(engine.Errorf(now, "lstat: %w", err))
	}
	if f.Type != engine.TypeDirectory && st.Nlink > 1 {
		if s.links[st.Ino] {
			return nil
		}
		s.links[st.Ino] = true
	}
	const inode = 512 // or thereabouts, beside its blocks
	s.need += st.Blocks*512 + inode
	if f.Type == engine.TypeFile {
		s.bytes += st.Size
	}
	return nil
}

func passVanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Apply implements engine.Action.
func (a *copyAction) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var rec copied
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	ready := func() (bool, error) {
		return sameTree(ctx, diskTree(ctx, rec.From), diskTree(ctx, rec.Target))
	}
	return c.Results, rec.fill(ready, func() error { return rec.stage(ctx, r) })
}

// manyEntries is from where on one sync of the whole file system is quicker
// than one of each file.
const manyEntries = 10_000

func (r copied) stage(ctx context.Context, rep engine.Reporter) error {
	now, err := inodeAt(r.From)
	if err != nil {
		return err
	}
	if now == 0 {
		return replaced(r.From)
	}
	c := copier{ctx: ctx, report: rep, from: r.From, to: r.Staging, origin: r.Inode, total: r.Bytes, links: map[fileID]*firstLink{}}
	if err := c.run(); err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "waiting for the disk", Done: c.done, Total: r.Bytes})
	if r.Entries > manyEntries {
		return errors.Join(durable.SyncFS(r.Staging), durable.SyncDir(filepath.Dir(r.Staging)))
	}
	return durable.SyncTree(r.Staging)
}

// Undo implements engine.Action.
func (a *copyAction) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r copied
	if err := c.GetData(&r); err != nil {
		return err
	}
	return r.clear()
}
