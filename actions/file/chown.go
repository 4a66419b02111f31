package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/durable"
)

var chownSpec = engine.Spec{
	Name: "chown",
	Doc: "Gives a file, or a directory with all below it, to a user and group. " +
		"Symbolic links are never followed and other mounted file systems not entered. " +
		"A file that has another name outside of the directory (a hard link) would change hands there too, so the step is refused. " +
		"Linux takes set-user-ID and set-group-ID bits and capabilities away from a file whose owner changes; " +
		"undoing the step puts them back on what is unchanged.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the file or directory. It must not be a symbolic link itself."},
		{Name: "owner", Type: cty.String, Required: true, Check: checkOwner,
			Doc: "User name or number; USER:GROUP names the group as well."},
		{Name: "group", Type: cty.String, Check: checkGroup,
			Doc: "Group name or number. Without it, and without one in owner, the user's login group."},
		{Name: "recursive", Type: cty.Bool, Default: cty.False,
			Doc: "Whether all below the directory changes hands too."},
	},
	Results: []engine.Attribute{
		{Name: "uid", Type: cty.Number, Doc: "The owner's number."},
		{Name: "gid", Type: cty.Number, Doc: "The group's number."},
	},
	Example: `step "chown" "own_data" {
  path      = "/var/lib/etcd"
  owner     = "etcd:etcd"
  recursive = true
}`,
	New: func() engine.Action { return new(chown) },
}

type chown struct {
	Path      string  `cty:"path"`
	Owner     string  `cty:"owner"`
	Group     *string `cty:"group"`
	Recursive bool    `cty:"recursive"`
}

var _ engine.Action = (*chown)(nil)

// Plan implements engine.Action.
func (a *chown) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	to, err := lookupOwner(a.Owner, a.Group)
	if err != nil {
		return engine.Change{}, err
	}
	root, err := w.Stat(ctx, filepath.Clean(a.Path))
	if err != nil {
		return engine.Change{}, err
	}
	err = refuseChown(root)
	if err == nil {
		err = refuseLinked(ctx, w, root.Path, "path")
	}
	if err != nil {
		return engine.Change{}, err
	}
	s := survey{world: w, root: root.Path, to: to.ids}
	if a.Recursive {
		err = w.Walk(ctx, root.Path, func(f engine.PathFact) error { return s.add(ctx, f) })
	} else {
		err = s.add(ctx, root)
	}
	if errors.Is(err, errLogFull) {
		return engine.Change{}, engine.Errorf(root.Path,
			"what undo needs to know takes more than %s: the first %d entries belong to many owners in turn, under names that don't compress",
			humanize.IBytes(maxLog), s.seen).
			WithHint("Change the owner of parts of it in steps of their own.").WithAttribute("path")
	}
	if err == nil {
		err = s.links.refuse(!a.Recursive)
	}
	if err != nil {
		return engine.Change{}, err
	}
	return a.change(root, to, &s)
}

func refuseChown(root engine.PathFact) error {
	switch {
	case !root.Exists:
		return engine.Errorf(root.Path, "there is nothing here").
			WithHint("Check the path for a typing mistake.").WithAttribute("path")
	case root.Type == engine.TypeSymlink:
		return engine.Errorf(root.Path, "is a symbolic link to %s", root.Link).
			WithHint("Name the path that is meant; chown follows no links.").WithAttribute("path")
	}
	return nil
}

func (a *chown) change(root engine.PathFact, to identity, s *survey) (engine.Change, error) {
	c := engine.Change{Results: engine.Result{"uid": to.UID, "gid": to.GID}}
	if s.differ == 0 {
		return c, nil
	}
	item := engine.Item{Target: root.Path, Attribute: "owner", Before: s.before(), After: to.String()}
	if a.Recursive {
		item.Attribute = "owner of all"
		item.Note = fmt.Sprintf("%d of %d entries", s.differ, s.seen)
	}
	c.Items = []engine.Item{item}
	c.Effects = []engine.Effect{{Owned: &engine.Owned{
		Path: root.Path, UID: to.UID, GID: to.GID, Owner: to.user, Group: to.group, Recursive: a.Recursive}}}
	log, err := s.log.bytes()
	if err != nil {
		return c, engine.Errorf(root.Path, "recording the owners: %w", err)
	}
	return c, c.SetData(ownership{Path: root.Path, Inode: root.Inode, Recursive: a.Recursive, To: to.ids, Log: log, Links: s.links.inTree()})
}

// Apply implements engine.Action.
func (a *chown) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var o ownership
	if err := c.GetData(&o); err != nil {
		return nil, err
	}
	err := o.walk(ctx, func(e entry) error {
		r.Progress(engine.Progress{Doing: "changing owners: " + e.path})
		return o.give(e)
	})
	if err != nil {
		return nil, err
	}
	return c.Results, durable.SyncFS(o.Path)
}

// Undo implements engine.Action. What a stranger has given to someone else
// meanwhile stays theirs; what has been created meanwhile goes to whom its
// neighbours belonged.
func (a *chown) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var o ownership
	if err := c.GetData(&o); err != nil {
		return err
	}
	log := newOwnerReader(o.Log)
	err := o.walk(ctx, func(e entry) error {
		r.Progress(engine.Progress{Doing: "giving back: " + e.path})
		return o.giveBack(ctx, e, log, r)
	})
	if err != nil {
		return err
	}
	return durable.SyncFS(o.Path)
}

// give gives an entry to its new owner.
func (o ownership) give(e entry) error {
	if e.ids != o.To && e.manyNamed() && o.Links[e.Inode] != e.links {
		return elsewhere(e.path, e.Inode)
	}
	return e.chown(o.To)
}

// giveBack restores one entry. The kernel clears special bits when the owner
// changes, so they come after.
func (o ownership) giveBack(ctx context.Context, e entry, log *ownerReader, r engine.Reporter) error {
	was, s, err := log.at(strings.TrimPrefix(e.path, o.Path))
	if err != nil {
		return err
	}
	if e.ids == o.To {
		if err := e.chown(was); err != nil {
			return err
		}
	} else if e.ids != was {
		return nil
	}
	if s == nil {
		return nil
	}
	restored, err := e.restore(ctx, *s)
	if err == nil && !restored {
		r.Progress(engine.Progress{Doing: e.path + " may be another program by now, and gets no special bits and capabilities back"})
	}
	return err
}

// survey is what a walk over the tree found.
type survey struct {
	world  engine.World
	root   string
	to     ids
	seen   int
	differ int
	owners []string // the first of those that differ, in the order met
	log    ownerLog
	links  manyNames
}

// mostOwners is how many owners the plan names.
const mostOwners = 3

func (s *survey) add(ctx context.Context, f engine.PathFact) error {
	s.seen++
	rel := strings.TrimPrefix(f.Path, s.root)
	now := ids{f.UID, f.GID}
	if err := s.log.owner(rel, now); err != nil {
		return err
	}
	if now == s.to {
		return nil
	}
	s.differ++
	if name := f.Owner + ":" + f.Group; len(s.owners) <= mostOwners && !slices.Contains(s.owners, name) {
		s.owners = append(s.owners, name)
	}
	if err := s.links.add(ctx, s.world, f); err != nil {
		return err
	}
	special, err := plannedSpecial(ctx, s.world, f)
	if err != nil || special == nil {
		return err
	}
	return s.log.special(rel, *special)
}

// before names the owners that will change, in one line.
func (s *survey) before() string {
	if len(s.owners) > mostOwners {
		return strings.Join(s.owners[:mostOwners], ", ") + " and others"
	}
	return strings.Join(s.owners, ", ")
}
