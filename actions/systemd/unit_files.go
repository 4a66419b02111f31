package systemd

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	unitfile "github.com/coreos/go-systemd/v22/unit"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// linkDirs are where links enable and mask units: for good, and until the next
// start of the machine.
var linkDirs = []string{"/etc/systemd/system", "/run/systemd/system"}

// unitDirs are where unit files are, the first that has one counts.
var unitDirs = append(slices.Clone(linkDirs), "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")

// readFiles makes systemd read all unit files again.
func (k control) readFiles(ctx context.Context) error {
	k.report.Progress(engine.Progress{Doing: "systemd reads its unit files"})
	if err := k.conn.ReloadContext(ctx); err != nil {
		return engine.Errorf("systemd", "reading the unit files again: %w", err).
			WithHint("See whether systemctl daemon-reload works, and what it says.")
	}
	return nil
}

// enable enables or disables the unit. What is so already stays as it is.
func (k control) enable(ctx context.Context, on bool) error {
	var err error
	if on {
		_, _, err = k.conn.EnableUnitFilesContext(ctx, []string{k.unit}, false, false)
		return k.filesChanged(ctx, "enable", err)
	}
	for _, runtime := range []bool{false, true} {
		_, disable := k.conn.DisableUnitFilesContext(ctx, []string{k.unit}, runtime)
		err = errors.Join(err, disable)
	}
	return k.filesChanged(ctx, "disable", err)
}

// mask masks or unmasks the unit. What is so already stays as it is.
func (k control) mask(ctx context.Context, on bool) error {
	var err error
	if on {
		_, err = k.conn.MaskUnitFilesContext(ctx, []string{k.unit}, false, false)
		return k.filesChanged(ctx, "mask", err)
	}
	for _, runtime := range []bool{false, true} {
		_, unmask := k.conn.UnmaskUnitFilesContext(ctx, []string{k.unit}, runtime)
		err = errors.Join(err, unmask)
	}
	return k.filesChanged(ctx, "unmask", err)
}

// filesChanged makes durable what systemd has changed, and lets it take note.
// Both are done where it changed nothing too: a crash may have come between.
func (k control) filesChanged(ctx context.Context, verb string, err error) error {
	if err != nil {
		return engine.Errorf("unit "+k.unit, "systemd refused to %s it: %w", verb, err).
			WithHint("See whether something else is at its name in /etc/systemd/system.")
	}
	if err := durable.SyncFS(linkDirs[0]); err != nil {
		return err
	}
	return k.readFiles(ctx)
}

// reloadable returns the witness of a reload: when the unit's state last
// changed.
func (a *unit) reloadable(ctx context.Context) (uint64, error) {
	conn, err := connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	now, err := control{conn: conn, unit: a.Unit}.read(ctx)
	if err == nil && now.up() && !now.reloads {
		err = engine.Errorf("unit "+a.Unit, "can't be reloaded: it doesn't say how").
			WithHint("Restart it instead.").WithAttribute("state")
	}
	return now.changed, err
}

// links are symbolic links, with what they hold.
type links map[string]string

// links returns those by which the unit, and the units that are enabled along
// with it, are enabled, masked or have another name.
func (a *unit) links() (links, error) {
	names, err := a.also()
	if err != nil {
		return nil, err
	}
	found := links{}
	for _, dir := range linkDirs {
		if err := found.add(dir, append(names, a.Unit)); err != nil {
			return nil, engine.Errorf(dir, "looking for links: %w", err)
		}
	}
	return found, nil
}

// add adds the links in dir, and in its directories of what units want, that
// have one of names or lead to one.
func (l links) add(dir string, names []string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if slices.Contains([]string{".wants", ".requires", ".upholds"}, filepath.Ext(path)) {
			if err := l.add(path, names); err != nil {
				return err
			}
		}
		content, err := os.Readlink(path)
		if err == nil && (slices.Contains(names, e.Name()) || slices.Contains(names, filepath.Base(content))) {
			l[path] = content
		}
	}
	return nil
}

// also lists the units that are enabled and disabled along with the unit.
func (a *unit) also() ([]string, error) {
	file := a.Unit
	if stem, rest, ok := strings.Cut(file, "@"); ok {
		file = stem + "@" + filepath.Ext(rest)
	}
	for _, dir := range unitDirs {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &engine.Error{Where: filepath.Join(dir, file), Err: err}
		}
		if len(text) == 0 { // /dev/null masks it; the file is further on
			continue
		}
		options, err := unitfile.DeserializeOptions(bytes.NewReader(text))
		if err != nil {
			return nil, nil // systemd will say so
		}
		var names []string
		for _, o := range options {
			if o.Section == "Install" && o.Name == "Also" {
				names = append(names, strings.Fields(o.Value)...)
			}
		}
		return names, nil
	}
	return nil, nil
}

// refuseLinks tells why the unit's links can't be changed so that they can be
// restored, or nil.
func (a *unit) refuseLinks(rec record) error {
	path := filepath.Join(linkDirs[0], a.Unit)
	content, linked := rec.Links[path]
	switch {
	case linked && content != "/dev/null":
		return engine.Errorf(path, "the unit's file is somewhere else and linked to here, to %s", content).
			WithHint("Enabling, disabling or masking it would take the link away. Put the unit's file itself here.").WithAttribute("unit")
	case rec.Mask == nil || !*rec.Mask:
		return nil
	}
	if _, err := os.Lstat(path); err == nil && !linked {
		return engine.Errorf(path, "the unit's file is where its mask would be").
			WithHint("Stop and disable it instead, or move the file to /usr/local/lib/systemd/system.").WithAttribute("masked")
	}
	return nil
}

// restoreLinks makes the unit's links those that were recorded.
func (a *unit) restoreLinks(want links) error {
	have, err := a.links()
	if err != nil {
		return err
	}
	for path, content := range have {
		if want[path] == content {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &engine.Error{Where: path, Err: err}
		}
		if filepath.Dir(path) != linkDirs[0] && filepath.Dir(path) != linkDirs[1] {
			_ = os.Remove(filepath.Dir(path)) // where it is empty now, as systemd does
		}
	}
	for path, content := range want {
		if have[path] == content {
			continue
		}
		if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(content, path); err != nil {
			return engine.Errorf(path, "restoring the link to %s: %w", content, err).
				WithHint("Something else has been put here since the step. Move it away, and roll back again.")
		}
	}
	return durable.SyncFS(linkDirs[0])
}
