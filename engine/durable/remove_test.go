package durable

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is mounted below a tree stays, a bind mount of the same file system and that of
// a file too, and the error names it. Once it is unmounted, the tree can go.
func TestRemoveAllStopsAtMounts(t *testing.T) {
	needRoot(t)
	for name, mount := range map[string]func(t *testing.T, tree string) (at, precious string){
		"bind": func(t *testing.T, tree string) (string, string) {
			other := t.TempDir()
			return bind(t, other, filepath.Join(tree, "a/b")), filepath.Join(other, "precious")
		},
		"tmpfs": func(t *testing.T, tree string) (string, string) {
			at := filepath.Join(tree, "a/b")
			mounts(t, "tmpfs", at, "tmpfs", 0)
			return at, filepath.Join(at, "precious")
		},
		"itself": func(t *testing.T, tree string) (string, string) {
			return bind(t, tree, tree), filepath.Join(tree, "precious")
		},
		"file": func(t *testing.T, tree string) (string, string) {
			other := filepath.Join(t.TempDir(), "precious")
			write(t, other)
			return bind(t, other, filepath.Join(tree, "file")), other
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := filepath.Join(t.TempDir(), "tree")
			if err := os.MkdirAll(filepath.Join(tree, "a/b"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(tree, "file"))
			at, precious := mount(t, tree)
			write(t, precious)
			err := RemoveAll(tree)
			if err == nil || !strings.HasPrefix(err.Error(), at+": something is mounted here") {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(precious); err != nil {
				t.Error(err)
			}
			if err := unix.Unmount(at, 0); err != nil {
				t.Fatal(err)
			}
			if err := RemoveAll(tree); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(tree); !os.IsNotExist(err) {
				t.Errorf("the tree is there: %v", err)
			}
		})
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func bind(t *testing.T, from, to string) string {
	t.Helper()
	mounts(t, from, to, "", unix.MS_BIND)
	return to
}

func mounts(t *testing.T, source, at, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, at, kind, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) }) // it may be gone
}
