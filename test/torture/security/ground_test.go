package security

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ground is what root and mallory contend for:
//
//	u/d      a directory of mallory's, in a directory of mallory's
//	u/l      mallory's symbolic link to victim
//	victim   root's, with the same names in it as in u/d; nobody else may read it
//	src, out root's, to take from and to put into
type ground struct {
	*scene
	untouched string // what victim is like
}

// hidden is what nobody but root is to read: what is in victim, and what is
// written into files of mode 0600.
const hidden = "for-root-alone"

func (s *scene) newGround() *ground {
	g := &ground{scene: s}
	if err := unix.Unmount(g.path("u/d"), unix.MNT_DETACH); err != unix.EINVAL && err != unix.ENOENT { // mostly nothing is mounted there
		must(s.T, err)
	}
	for _, dir := range []string{"u", "u/d", "victim", "src", "out"} {
		must(s.T, os.RemoveAll(filepath.Join(s.dir, dir)))
		must(s.T, os.MkdirAll(filepath.Join(s.dir, dir), 0o755))
	}
	must(s.T, os.RemoveAll(s.state()))
	g.fill("u/d", "mallory's")
	g.fill("src", "public")
	g.fill("victim", hidden)
	g.seal(g.path("victim"))
	for _, path := range []string{"u", "u/d"} {
		must(s.T, os.Chown(g.path(path), mallory, mallory))
	}
	must(s.T, os.Symlink(g.path("victim"), g.path("u/l")))
	must(s.T, os.Lchown(g.path("u/l"), mallory, mallory))
	g.untouched = g.victim()
	return g
}

// fill makes root's files of every kind.
func (g *ground) fill(dir, content string) {
	g.Helper()
	for _, sub := range []string{"tree/sub", "sub", "etcd/member/snap", "etcd/member/wal"} {
		must(g.T, os.MkdirAll(g.path(dir+"/"+sub), 0o755))
	}
	for _, file := range []string{"tree/f", "tree/sub/g", "tree/owned", "conf", "a", "tree/tool", "etcd/member/snap/db"} {
		must(g.T, os.WriteFile(g.path(dir+"/"+file), []byte(content+" "+file+"\n"), 0o644))
	}
	must(g.T, os.Chmod(g.path(dir+"/a"), 0o600))
	must(g.T, os.Lchown(g.path(dir+"/tree/owned"), mallory, mallory))
	must(g.T, os.Chmod(g.path(dir+"/tree/tool"), 0o755|fs.ModeSetuid))
	must(g.T, os.Symlink("f", g.path(dir+"/tree/link")))
	must(g.T, unix.Mkfifo(g.path(dir+"/fifo"), 0o600))
	must(g.T, os.Lchown(g.path(dir+"/fifo"), mallory, mallory))
}

// seal takes every right from all but root.
func (g *ground) seal(dir string) {
	g.Helper()
	must(g.T, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		mode := fs.FileMode(0o600)
		if d.IsDir() && path != dir { // mallory may look for names to attack
			mode = 0o700
		} else if d.IsDir() {
			mode = 0o755
		}
		must(g.T, os.Lchown(path, 0, 0))
		return os.Chmod(path, mode)
	}))
}

// victim tells all there is to know of what mallory is after.
func (g *ground) victim() string {
	g.Helper()
	var b strings.Builder
	must(g.T, filepath.WalkDir(g.path("victim"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(g.T, unix.Lstat(path, &st))
		sum := []byte{}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			text, err := os.ReadFile(path)
			must(g.T, err)
			digest := sha256.Sum256(text)
			sum = digest[:6]
		}
		fmt.Fprintf(&b, "%s %o %d:%d inode %d %x\n", strings.TrimPrefix(path, g.dir), st.Mode, st.Uid, st.Gid, st.Ino, sum)
		return nil
	}))
	return b.String()
}

// check fails unless the victim is what it was and nothing of it got out.
func (g *ground) check(when string, a attack) {
	g.Helper()
	if now := g.victim(); now != g.untouched {
		g.Errorf("%s: the victim was\n%s\nand is\n%s", when, g.untouched, now)
	}
	for _, dir := range []string{"u", "out"} {
		must(g.T, filepath.WalkDir(g.path(dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && g.leaks(path, a) {
				g.Errorf("%s: mallory can read %s\n%s", when, path, sh(g.T, "ls -ln "+path))
			}
			return err
		}))
	}
}

// leaks reports whether mallory can read in a file what is for root alone. An
// archive, which is for root alone itself, must not hold it either: but for
// another name of the very file, which is as good as the first.
func (g *ground) leaks(path string, a attack) bool {
	g.Helper()
	text, err := os.ReadFile(path)
	must(g.T, err)
	if strings.HasSuffix(path, ".tgz") && len(text) > 0 {
		text, _ = exec.Command("gzip", "-dc", path).Output() // what it got out, where it is broken
		if bytes.Contains(text, []byte(hidden)) && !a.hardLinks {
			return true
		}
	}
	return bytes.Contains(text, []byte(hidden)) && readable(path)
}

// readable reports whether mallory can open a file.
func readable(path string) bool {
	cmd := exec.Command("cat", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: mallory, Gid: mallory}}
	return cmd.Run() == nil
}

// names lists what is in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}
