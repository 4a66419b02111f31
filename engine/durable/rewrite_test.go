package durable

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRewriteKeepsWhatIsNotTheContent(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	mustDo(t, os.WriteFile(file, []byte("old"), 0o600))
	mustDo(t, os.Chmod(file, 0o640))
	owner := os.Getuid()
	if owner == 0 {
		owner = 4711 // only root can give files away
		mustDo(t, os.Lchown(file, owner, -1))
	}
	mustDo(t, os.Symlink("file", link))

	mustDo(t, Rewrite(link, []byte("new")))

	text, err := os.ReadFile(file)
	mustDo(t, err)
	info, err := os.Lstat(file)
	mustDo(t, err)
	if string(text) != "new" || info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != uint32(owner) {
		t.Errorf("the file is %q, %v, owner %d", text, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q: %v", to, err)
	}
	entries, err := os.ReadDir(dir)
	mustDo(t, err)
	if len(entries) != 2 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
