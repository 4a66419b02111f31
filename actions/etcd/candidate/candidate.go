// Package candidate finds what is left of an etcd on a host: data directories
// that were moved, copied or kept, and databases beside them. It looks at names
// alone and leaves no trace.
package candidate

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runbook/actions/etcd/unseen"
)

// Options say where to look.
type Options struct {
	// DataDir is the directory that etcd is started with; it is no candidate
	// itself.
	DataDir string
	// Named are directories that etcd is, or once was, started with.
	Named []string
	// Roots are where data that was moved elsewhere is looked for.
	Roots []string
}

// Dir is a directory that holds a database.
type Dir struct {
	// Path is a data directory, or a directory "member" where that alone was
	// moved, or where its data directory holds other things too.
	Path string
	// Member is the directory with "snap" and "wal" in it.
	Member string
	// Near says that it is beside the data directory, or was named.
	Near bool
}

// DB is the directory's database.
func (d Dir) DB() string { return filepath.Join(d.Member, "snap", "db") }

// Found is what was found.
type Found struct {
	Dirs  []Dir
	Files []string // databases and snapshots beside the data directory
	// Cut says where the search ended before it was through; empty if it didn't.
	Cut string
}

// Beside finds what is beside the data directory, in it, and in the
// directories that are named.
func Beside(o Options) Found {
	var f Found
	f.beside(o.DataDir)
	for _, dir := range o.Named {
		if filepath.Clean(dir) != filepath.Clean(o.DataDir) {
			f.dir(dir)
			f.beside(dir)
		}
	}
	f.tidy(o.DataDir)
	return f
}

// Search is Beside, and looks through the roots too.
func Search(ctx context.Context, o Options) Found {
	f := Beside(o)
	s := search{mounts: mounts(), ctx: ctx}
	s.run(o.Roots)
	f.Dirs, f.Cut = append(f.Dirs, s.found...), s.cut
	f.tidy(o.DataDir)
	return f
}

// beside looks at a data directory's neighbours and at what was renamed in it.
func (f *Found) beside(dataDir string) {
	for _, dir := range []string{filepath.Dir(dataDir), dataDir} {
		entries, err := unseen.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			switch {
			case passedOver(e.Name()) || path == filepath.Join(dataDir, "member"):
			case e.IsDir():
				f.dir(path)
			case e.Type().IsRegular():
				f.file(path)
			}
		}
	}
	snap := filepath.Join(dataDir, "member", "snap")
	entries, err := unseen.ReadDir(snap)
	if err != nil {
		return
	}
	for _, e := range entries {
		// A leader's database, *.snap.db, is etcd's own business.
		if e.Type().IsRegular() && e.Name() != "db" && !strings.HasSuffix(e.Name(), ".snap.db") {
			f.file(filepath.Join(snap, e.Name()))
		}
	}
}

// passedOver tells what a step of ours was making when it was interrupted, and what a
// drill has set aside: a rehearsal that found it again would rehearse nothing, and
// the drill's rollback puts it back.
func passedOver(name string) bool {
	halfMade := strings.Contains(name, ".runbook-") && (strings.HasSuffix(name, ".partial") || strings.HasSuffix(name, ".new"))
	return halfMade || strings.HasPrefix(name, ".") && strings.Contains(name, ".fault-")
}

func (f *Found) dir(path string) {
	if d, ok := look(path); ok {
		d.Near = true
		f.Dirs = append(f.Dirs, d)
	}
}

// file takes what is named like a database.
func (f *Found) file(path string) {
	name := filepath.Base(path)
	if name != "db" && !strings.HasSuffix(name, ".db") && !strings.HasPrefix(name, "db.") {
		return
	}
	f.Files = append(f.Files, path)
}

// look tells whether a directory holds a member, and as what to take it.
func look(path string) (Dir, bool) {
	if holds(filepath.Join(path, "member")) {
		if alone(path) {
			return Dir{Path: path, Member: filepath.Join(path, "member")}, true
		}
		path = filepath.Join(path, "member")
		return Dir{Path: path, Member: path}, true
	}
	return Dir{Path: path, Member: path}, holds(path)
}

// holds reports whether there is a database below a directory "member".
func holds(member string) bool {
	info, err := os.Lstat(filepath.Join(member, "snap", "db"))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// alone reports whether a data directory holds nothing but what is etcd's.
func alone(path string) bool {
	entries, err := unseen.ReadDir(path)
	return err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() != "lost+found" && e.Name() != "wal" && !strings.HasPrefix(e.Name(), "member")
	})
}

// tidy puts what was found in order, each once, without the data directory.
func (f *Found) tidy(dataDir string) {
	own := filepath.Join(filepath.Clean(dataDir), "member")
	seen := map[string]bool{own: true}
	f.Dirs = slices.DeleteFunc(f.Dirs, func(d Dir) bool {
		again := seen[d.Member]
		seen[d.Member] = true
		return again
	})
	slices.Sort(f.Files)
	f.Files = slices.Compact(f.Files)
}
