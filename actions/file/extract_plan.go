package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"

	"runbook/engine"
)

// Plan implements engine.Action.
func (a *extract) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	if err := a.refuseNames(); err != nil {
		return engine.Change{}, err
	}
	path := filepath.Clean(a.Archive)
	now, err := w.Source(ctx, path)
	if err != nil {
		return engine.Change{}, noArchive(path, err)
	}
	u, err := unpack(ctx, now, a.Files)
	if err != nil {
		return engine.Change{}, noArchive(path, err)
	}
	if name := u.lacking(a.Files); name != "" {
		return engine.Change{}, engine.Errorf(name, "the archive %s doesn't hold it", path).
			WithHint("See what it holds: tar -tzvf %s.", path).WithAttribute("files")
	}
	p := &extraction{a: a, u: u, w: w, seen: map[string]string{}, rec: extracted{Archive: path, Sum: u.sum}}
	for _, name := range slices.Sorted(slices.Values(a.Files)) {
		name = filepath.Clean(name)
		if err := p.add(ctx, name, a.target(name)); err != nil {
			return engine.Change{}, err
		}
	}
	c := p.change
	c.Results = engine.Result{"paths": p.paths(), "kept": append([]string{}, c.Kept...)}
	return c, c.SetData(p.rec)
}

// target is where a file goes.
func (a *extract) target(name string) string {
	for from, to := range a.To {
		if filepath.Clean(from) == name {
			return filepath.Clean(to)
		}
	}
	return name
}

func (a *extract) refuseNames() error {
	for from := range a.To {
		if !slices.ContainsFunc(a.Files, func(f string) bool { return filepath.Clean(f) == filepath.Clean(from) }) {
			return engine.Errorf(from, "it isn't in files, so nothing of that name is put back").
				WithHint("Name it in files as well.").WithAttribute("to")
		}
	}
	return nil
}

// extraction is a plan in the making.
type extraction struct {
	a      *extract
	u      *unpacked
	w      engine.World
	seen   map[string]string // what goes to a path
	rec    extracted
	change engine.Change
}

func (p *extraction) paths() []string {
	all := []string{}
	for _, one := range p.rec.Places {
		all = append(all, one.Target)
	}
	return all
}

// add plans what the archive has under name, which is to be at target.
func (p *extraction) add(ctx context.Context, name, target string) error {
	if other, ok := p.seen[target]; ok && other != name {
		return engine.Errorf(target, "%s and %s would both be put here", other, name).
			WithHint("Give each a place of its own.").WithAttribute("to")
	} else if ok {
		return nil
	}
	p.seen[target] = name
	now, err := p.w.Stat(ctx, target)
	if err != nil {
		return err
	}
	m := p.u.members[name]
	switch {
	case m.dir() && now.Type == engine.TypeDirectory:
		return p.addChildren(ctx, name, target)
	case m.dir() && now.Exists:
		return engine.Errorf(target, "it is a directory in the archive, and a %s here", now.Type).
			WithHint("Take it away in an earlier step (remove keeps it aside).").WithAttribute("files")
	case now.Exists && p.a.MissingOnly:
		return nil
	}
	if err := p.refuse(ctx, now); err != nil {
		return err
	}
	if m.dir() {
		return p.addTree(ctx, m, now)
	}
	return p.addFile(ctx, m, now)
}

func (p *extraction) addChildren(ctx context.Context, name, target string) error {
	for _, child := range p.u.childrenOf(name) {
		if err := p.add(ctx, filepath.Join(name, child), filepath.Join(target, child)); err != nil {
			return err
		}
	}
	return nil
}

// refuse tells why nothing can be put at a path.
func (p *extraction) refuse(ctx context.Context, now engine.PathFact) error {
	err := refuseWrite(ctx, p.w, now)
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		if e.Where == filepath.Dir(now.Path) {
			e.Hint = "Name the directory itself in files, to put it back with all below it, or make it in an earlier step (make_directory)."
		}
		e.Attribute = "files"
	}
	return err
}

// addFile plans a file, which may be as it is to be already.
func (p *extraction) addFile(ctx context.Context, m *member, now engine.PathFact) error {
	to, id, err := m.rights()
	if err != nil {
		return err
	}
	write := writeFile{Content: string(m.content)}
	items, err := write.items(ctx, p.w, now, to, id)
	if err != nil || len(items) == 0 {
		return err
	}
	return p.put(ctx, m, now, items, []engine.Effect{m.effect(now.Path, to, id)})
}

// addTree plans a directory that is missing, with all below it.
func (p *extraction) addTree(ctx context.Context, root *member, now engine.PathFact) error {
	var effects []engine.Effect
	files := 0
	item := engine.Item{Target: now.Path, Before: "absent"}
	err := p.u.tree(root, func(m *member, rel string) error {
		to, id, err := m.rights()
		if err != nil {
			return err
		}
		if m == root {
			item.After = fmt.Sprintf("%s %s", modeText(to.Mode), id)
		}
		if !m.dir() {
			files++
		}
		p.seen[now.Path+rel] = m.name
		effects = append(effects, m.effect(now.Path+rel, to, id))
		return nil
	})
	if err != nil {
		return err
	}
	item.After = fmt.Sprintf("directory with %s, %s", humanize.Comma(int64(files))+plural(files, " file"), item.After)
	return p.put(ctx, root, now, []engine.Item{item}, effects)
}

func plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// put adds a place, and what it means.
func (p *extraction) put(ctx context.Context, m *member, now engine.PathFact, items []engine.Item, made []engine.Effect) error {
	var size int64
	for _, e := range made {
		size += e.Created.Bytes
	}
	if err := enoughRoom(ctx, p.w, now.Path, size, "files"); err != nil {
		return err
	}
	at, err := choosePlace(ctx, p.w, now, "extracting", "files")
	if err != nil {
		return err
	}
	_, kept, note := at.kept()
	items[0].Note = "from the archive, of " + utc(m.head.ModTime)
	if note != "" {
		items[0].Note += "; " + note
	}
	p.rec.Places = append(p.rec.Places, putBack{place: at, Name: m.name})
	p.change.Items = append(p.change.Items, items...)
	p.change.Effects = append(p.change.Effects, at.effects(made[0])...)
	p.change.Effects = append(p.change.Effects, made[1:]...)
	p.change.Kept = append(p.change.Kept, kept...)
	p.change.UndoKept = append(p.change.UndoKept, at.Undone)
	return nil
}
