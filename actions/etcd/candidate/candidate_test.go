package candidate

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// file makes a file and the directories above it.
func file(t *testing.T, path ...string) {
	t.Helper()
	at := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func paths(f Found, root string) []string {
	var all []string
	for _, d := range f.Dirs {
		rel, _ := filepath.Rel(root, d.Path)
		if !d.Near {
			rel = "far " + rel
		}
		all = append(all, rel)
	}
	for _, path := range f.Files {
		rel, _ := filepath.Rel(root, path)
		all = append(all, rel)
	}
	slices.Sort(all)
	return all
}

func TestSearch(t *testing.T) {
	root := t.TempDir()
	db := filepath.Join("member", "snap", "db")
	file(t, root, "lib", "etcd", db)
	file(t, root, "lib", "etcd", "member.bak", "snap", "db")
	file(t, root, "lib", "etcd", "member", "snap", "db.old")
	file(t, root, "lib", "etcd", "member", "snap", "0000000000000005.snap.db")
	file(t, root, "lib", "etcd.before-1", db)
	file(t, root, "lib", "etcd.runbook-1.partial", db)
	file(t, root, "lib", ".etcd.fault-1", db)
	file(t, root, "lib", "etcd", ".member.fault-1", "snap", "db")
	file(t, root, "lib", "postgres", "data")
	file(t, root, "lib", "snapshot.db")
	file(t, root, "root", ".bashrc")
	file(t, root, "root", db)
	file(t, root, "a", "b", "c", "moved", db)
	file(t, root, "a", "b", "c", "d", "e", "f", "deep", db)
	file(t, root, "named", "etcd", db)
	file(t, root, "home", "node_modules", "etcd", db)
	empty := filepath.Join(root, "lib", "etcd.empty", db)
	file(t, empty)
	if err := os.Truncate(empty, 0); err != nil {
		t.Fatal(err)
	}
	f := Search(t.Context(), Options{DataDir: filepath.Join(root, "lib", "etcd"), Named: []string{filepath.Join(root, "named", "etcd")}, Roots: []string{root}})
	want := []string{
		"far a/b/c/moved", "far root/member", "lib/etcd.before-1", "lib/etcd/member.bak",
		"lib/etcd/member/snap/db.old", "lib/snapshot.db", "named/etcd",
	}
	if got := paths(f, root); !slices.Equal(got, want) || f.Cut != "" {
		t.Errorf("found %q, cut %q", got, f.Cut)
	}
	// Where it is ended early, it says so, and what is near was found.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	f = Search(ended, Options{DataDir: filepath.Join(root, "lib", "etcd"), Roots: []string{root}})
	if f.Cut == "" || !slices.Contains(paths(f, root), "lib/etcd.before-1") {
		t.Errorf("found %q, cut %q", paths(f, root), f.Cut)
	}
}

// A file system of another host isn't asked for anything.
func TestSearchStaysLocal(t *testing.T) {
	root := t.TempDir()
	file(t, root, "far", "away", "member", "snap", "db")
	s := search{ctx: t.Context(), mounts: map[string]string{filepath.Join(root, "far"): "nfs4"}}
	s.run([]string{root})
	if len(s.found) != 0 {
		t.Errorf("found %v", s.found)
	}
	s.mounts = map[string]string{filepath.Join(root, "far"): "ext4"}
	s.run([]string{root})
	if len(s.found) != 1 {
		t.Errorf("found %v", s.found)
	}
}
