package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/durable"
)

var archiveSpec = engine.Spec{
	Name: "archive",
	Doc: "Packs files and directories into a compressed archive (tar.gz) and reads it back. " +
		"It appears in one atomic operation, with mode 0600, and so does each copy. What it replaces is kept. " +
		"Names, owners, modes, times and symbolic links are packed; sockets, pipes and devices are left out. " +
		"An archive of keys is as secret as they are: mind where its copies go. The action archive_extract puts parts of it back; to unpack all: tar -xpzf FILE -C /.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath, Doc: "The archive to write; its directory has to exist."},
		{Name: "sources", Type: cty.List(cty.String), Required: true, Check: checkPaths,
			Doc: "Absolute paths of the files and directories to pack, with all that is in them."},
		{Name: "exclude", Type: cty.List(cty.String), Check: checkPathsOrNone, Doc: "Absolute paths below sources to leave out, with all that is in them."},
		{Name: "copies", Type: cty.List(cty.String), Check: checkPathsOrNone, Doc: "Further directories that get a copy of the same name. They have to exist."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "The archive's path."},
		{Name: "kept", Type: cty.List(cty.String), Doc: "Where what was replaced is kept."},
	},
	Example: `step "archive" "keys" {
  path    = "/var/backups/etcd/pki-${run.id}.tar.gz"
  sources = ["/etc/kubernetes"]
  exclude = ["/etc/kubernetes/tmp"]
}`,
	New: func() engine.Action { return new(archive) },
}

type archive struct {
	Path    string   `cty:"path"`
	Sources []string `cty:"sources"`
	Exclude []string `cty:"exclude"`
	Copies  []string `cty:"copies"`
}

var _ engine.Action = (*archive)(nil)

func checkPaths(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("at least one path is needed")
	}
	return checkPathsOrNone(v)
}

func checkPathsOrNone(v cty.Value) error {
	for _, path := range v.AsValueSlice() {
		if path.IsNull() {
			return errors.New("a path must not be null")
		}
		if err := checkPath(path); err != nil {
			return err
		}
	}
	return nil
}

// archived is archive's record: the places that get it, the first of which it
// is made for, and what tells an archive of this step from any other.
type archived struct {
	Places []place `json:"places"`
	Mark   string  `json:"mark"`
}

// Plan implements engine.Action.
func (a *archive) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	pack, size, err := a.packing(ctx, w.Source)
	if err != nil {
		return engine.Change{}, err
	}
	targets, err := a.targets(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	r := archived{Mark: "runbook " + w.Run().ID + " " + w.Run().Step}
	c := engine.Change{}
	for i, now := range targets {
		done, err := a.holds(ctx, w, now, pack)
		if err != nil {
			return engine.Change{}, err
		}
		if done {
			continue
		}
		p, err := choosePlace(ctx, w, now, "packing", attributeOf(i))
		if err != nil {
			return engine.Change{}, err
		}
		a.add(&c, p, now, size)
		r.Places = append(r.Places, p)
	}
	c.Results = engine.Result{"path": targets[0].Path, "kept": append([]string{}, c.Kept...)}
	return c, c.SetData(r)
}

// attributeOf names the attribute that the i-th place is from.
func attributeOf(i int) string {
	if i == 0 {
		return "path"
	}
	return "copies"
}

// add adds what an archive at one place means.
func (a *archive) add(c *engine.Change, p place, now engine.PathFact, size int64) {
	_, kept, note := p.kept()
	before := "absent"
	if now.Exists {
		before = "another file"
	}
	packed := "up to " + humanize.IBytes(uint64(size)) + " before it is compressed"
	fact := engine.PathFact{Path: p.Target, Exists: true, Type: engine.TypeFile, Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid(), Owner: "root", Group: "root"}
	c.Items = append(c.Items, engine.Item{Target: p.Target, Before: before, After: "archive of " + strings.Join(a.Sources, ", "),
		Note: strings.Join(slices.DeleteFunc([]string{packed, note}, func(s string) bool { return s == "" }), "; ")})
	c.Effects = append(c.Effects, p.effects(engine.Effect{Created: &engine.Created{Fact: fact, Bytes: size}})...)
	c.Kept = append(c.Kept, kept...)
	c.UndoKept = append(c.UndoKept, p.Undone)
}

// packing is what is to be packed, where source finds it, and how many bytes
// that is.
func (a *archive) packing(ctx context.Context, source func(context.Context, string) (string, error)) (packing, int64, error) {
	p := packing{exclude: map[string]bool{}}
	for _, path := range a.Exclude {
		p.exclude[filepath.Clean(path)] = true
	}
	for _, path := range a.Sources {
		path = filepath.Clean(path)
		now, err := source(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			err = engine.Errorf(path, "there is nothing to pack").WithHint("Check the path, or leave it out of sources.").WithAttribute("sources")
		}
		if err != nil {
			return p, 0, err
		}
		if link, err := os.Readlink(now); err == nil {
			return p, 0, engine.Errorf(path, "is a symbolic link to %s, and only the link would be packed", link).
				WithHint("Name what it leads to.").WithAttribute("sources")
		}
		p.roots = append(p.roots, root{name: path, at: now})
	}
	slices.SortFunc(p.roots, func(a, b root) int { return strings.Compare(a.name, b.name) })
	size, err := p.size(ctx)
	return p, size, err
}

// targets are the facts of the places that the archive is to be at.
func (a *archive) targets(ctx context.Context, w engine.World) ([]engine.PathFact, error) {
	path := filepath.Clean(a.Path)
	all := []string{path}
	for _, dir := range a.Copies {
		all = append(all, filepath.Join(dir, filepath.Base(path)))
	}
	var facts []engine.PathFact
	for i, path := range all {
		if slices.Contains(all[:i], path) {
			return nil, engine.Errorf(path, "it would hold the archive twice, under one name").
				WithHint("Name a directory elsewhere.").WithAttribute(attributeOf(i))
		}
		if err := a.refuseInside(path, attributeOf(i)); err != nil {
			return nil, err
		}
		now, err := w.Stat(ctx, path)
		if err != nil {
			return nil, err
		}
		if err := refuseWrite(ctx, w, now); err != nil {
			var e *engine.Error
			if errors.As(err, &e) && e.Attribute == "path" {
				e.Attribute = attributeOf(i)
			}
			return nil, err
		}
		facts = append(facts, now)
	}
	return facts, nil
}

// refuseInside refuses an archive that would have to hold itself.
func (a *archive) refuseInside(path, attribute string) error {
	for _, s := range a.Sources {
		if s = filepath.Clean(s); below(path, s) || path == s {
			return engine.Errorf(path, "it would have to hold itself: it is in %s", s).
				WithHint("Put the archive elsewhere.").WithAttribute(attribute)
		}
	}
	return nil
}

// holds reports whether an archive of just that is there already.
func (a *archive) holds(ctx context.Context, w engine.World, now engine.PathFact, p packing) (bool, error) {
	if now.Type != engine.TypeFile || now.Mode != 0o600 {
		return false, nil
	}
	path, err := w.Source(ctx, now.Path)
	if err != nil {
		return false, err
	}
	have, err := readBack(ctx, path)
	if err != nil {
		return false, nil // whatever it is, it is no archive
	}
	want, err := p.digest(ctx)
	return have.sum == want, err
}

// Apply implements engine.Action.
func (a *archive) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r archived
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	pack, size, err := a.packing(ctx, sourceHere)
	if err != nil {
		return nil, err
	}
	main := filepath.Clean(a.Path)
	for _, p := range r.Places {
		// An earlier call made it where it bears this step's mark. The sources
		// may have changed since.
		ready := func() (bool, error) {
			got, err := readBack(ctx, p.Target)
			return err == nil && got.mark == r.Mark, nil
		}
		stage := func() error { return pack.stage(ctx, p.Staging, r.Mark, size, rep) }
		if p.Target != main {
			stage = func() error { return stageCopy(ctx, main, p.Staging) }
		}
		if err := p.fill(ready, stage); err != nil {
			return nil, err
		}
	}
	return c.Results, nil
}

// Undo implements engine.Action.
func (a *archive) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r archived
	if err := c.GetData(&r); err != nil {
		return err
	}
	for _, p := range r.Places {
		if err := p.clear(); err != nil {
			return err
		}
	}
	return nil
}

// stageCopy copies the archive, which is in place by then.
func stageCopy(ctx context.Context, from, to string) error {
	want, err := readBack(ctx, from)
	if err != nil {
		return err
	}
	in, err := openRegular(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read from
	if err := durable.Create(to, func(f *os.File) error {
		_, err := f.ReadFrom(in)
		return err
	}); err != nil {
		return engine.Errorf(to, "copying the archive: %w", err).WithHint("Make room there, or leave it out of copies.").WithAttribute("copies")
	}
	return want.same(ctx, to)
}

// same fails unless what is read back of path is the same archive.
func (b back) same(ctx context.Context, path string) error {
	got, err := readBack(ctx, path)
	if err == nil && got != b {
		err = errors.New("it has changed on its way to the disk")
	}
	if err != nil {
		return engine.Errorf(path, "reading the archive back: %w", err).
			WithHint("Look at the disk that it is on, then try again.")
	}
	return nil
}
