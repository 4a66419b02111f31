package diagnose

import (
	"path/filepath"
	"strings"
	"testing"

	"runbook/test/etcddir"
)

// MoreChildren are the children of packages that this one's own tests can't
// import.
var MoreChildren []func([]string) bool

// Row is a row of the catalogue, for tests of the cures.
type Row struct {
	Name string
	Cure string
	row  row
}

// Rows are the rows of the catalogue that are of a version.
func Rows(version string) map[string]Row {
	rows := map[string]Row{}
	for name, r := range catalogue() {
		if r.only == "" || strings.Contains(r.only, version) {
			rows[name] = Row{Name: name, Cure: r.cure, row: r}
		}
	}
	return rows
}

// Make makes the damage in a copy of a real directory. It returns the copy, a
// directory with a backup of the first half of the keys, and where they are
// from.
func (r Row) Make(t *testing.T, version string) (dir, backups string, d etcddir.Dirs) {
	d = dirs(t, version)
	from := d.Clean
	if r.row.killed {
		from = d.Killed
	}
	dir = copyOf(t, from)
	backups = filepath.Join(filepath.Dir(dir), "backups")
	must(t, etcddir.Copy(d.Backups, backups))
	r.row.damage(t, dir)
	return dir, backups, d
}

// Directories are the directories of a version.
func Directories(t *testing.T, version string) etcddir.Dirs { return dirs(t, version) }

// Remnant is a host on which more is left than what is in place, for tests of
// the cures.
type Remnant struct {
	Cure, Path string
	r          remnant
}

// Remnants are those hosts.
func Remnants() map[string]Remnant {
	all := map[string]Remnant{}
	for name, r := range remnants() {
		all[name] = Remnant{Cure: r.cure, Path: r.path, r: r}
	}
	return all
}

// Make lays a host out, and returns its data directory.
func (r Remnant) Make(t *testing.T, version string) (dir string, d etcddir.Dirs) {
	d = dirs(t, version)
	return r.r.make(t, d), d
}
