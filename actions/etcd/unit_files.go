package etcd

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runbook/actions/etcd/member"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// unitPath is where systemd looks for units, first things first. Tests
// replace it.
var unitPath = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// readUnit reads a unit's files as systemd would: the fragment, its drop-ins
// and the environment files that they name. They are read from disk and not
// asked of systemd, so that it works where systemd doesn't.
func readUnit(ctx context.Context, w engine.World, name string) (*found, error) {
	if !strings.Contains(name, ".") {
		name += ".service"
	}
	paths, err := unitFiles(name)
	if err != nil {
		return nil, err
	}
	var texts [][]byte
	for _, p := range paths {
		text, err := readFile(ctx, w, p, "unit")
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	u, err := member.ParseUnit(texts, specifiers(name), name)
	if err != nil {
		return nil, err
	}
	f := &found{where: name, unit: name, dir: u.WorkingDirectory, owner: u.User, grp: u.Group, sources: paths, environment: u.Environment}
	if f.dir == "" {
		f.dir = "/"
	}
	if f.owner == "" {
		f.owner = "root"
	}
	if err := f.readEnvironmentFiles(ctx, w, u.EnvironmentFiles); err != nil {
		return nil, err
	}
	s, ok := member.FromCommand(u.Command(f.environment), f.environment)
	if !ok {
		return nil, engine.Errorf(name, "no ExecStart= of this unit starts etcd").
			WithHint("Name the unit that starts etcd, or its configuration file with config.").WithAttribute("unit")
	}
	f.settings = s
	return f, nil
}

func (f *found) readEnvironmentFiles(ctx context.Context, w engine.World, files []string) error {
	for _, path := range files {
		path, optional := strings.CutPrefix(path, "-")
		data, err := readSource(ctx, w, path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		maps.Copy(f.environment, member.ParseEnvironmentFile(data))
		f.sources = append(f.sources, path)
	}
	return nil
}

// unitFiles finds a unit's fragment and its drop-ins. A drop-in hides others
// of its name that come later in the path; they apply in order of their names.
func unitFiles(name string) ([]string, error) {
	fragment := ""
	dropIns := map[string]string{}
	for _, dir := range unitPath {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil && fragment == "" {
			fragment = path
		}
		confs, err := unseen.Find(filepath.Join(dir, name+".d", "*.conf"))
		if err != nil {
			return nil, engine.Errorf(name, "looking for drop-ins: %w", err)
		}
		for _, c := range confs {
			if base := filepath.Base(c); dropIns[base] == "" {
				dropIns[base] = c
			}
		}
	}
	if fragment == "" {
		return nil, engine.Errorf(name, "there is no such unit").
			WithHint("List the units with \"systemctl list-unit-files\"; where etcd is a static pod, use manifest in place of unit.").
			WithAttribute("unit")
	}
	paths := []string{fragment}
	for _, base := range slices.Sorted(maps.Keys(dropIns)) {
		paths = append(paths, dropIns[base])
	}
	return paths, nil
}

// specifiers are those of systemd's %-letters that units of etcd use.
func specifiers(name string) map[string]string {
	full := name
	name = strings.TrimSuffix(name, filepath.Ext(name))
	prefix, instance, _ := strings.Cut(name, "@")
	s := map[string]string{"n": full, "N": name, "p": prefix, "i": instance, "I": instance}
	if host, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(host, ".")
		s["H"], s["l"] = host, short
	}
	if id, err := os.ReadFile("/etc/machine-id"); err == nil {
		s["m"] = strings.TrimSpace(string(id))
	}
	return s
}

// readSource reads what will be at path, following symbolic links.
func readSource(ctx context.Context, w engine.World, path string) ([]byte, error) {
	now, err := w.Source(ctx, path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(now)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	return data, nil
}

// rootCause is the innermost error, without the paths around it.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// linkTarget is where a symbolic link points.
func linkTarget(link engine.PathFact) string {
	if filepath.IsAbs(link.Link) {
		return link.Link
	}
	return filepath.Join(filepath.Dir(link.Path), link.Link)
}
