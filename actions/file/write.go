package file

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/durable"
)

var writeSpec = engine.Spec{
	Name: "write_file",
	Doc: "Writes a file. " +
		"It is written under another name, synced and put in place in one atomic operation, so other programs see the old content or the new one. " +
		"The file that was there is kept beside it as `.NAME.replaced-RUN`, and undoing the step brings it back; its extended attributes are those of the new one too. " +
		"Where content, mode and owner are already so, the step has nothing to do. " +
		"The plan shows the difference of texts below 64 KiB that everybody may read, and no content of any other file.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the file. Its directory has to exist, and it must not be a symbolic link."},
		{Name: "content", Type: cty.String, Required: true,
			Doc: "What the file is to hold, byte for byte: a heredoc with `${…}` in it, or file(\"beside-the-runbook\")."},
		{Name: "mode", Type: cty.String, Check: checkMode,
			Doc: "Permissions in octal. Without it, those of the file that is replaced, or 0644."},
		{Name: "owner", Type: cty.String, Check: checkOwner,
			Doc: "User name or number; USER:GROUP names the group as well. Without it, that of the file that is replaced, or who runs this."},
		{Name: "group", Type: cty.String, Check: checkGroup, Doc: "Group name or number."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "The file's path."},
		{Name: "kept", Type: cty.String, Doc: "Where the old file is kept; null where nothing was there or nothing had to be done."},
	},
	Example: `step "write_file" "etcd_environment" {
  path    = "/etc/default/etcd"
  mode    = "0644"
  content = <<-EOT
    ETCD_NAME=default
    ETCD_DATA_DIR=/var/lib/etcd
  EOT
}`,
	New: func() engine.Action { return new(writeFile) },
}

type writeFile struct {
	Path    string  `cty:"path"`
	Content string  `cty:"content"`
	Mode    *string `cty:"mode"`
	Owner   *string `cty:"owner"`
	Group   *string `cty:"group"`
}

var _ engine.Action = (*writeFile)(nil)

// written is write_file's record. The content isn't in it: it may be secret,
// and each call has it from the configuration.
type written struct {
	place
	Rights rights `json:"rights"`
}

// Plan implements engine.Action.
func (a *writeFile) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	path := filepath.Clean(a.Path)
	now, err := w.Stat(ctx, path)
	if err != nil {
		return engine.Change{}, err
	}
	if err := refuseWrite(ctx, w, now); err != nil {
		return engine.Change{}, err
	}
	to, id, err := wanted(a.Owner, a.Group, a.Mode, now, 0o644)
	if err != nil {
		return engine.Change{}, err
	}
	items, err := a.items(ctx, w, now, to, id)
	if err != nil {
		return engine.Change{}, err
	}
	if len(items) == 0 {
		return engine.Change{Results: engine.Result{"path": path, "kept": nil}}, nil
	}
	if err := enoughRoom(ctx, w, path, int64(len(a.Content)), "path"); err != nil {
		return engine.Change{}, err
	}
	p, err := choosePlace(ctx, w, now, "writing", "path")
	if err != nil {
		return engine.Change{}, err
	}
	return a.change(p, items, to, id)
}

func refuseWrite(ctx context.Context, w engine.World, now engine.PathFact) error {
	switch now.Type {
	case engine.TypeSymlink:
		return engine.Errorf(now.Path, "is a symbolic link to %s", now.Link).
			WithHint("Name the file that is meant; the link itself would be replaced.").WithAttribute("path")
	case engine.TypeDirectory, engine.TypeOther:
		return engine.Errorf(now.Path, "is no regular file (type %s)", now.Type).
			WithHint("Choose another path, or take it away in an earlier step (remove keeps it aside).").WithAttribute("path")
	}
	if now.Exists {
		if err := movable(ctx, w, now.Path, "path"); err != nil {
			return err
		}
	}
	return needParent(ctx, w, now.Path, "path")
}

// items compares the file with what it is to be.
func (a *writeFile) items(ctx context.Context, w engine.World, now engine.PathFact, to rights, id identity) ([]engine.Item, error) {
	after := contentText(sum(a.Content), int64(len(a.Content)), to.Mode)
	if !now.Exists {
		after += fmt.Sprintf(", %s %s", modeText(to.Mode), id)
		return []engine.Item{{Target: now.Path, Before: "absent", After: after, Diff: textDiff(now.Path, "", a.Content, to.Mode, to.Mode)}}, nil
	}
	source, err := w.Source(ctx, now.Path)
	if err != nil {
		return nil, err
	}
	old, err := readContent(ctx, source, maxDiff)
	if err != nil {
		return nil, err
	}
	items := rightsItems(now, to, id)
	if old.sum == sum(a.Content) {
		return items, nil
	}
	item := engine.Item{Target: now.Path, Attribute: "content", Before: contentText(old.sum, old.size, now.Mode), After: after}
	if old.size == int64(len(old.head)) {
		item.Diff = textDiff(now.Path, old.head, a.Content, now.Mode, to.Mode)
	}
	if now.Mode&othersRead == 0 {
		item.Before += " of " + now.ModTime.UTC().Format("2006-01-02T15:04:05Z")
	}
	return append([]engine.Item{item}, items...), nil
}

// othersRead is the permission that makes a file's content nobody's secret.
const othersRead = 0o004

// contentText names a content. Of a file that not everybody may read it tells
// the size alone: from a digest, a password in a known text can be guessed.
func contentText(sum string, size int64, mode uint32) string {
	bytes := fmt.Sprintf("%d B", size)
	if mode&othersRead == 0 {
		return bytes
	}
	return "sha256:" + sum + ", " + bytes
}

// maxDiff is up to where the difference of two texts helps a reader.
const maxDiff = 64 << 10

// textDiff is the difference of two texts that anyone may read, and empty for
// all else.
func textDiff(path, old, content string, oldMode, mode uint32) string {
	public := oldMode&mode&othersRead != 0
	if !public || max(len(old), len(content)) >= maxDiff || !isText(old) || !isText(content) {
		return ""
	}
	text := string(diff.Diff(path, []byte(old), path, []byte(content)))
	_, text, _ = strings.Cut(text, "\n") // its first line names a command
	return text
}

func sum(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

func (a *writeFile) change(p place, items []engine.Item, to rights, id identity) (engine.Change, error) {
	result, kept, note := p.kept()
	items[0].Note = note
	fact := engine.PathFact{Path: p.Target, Exists: true, Type: engine.TypeFile, Size: int64(len(a.Content)),
		UID: to.UID, GID: to.GID, Owner: id.user, Group: id.group, Mode: to.Mode}
	c := engine.Change{
		Items:   items,
		Effects: p.effects(engine.Effect{Created: &engine.Created{Fact: fact, Bytes: fact.Size}}),
		Results: engine.Result{"path": p.Target, "kept": result},
		Kept:    kept, UndoKept: []string{p.Undone},
	}
	return c, c.SetData(written{place: p, Rights: to})
}

// Apply implements engine.Action.
func (a *writeFile) Apply(ctx context.Context, c engine.Change, _ engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r written
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	ready := func() (bool, error) { return a.ready(ctx, r) }
	return c.Results, r.fill(ready, func() error { return a.stage(r) })
}

// ready reports whether the file in place is the one that this step writes.
func (a *writeFile) ready(ctx context.Context, r written) (bool, error) {
	kind, now, err := rightsAt(r.Target)
	if err != nil || kind != regular || now != r.Rights {
		return false, err
	}
	got, err := readContent(ctx, r.Target, 0)
	return got.sum == sum(a.Content), err
}

// stage writes the new file. Nobody else can read it before it has its owner
// and mode.
func (a *writeFile) stage(r written) error {
	return durable.Create(r.Staging, func(f *os.File) error {
		if _, err := f.WriteString(a.Content); err != nil {
			return &engine.Error{Where: r.Staging, Err: err}
		}
		if r.Existed {
			if err := inheritAttributes(r.Target, r.Old, f); err != nil {
				return err
			}
		}
		return r.Rights.give(int(f.Fd()), r.Staging)
	})
}

// Undo implements engine.Action.
func (a *writeFile) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r written
	if err := c.GetData(&r); err != nil {
		return err
	}
	return r.clear()
}

// enoughRoom refuses where need bytes would not fit beside path.
func enoughRoom(ctx context.Context, w engine.World, path string, need int64, attribute string) error {
	dir, err := w.Stat(ctx, filepath.Dir(path))
	if err != nil || dir.Free >= need {
		return err
	}
	return engine.Errorf(dir.Path, "%s are needed, and only %s are free", humanize.IBytes(uint64(need)), humanize.IBytes(uint64(max(dir.Free, 0)))).
		WithHint("Make room on the file system of %s; what is replaced is kept there as well.", dir.Path).WithAttribute(attribute)
}
