package locate

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

// unitPath is where systemd looks for units, first things first.
var unitPath = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// ReadUnit reads a unit's files as systemd would: the fragment, its drop-ins
// and the environment files that they name. They are read from disk and not
// asked of systemd, so that it works where systemd doesn't; and a mask is
// looked through, as it doesn't change what the unit would start.
func ReadUnit(ctx context.Context, files Files, name string) (*Starter, error) {
	if !strings.Contains(name, ".") {
		name += ".service"
	}
	u, paths, err := loadUnit(ctx, files, name)
	if err != nil {
		return nil, err
	}
	s := &Starter{Where: name, Unit: name, Dir: u.WorkingDirectory, User: u.User, Group: u.Group, Sources: paths, environment: u.Environment}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if s.User == "" {
		s.User = "root"
	}
	if err := s.readEnvironmentFiles(ctx, files, u.EnvironmentFiles); err != nil {
		return nil, err
	}
	settings, ok := member.FromCommand(u.Command(s.environment), s.environment)
	if !ok {
		return nil, nothingStarts(name)
	}
	s.Settings = settings
	return s, nil
}

// loadUnit reads a unit's fragment and its drop-ins.
func loadUnit(ctx context.Context, files Files, name string) (u member.Unit, paths []string, err error) {
	if paths, err = unitFiles(ctx, files, name); err != nil {
		return u, nil, err
	}
	var texts [][]byte
	for _, p := range paths {
		text, err := ReadFile(ctx, files, p, "unit")
		if err != nil {
			return u, nil, err
		}
		texts = append(texts, text)
	}
	u, err = member.ParseUnit(texts, specifiers(name), name)
	return u, paths, err
}

func (s *Starter) readEnvironmentFiles(ctx context.Context, files Files, paths []string) error {
	for _, path := range paths {
		path, optional := strings.CutPrefix(path, "-")
		data, err := ReadSource(ctx, files, path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		maps.Copy(s.environment, member.ParseEnvironmentFile(data))
		s.Sources = append(s.Sources, path)
	}
	return nil
}

// unitFiles finds a unit's fragment and its drop-ins. A drop-in hides others
// of its name that come later in the path; they apply in order of their names.
func unitFiles(ctx context.Context, files Files, name string) ([]string, error) {
	fragment := ""
	dropIns := map[string]string{}
	for _, dir := range unitPath {
		if fragment == "" {
			fragment = fragmentIn(ctx, files, dir, name)
		}
		confs, err := dropInsIn(ctx, files, filepath.Join(dir, name+".d"))
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

// fragmentIn is the path of a unit's file in a directory, or of the template that
// it is made from. A mask is none.
func fragmentIn(ctx context.Context, files Files, dir, name string) string {
	names := []string{name}
	if stem, instance, ok := strings.Cut(name, "@"); ok {
		names = append(names, stem+"@"+filepath.Ext(instance))
	}
	for _, n := range names {
		path := filepath.Join(dir, n)
		now, err := files.Source(ctx, path)
		if err != nil {
			continue // it is looked for elsewhere, and missed there
		}
		if info, err := os.Stat(now); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return path
		}
	}
	return ""
}

// dropInsIn lists the drop-ins in a directory.
func dropInsIn(ctx context.Context, files Files, dir string) ([]string, error) {
	now, err := files.Source(ctx, dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	found, err := unseen.Find(filepath.Join(now, "*.conf"))
	for i, path := range found {
		found[i] = filepath.Join(dir, filepath.Base(path))
	}
	return found, err
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
