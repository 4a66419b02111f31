package durable

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTake(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	lay := func(t *testing.T) string {
		t.Helper()
		root := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_"))
		for _, err := range []error{
			os.MkdirAll(filepath.Join(root, "a", "b"), 0o777), os.WriteFile(filepath.Join(root, "a", "b", "f"), nil, 0o640),
			os.Chmod(filepath.Join(root, "a"), 0o777), os.WriteFile(other, nil, 0o600),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return root
	}
	t.Run("all of it", func(t *testing.T) {
		root := lay(t)
		if err := Take(root, 4711, 4712, 0o750); err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]uint32{"": 0o750, "a": 0o755, "a/b/f": 0o640} {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(root, path), &st); err != nil || st.Uid != 4711 || st.Gid != 4712 || st.Mode&0o7777 != mode {
				t.Errorf("%s: %d:%d %o %v", path, st.Uid, st.Gid, st.Mode, err)
			}
		}
	})
	for name, put := range map[string]func(path string) error{
		"a file with another name": func(path string) error { return os.Link(other, path) },
		"a symbolic link":          func(path string) error { return os.Symlink(other, path) },
		"a pipe":                   func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			root := lay(t)
			if err := put(filepath.Join(root, "a", "x")); err != nil {
				t.Fatal(err)
			}
			err := Take(root, 4711, 4712, 0o700)
			var st unix.Stat_t
			if failed := unix.Lstat(other, &st); err == nil || failed != nil || st.Uid != 0 {
				t.Errorf("taken: %v; the other is %d's (%v)", err, st.Uid, failed)
			}
		})
	}
}
