package durable

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// somebody is a user who isn't the one that runs the tests. Only root can make
// something theirs.
const somebody = 4711

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this takes root: run the tests with make")
	}
}

// Every operation goes through root's links, and through nobody else's.
func TestForeignLinksAreNotFollowed(t *testing.T) {
	needRoot(t)
	for name, do := range map[string]func(dir string) error{
		"Rename":    func(d string) error { return Rename(d+"/a", d+"/b") },
		"Rename to": func(d string) error { return Rename(filepath.Dir(d)+"/outside", d+"/new") },
		"Replace":   func(d string) error { return Replace(d+"/a", d+"/b") },
		"Exchange":  func(d string) error { return Exchange(d+"/a", d+"/sub") },
		"WriteFile": func(d string) error { return WriteFile(d+"/new", nil, 0o600) },
		"Create":    func(d string) error { return Create(d+"/new", func(*os.File) error { return nil }) },
		"MkdirAll":  func(d string) error { return MkdirAll(d+"/new", 0o700) },
		"Mkdir":     func(d string) error { return Mkdir(d+"/new", 0o700) },
		"Rmdir":     func(d string) error { return Rmdir(d + "/sub") },
		"RemoveAll": func(d string) error { return RemoveAll(d + "/a") },
		"SyncDir":   func(d string) error { return SyncDir(d) },
		"SyncFile":  func(d string) error { return SyncFile(d + "/a") },
		"Lstat":     func(d string) error { _, err := Lstat(d + "/a"); return err },
		"Give":      func(d string) error { return Give(d+"/sub", somebody, somebody, 0o700) },
		"MakePin": func(d string) error {
			p, err := MakePin(d + "/new")
			if err == nil {
				err = p.Close()
			}
			return err
		},
		"CopyFile": func(d string) error {
			f, err := Open(d+"/a", os.O_RDONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = CopyFile(context.Background(), f, d+"/new", 1, func(int64) {})
			return err
		},
		"CheckWay": func(d string) error { return CheckWay(d + "/a") },
	} {
		t.Run(name, func(t *testing.T) {
			for _, owner := range []int{0, somebody} {
				dir := t.TempDir()
				own, link := filepath.Join(dir, "own"), filepath.Join(dir, "link")
				mustDo(t, os.MkdirAll(filepath.Join(own, "sub"), 0o700))
				mustDo(t, os.WriteFile(filepath.Join(own, "a"), []byte("a"), 0o600))
				mustDo(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("c"), 0o600))
				mustDo(t, os.Symlink("own", link))
				mustDo(t, os.Lchown(link, owner, owner))
				before := names(t, own)
				err := do(link)
				if owner == 0 {
					mustDo(t, err)
					continue
				}
				if err == nil || !strings.Contains(err.Error(), link+": it is a symbolic link of user 4711") || engine.HintOf(err) == "" {
					t.Errorf("got %v, with the hint %q", err, engine.HintOf(err))
				}
				if after := names(t, own); after != before {
					t.Errorf("where the link leads, there was\n%s\nand is\n%s", before, after)
				}
			}
		})
	}
}

// names tells what is in a tree and whose it is.
func names(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	mustDo(t, filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		var st unix.Stat_t
		mustDo(t, unix.Lstat(path, &st))
		b.WriteString(path + " " + info.Mode().String() + " " + string(rune('0'+min(st.Uid, 9))) + "\n")
		return err
	}))
	return b.String()
}

func TestLinksAreFollowedAsTheKernelDoes(t *testing.T) {
	dir := t.TempDir()
	mustDo(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	mustDo(t, os.WriteFile(filepath.Join(dir, "a", "b", "file"), []byte("it"), 0o600))
	for link, target := range map[string]string{
		"relative": "a/b", "absolute": filepath.Join(dir, "a"), "up": "a/b/../b", "chain": "absolute/./b", "a/back": "..",
		"loop": "loop", "dangling": "nowhere",
	} {
		mustDo(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	for path, good := range map[string]bool{
		"relative/file": true, "absolute/b/file": true, "up/file": true, "chain/file": true, "a/back/a/b/file": true,
		"loop/file": false, "dangling/file": false, "a/b/file/file": false, "a//b/./file": true,
	} {
		path = dir + "/" + path
		_, want := os.ReadFile(path)
		f, err := Open(path, os.O_RDONLY, 0)
		if err == nil {
			f.Close()
		}
		if (err == nil) != good || (want == nil) != good {
			t.Errorf("%s: %v, the kernel: %v", path, err, want)
		}
	}
	if _, err := Open(filepath.Join(dir, "relative"), os.O_RDONLY, 0); err == nil {
		t.Error("a link at the end was opened")
	}
}

// What is done through a pin is done in the directory that was opened, whatever
// has its name by then.
func TestPin(t *testing.T) {
	dir := t.TempDir()
	own, moved := filepath.Join(dir, "own"), filepath.Join(dir, "moved")
	p, err := MakePin(own)
	mustDo(t, err)
	defer p.Close()
	mustDo(t, os.Rename(own, moved))
	mustDo(t, os.Symlink("/nowhere", own))
	mustDo(t, os.WriteFile(filepath.Join(p.Path, "by name"), nil, 0o600))
	mustDo(t, Mkdir(filepath.Join(p.Path, "sub"), 0o700))
	mustDo(t, WriteFile(filepath.Join(p.Path, "sub", "durably"), nil, 0o600))
	for _, name := range []string{"by name", "sub/durably"} {
		if _, err := os.Stat(filepath.Join(moved, name)); err != nil {
			t.Error(err)
		}
	}
	mustDo(t, os.Symlink("/", filepath.Join(moved, "link")))
	if _, err := Open(filepath.Join(p.Path, "link", "etc"), os.O_RDONLY, 0); err == nil {
		t.Error("a link below the pin was followed")
	}
	err = p.Named(WriteFile(filepath.Join(p.Path, "no", "such"), nil, 0o600))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(own, "no")) || strings.Contains(err.Error(), p.Path) {
		t.Errorf("got %v", err)
	}
}

func TestExposed(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		lay  func(dir string) error
		path string
		at   string // empty for nowhere
		also []int
	}{
		"root's":             {path: "d/f"},
		"a foreign file":     {lay: func(d string) error { return os.Chown(d+"/d/f", somebody, 0) }, path: "d/f", at: "d/f"},
		"of a friend":        {lay: func(d string) error { return os.Chown(d+"/d/f", somebody, 0) }, path: "d/f", also: []int{somebody}},
		"writable by all":    {lay: func(d string) error { return os.Chmod(d+"/d/f", 0o606) }, path: "d/f", at: "d/f"},
		"writable by root's": {lay: func(d string) error { return os.Chmod(d+"/d/f", 0o660) }, path: "d/f"},
		"writable by a group": {lay: func(d string) error {
			mustDo(t, os.Chown(d+"/d/f", 0, somebody))
			return os.Chmod(d+"/d/f", 0o660)
		}, path: "d/f", at: "d/f"},
		"a foreign directory": {lay: func(d string) error { return os.Chown(d+"/d", somebody, 0) }, path: "d/f", at: "d"},
		"a directory for all": {lay: func(d string) error { return os.Chmod(d+"/d", 0o777) }, path: "d/f", at: "d"},
		"sticky":              {lay: func(d string) error { return os.Chmod(d+"/d", 0o777|os.ModeSticky) }, path: "d/f"},
		"sticky itself":       {lay: func(d string) error { return os.Chmod(d+"/d", 0o777|os.ModeSticky) }, path: "d/.", at: "d"},
		"behind root's link":  {lay: func(d string) error { return os.Chmod(d+"/d", 0o777) }, path: "link/f", at: "d"},
		"behind a foreign link": {lay: func(d string) error { return os.Lchown(d+"/link", somebody, 0) }, path: "link/f",
			at: "link"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustDo(t, os.Chmod(dir, 0o755))
			mustDo(t, os.Chmod(filepath.Dir(dir), 0o755))
			mustDo(t, os.Mkdir(dir+"/d", 0o755))
			mustDo(t, os.Chmod(dir+"/d", 0o755))
			mustDo(t, os.WriteFile(dir+"/d/f", nil, 0o600))
			mustDo(t, os.Symlink("d", dir+"/link"))
			if c.lay != nil {
				mustDo(t, c.lay(dir))
			}
			e, err := Exposed(dir+"/"+c.path, c.also...)
			mustDo(t, err)
			switch {
			case c.at == "" && e != nil:
				t.Errorf("exposed: %v", e)
			case c.at != "" && (e == nil || e.Path != filepath.Join(dir, c.at)):
				t.Errorf("got %v, want %s", e, c.at)
			}
		})
	}
}
