package contract

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tree describes everything below dir: names, types, owners, modes, contents,
// the modification times of regular files, and file capabilities.
func Tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := describe(path)
		fmt.Fprintf(&b, "%q %s\n", strings.TrimPrefix(path, dir), line)
		return err
	})
	fatal(t, "observe", err)
	return b.String()
}

// Write makes a file with its parents, and with a modification time that is
// the same in every scene.
func Write(t *testing.T, path, content string) {
	t.Helper()
	fatal(t, "write", os.MkdirAll(filepath.Dir(path), 0o755))
	fatal(t, "write", os.WriteFile(path, []byte(content), 0o644))
	when := time.Unix(1767225600, 0)
	fatal(t, "write", os.Chtimes(path, when, when))
}

func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	line := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		link, err := os.Readlink(path)
		return line + " -> " + link, err
	case 0:
		data, err := os.ReadFile(path)
		caps := make([]byte, 64)
		n, _ := unix.Lgetxattr(path, "security.capability", caps) // most files have none
		return fmt.Sprintf("%s %x %d %x", line, sha256.Sum256(data), info.ModTime().UnixNano(), caps[:max(n, 0)]), err
	}
	return line, nil
}
