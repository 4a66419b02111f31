package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

var makeDirectorySpec = engine.Spec{
	Name: "make_directory",
	Doc: "Makes a directory. " +
		"It appears in one atomic operation, with its mode and owner, and with the parents that are made along with it. " +
		"One that exists already gets the mode and the owner that are set, and keeps what isn't. " +
		"Undoing the step removes only directories that it made, and only while they are empty.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the directory. It must not be a symbolic link."},
		{Name: "mode", Type: cty.String, Check: checkMode,
			Doc: "Permissions in octal. Without it, those that it has, or 0755."},
		{Name: "owner", Type: cty.String, Check: checkOwner,
			Doc: "User name or number; USER:GROUP names the group as well. Without it, whose it is, or who runs this."},
		{Name: "group", Type: cty.String, Check: checkGroup, Doc: "Group name or number."},
		{Name: "parents", Type: cty.Bool, Default: cty.False,
			Doc: "Whether missing parents are made too, with mode 0755 and the owner that runs this."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "The directory's path."},
	},
	Example: `step "make_directory" "backups" {
  path    = "/var/backups/etcd"
  mode    = "0700"
  parents = true
}`,
	New: func() engine.Action { return new(makeDirectory) },
}

type makeDirectory struct {
	Path    string  `cty:"path"`
	Mode    *string `cty:"mode"`
	Owner   *string `cty:"owner"`
	Group   *string `cty:"group"`
	Parents bool    `cty:"parents"`
}

var _ engine.Action = (*makeDirectory)(nil)

// madeDirectory is make_directory's record: of directories that are made, or
// of one whose rights change.
type madeDirectory struct {
	place           // of the outermost directory that is made
	Made   []string `json:"made,omitempty"` // outermost first
	Path   string   `json:"path"`
	Inode  uint64   `json:"inode,omitempty"` // of one that exists
	Rights rights   `json:"rights"`
	Was    rights   `json:"was"` // of one that exists
	Usual  rights   `json:"usual"`
}

// Plan implements engine.Action.
func (a *makeDirectory) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Path)
	now, err := w.Stat(ctx, path)
	if err != nil {
		return engine.Change{}, err
	}
	to, id, err := wanted(a.Owner, a.Group, a.Mode, now, 0o755)
	if err != nil {
		return engine.Change{}, err
	}
	switch now.Type {
	case engine.TypeDirectory:
		return a.adjust(now, to, id)
	case engine.TypeSymlink:
		return engine.Change{}, engine.Errorf(path, "is a symbolic link to %s", now.Link).
			WithHint("Name the directory that is meant.").WithAttribute("path")
	case "":
		return a.make(ctx, w, path, to, id)
	}
	return engine.Change{}, engine.Errorf(path, "is no directory (type %s)", now.Type).
		WithHint("Choose another path, or take it away in an earlier step (remove keeps it aside).").WithAttribute("path")
}

func (a *makeDirectory) adjust(now engine.PathFact, to rights, id identity) (engine.Change, error) {
	c := engine.Change{Results: engine.Result{"path": now.Path}, Items: rightsItems(now, to, id)}
	if c.Empty() {
		return c, nil
	}
	c.Effects = []engine.Effect{{Owned: &engine.Owned{
		Path: now.Path, UID: to.UID, GID: to.GID, Owner: id.user, Group: id.group, Mode: &to.Mode}}}
	was := rights{ids: ids{now.UID, now.GID}, Mode: now.Mode}
	return c, c.SetData(madeDirectory{Path: now.Path, Inode: now.Inode, Rights: to, Was: was})
}

func (a *makeDirectory) make(ctx context.Context, w engine.World, path string, to rights, id identity) (engine.Change, error) {
	made, err := a.missing(ctx, w, path)
	if err != nil {
		return engine.Change{}, err
	}
	r := madeDirectory{Made: made, Path: path, Rights: to}
	if r.place, err = choosePlace(ctx, w, engine.PathFact{Path: made[0]}, "making", "path"); err != nil {
		return engine.Change{}, err
	}
	usual, usualID, err := wanted(nil, nil, nil, engine.PathFact{}, 0o755)
	if err != nil {
		return engine.Change{}, err
	}
	r.Usual = usual
	c := engine.Change{Results: engine.Result{"path": path}}
	for _, dir := range made {
		its, whose := usual, usualID
		if dir == path {
			its, whose = to, id
		}
		c.Items = append(c.Items, engine.Item{Target: dir, Before: "absent", After: fmt.Sprintf("directory, %s %s", modeText(its.Mode), whose)})
		c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Empty: true, Fact: engine.PathFact{
			Path: dir, Exists: true, Type: engine.TypeDirectory, UID: its.UID, GID: its.GID, Owner: whose.user, Group: whose.group, Mode: its.Mode}}})
	}
	return c, c.SetData(r)
}

// missing lists path and those of its parents that don't exist, outermost
// first.
func (a *makeDirectory) missing(ctx context.Context, w engine.World, path string) ([]string, error) {
	missing := []string{path}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		fact, err := w.Stat(ctx, dir)
		switch {
		case err != nil:
			return nil, err
		case fact.Type == engine.TypeDirectory || fact.Type == engine.TypeSymlink:
			slices.Reverse(missing)
			return missing, nil
		case fact.Exists:
			return nil, engine.Errorf(dir, "is no directory (type %s)", fact.Type).
				WithHint("Check the path for a typing mistake.").WithAttribute("path")
		case !a.Parents:
			return nil, engine.Errorf(dir, "there is no such directory").
				WithHint("Check the path for a typing mistake, or set parents = true.").WithAttribute("path")
		}
		missing = append(missing, dir)
	}
}

// Apply implements engine.Action.
func (a *makeDirectory) Apply(_ context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r madeDirectory
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	if len(r.Made) == 0 {
		return c.Results, r.turn(r.Was, r.Rights)
	}
	return c.Results, r.fill(r.ready, r.stage)
}

// ready reports whether what is in place is what this step makes.
func (r madeDirectory) ready() (bool, error) {
	for _, dir := range r.Made {
		kind, now, err := rightsAt(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return false, nil
		}
		if err != nil || kind != unix.S_IFDIR || now != r.rightsOf(dir) {
			return false, err
		}
	}
	return true, nil
}

func (r madeDirectory) rightsOf(dir string) rights {
	if dir == r.Path {
		return r.Rights
	}
	return r.Usual
}

// stage makes the outermost directory under its other name, with all others
// in it, and opens it to others at last.
func (r madeDirectory) stage() error {
	pin, err := durable.MakePin(r.Staging)
	if err != nil {
		return err
	}
	defer pin.Close()
	staged := func(dir string) string { return pin.Path + dir[len(r.Made[0]):] }
	for _, dir := range r.Made[1:] {
		if err := durable.Mkdir(staged(dir), 0o700); err != nil {
			return pin.Named(&engine.Error{Where: staged(dir), Err: err})
		}
	}
	for _, dir := range slices.Backward(r.Made) {
		if err := r.rightsOf(dir).giveDirectory(staged(dir)); err != nil {
			return pin.Named(err)
		}
	}
	return durable.SyncTree(r.Staging)
}

// giveDirectory is give for a directory that may be read by nobody.
func (r rights) giveDirectory(path string) error {
	dir, err := durable.Open(path, unix.O_DIRECTORY, 0)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	defer dir.Close()
	return r.giveOpen(dir)
}

func (r rights) giveOpen(dir *os.File) error {
	if err := r.give(int(dir.Fd()), dir.Name()); err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return &engine.Error{Where: dir.Name(), Err: err}
	}
	return nil
}

// turn changes the rights of the directory that exists. Between the two calls
// that it takes, they are neither the one nor the other.
func (r madeDirectory) turn(from, to rights) error {
	dir, err := durable.Open(r.Path, unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return replaced(r.Path)
	}
	if err != nil {
		return &engine.Error{Where: r.Path, Err: err}
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return engine.Errorf(r.Path, "stat: %w", err)
	}
	if r.Inode != 0 && st.Ino != r.Inode {
		return replaced(r.Path)
	}
	now := rightsOf(st)
	ours := (now.ids == from.ids || now.ids == to.ids) && (now.Mode == from.Mode || now.Mode == to.Mode)
	if !ours {
		return engine.Errorf(r.Path, "someone else has changed it to %s %d:%d meanwhile", modeText(now.Mode), now.UID, now.GID).
			WithHint("Look who did; it was %s %d:%d before the step.", modeText(r.Was.Mode), r.Was.UID, r.Was.GID)
	}
	return to.giveOpen(dir)
}

// Undo implements engine.Action.
func (a *makeDirectory) Undo(_ context.Context, c engine.Change, p engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r madeDirectory
	if err := c.GetData(&r); err != nil {
		return err
	}
	if len(r.Made) == 0 {
		return r.turn(r.Rights, r.Was)
	}
	staging, err := inodeAt(r.Staging)
	if err != nil {
		return err
	}
	if staging != 0 { // never in place
		return durable.RemoveAll(r.Staging)
	}
	return r.removeEmpty(p)
}

// removeEmpty removes the directories, innermost first, up to one that holds
// something by now.
func (r madeDirectory) removeEmpty(p engine.Reporter) error {
	for _, dir := range slices.Backward(r.Made) {
		err := durable.Rmdir(dir)
		switch {
		case errors.Is(err, unix.ENOENT): // removed already, or never made
			continue
		case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EBUSY):
			p.Progress(engine.Progress{Doing: dir + " is in use and stays"})
			return durable.SyncDir(filepath.Dir(dir))
		case err != nil:
			return engine.Errorf(dir, "rmdir: %w", err)
		}
		if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return durable.SyncDir(filepath.Dir(r.Made[0]))
}
