package diagnose

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/inspect"
	"runbook/test/etcddir"
)

// scratch is removed when all tests are done.
var scratch string

func TestMain(m *testing.M) {
	if crashingChild(os.Args[1:]) {
		return
	}
	for _, child := range MoreChildren {
		if child(os.Args[1:]) {
			return
		}
	}
	if ChildMain(os.Args[1:]) || inspect.ChildMain(os.Args[1:]) {
		return
	}
	os.Exit(inScratch(m))
}

func inScratch(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "diagnose"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// made are the directories of each version, made once.
var made = map[string]func() (etcddir.Dirs, error){}

func init() {
	for v := range etcddir.Versions {
		made[v] = sync.OnceValues(func() (etcddir.Dirs, error) {
			return etcddir.Make(context.Background(), v, filepath.Join(scratch, v))
		})
	}
}

func dirs(t testing.TB, version string) etcddir.Dirs {
	t.Helper()
	d, err := made[version]()
	must(t, err)
	return d
}

// copyOf is a copy that may be damaged.
func copyOf(t testing.TB, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etcd")
	must(t, etcddir.Copy(from, dir))
	return dir
}

// traces is everything about a tree that a look could change: bytes, sizes,
// modes, owners and all three time stamps.
func traces(t testing.TB, root string) string {
	t.Helper()
	var all strings.Builder
	var walk func(path string)
	walk = func(path string) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			fmt.Fprintf(&all, "%s %v\n", path, err)
			return
		}
		fmt.Fprintf(&all, "%s %o %d:%d %d a%v m%v c%v\n", path, st.Mode, st.Uid, st.Gid, st.Size, st.Atim, st.Mtim, st.Ctim)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			fmt.Fprintf(&all, "  %s\n", digest(t, path))
			return
		}
		for _, name := range names(t, path) {
			walk(filepath.Join(path, name))
		}
	}
	walk(root)
	return all.String()
}
