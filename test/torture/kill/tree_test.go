package kill

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// old is when everything in a fresh tree was last changed.
var old = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tree describes everything below root, a line an entry: name, type and mode,
// owner, links, content, and whether a file is as old as it was.
func (h *host) tree(root string) string {
	h.Helper()
	var text strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			fmt.Fprintf(&text, "%s %s\n", strings.TrimPrefix(path, root), h.describe(path))
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	return text.String()
}

func (h *host) describe(path string) string {
	h.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		h.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			h.Fatal(err)
		}
		return line + " -> " + target
	case info.Mode().IsRegular():
		age := "now"
		if info.ModTime().Equal(old) {
			age = "old"
		}
		attributes := make([]byte, 256)
		n, _ := unix.Llistxattr(path, attributes) // not every file system has them
		return fmt.Sprintf("%s %s %d links %s %q", line, age, st.Nlink, h.content(path), attributes[:max(n, 0)])
	}
	return line
}

// content is a file's: of a small one the text itself, of an archive what is
// packed, for it says which run has made it.
func (h *host) content(path string) string {
	h.Helper()
	if strings.HasSuffix(path, ".tar.gz") {
		return fmt.Sprintf("%q", h.sh("tar -tvzf "+path+" --numeric-owner --full-time; tar -xOzf "+path+" | sha256sum"))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		h.Fatal(err)
	}
	if len(data) < 1000 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}
