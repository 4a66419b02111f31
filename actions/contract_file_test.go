package actions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/test/contract"
)

type config = map[string]cty.Value

func fileCases() []contract.Case {
	return []contract.Case{
		{Name: "with copies", Action: "archive", Setup: archiveScene, Bad: badArchive()},
		{Name: "in place of another", Action: "archive", Setup: archiveOver},
		{Name: "a tree", Action: "chown", Setup: chownTree, Bad: badChown()},
		{Name: "one directory", Action: "chown", Setup: chownOne},
		{Name: "one program", Action: "chown", Setup: chownProgram},
		{Name: "a tree", Action: "copy", Setup: copyTree, Bad: badCopy(), Fails: failingCopy()},
		{Name: "to another file system, in place of another", Action: "copy", Setup: copyAcross},
		{Name: "a file", Action: "copy", Setup: copyFile},
		{Name: "with parents", Action: "make_directory", Setup: makeWithParents, Bad: badMake()},
		{Name: "that exists", Action: "make_directory", Setup: makeExisting},
		{Name: "a directory", Action: "move", Setup: moveDirectory, Bad: badMove()},
		{Name: "a symbolic link, beside itself", Action: "move", Setup: moveLink},
		{Name: "a directory", Action: "remove", Setup: removeDirectory, Bad: badRemove()},
		{Name: "a file of a long name", Action: "remove", Setup: removeLongName},
		{Name: "a new file", Action: "write_file", Setup: writeNew, Bad: badWrite()},
		{Name: "in place of another", Action: "write_file", Setup: writeOver},
		{Name: "the same with another mode", Action: "write_file", Setup: writeMode},
	}
}

// dataDir makes a directory with owners, links and special files of all kinds
// that chown has to know.
func dataDir(t *testing.T) string {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	for _, name := range []string{"member/wal/0.wal", "member/snap/db", "member/snap.bak", "odd\xff", "tool", "group-tool"} {
		contract.Write(t, filepath.Join(data, name), "content of "+name)
	}
	contract.Write(t, filepath.Join(dir, "outside"), "not to be touched")
	must(t, os.Symlink("../outside", filepath.Join(data, "link")))
	must(t, os.Symlink("/etc", filepath.Join(data, "member", "etc")))
	must(t, unix.Mkfifo(filepath.Join(data, "pipe"), 0o600))
	must(t, os.Chown(filepath.Join(data, "member", "snap"), 12, 34))
	must(t, os.Chown(filepath.Join(data, "member", "snap.bak"), 4000, 4000))
	must(t, os.Chmod(filepath.Join(data, "tool"), 0o755|os.ModeSetuid))
	must(t, unix.Setxattr(filepath.Join(data, "tool"), "security.capability", capability, 0))
	must(t, os.Chmod(filepath.Join(data, "group-tool"), 0o755|os.ModeSetgid))
	return dir
}

// capability is CAP_NET_BIND_SERVICE, permitted and effective, as the kernel
// keeps it (version 2).
var capability = []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func chownTree(t *testing.T) contract.Scene {
	dir := dataDir(t)
	data := filepath.Join(dir, "data")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(data), "owner": cty.StringVal("daemon:4000"), "recursive": cty.True},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) {
			for line := range strings.Lines(contract.Tree(t, data)) {
				if !strings.Contains(line, " 1:4000") {
					t.Errorf("not daemon's: %s", line)
				}
			}
			owned(t, filepath.Join(dir, "outside"), 0, 0)
			owned(t, "/etc", 0, 0)
		},
	}
}

func chownOne(t *testing.T) contract.Scene {
	dir := dataDir(t)
	data := filepath.Join(dir, "data")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(data), "owner": cty.StringVal("4000"), "group": cty.StringVal("daemon")},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) {
			owned(t, data, 4000, 1)
			owned(t, filepath.Join(data, "member"), 0, 0)
		},
	}
}

// chownProgram is of a file from which the kernel takes its set-user-ID bit.
func chownProgram(t *testing.T) contract.Scene {
	dir := dataDir(t)
	tool := filepath.Join(dir, "data", "tool")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(tool), "owner": cty.StringVal("daemon")},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) { mode(t, tool, 0o755) },
	}
}

func badChown() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "data"), Attribute: "path", Message: "must be absolute"},
		{Name: "dots", Set: set("path", "/var/../etc"), Attribute: "path", Message: `must not contain ".."`},
		{Name: "absent", Set: set("path", "/no/such"), Attribute: "path", Message: "there is nothing here"},
		{Name: "link", Attribute: "path", Message: "is a symbolic link to ../outside",
			Set: func(_ *testing.T, c config) { c["path"] = cty.StringVal(c["path"].AsString() + "/link") }},
		{Name: "unknown user", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "user nobody-knows: is not known"},
		{Name: "unknown group", Set: set("owner", "root:nobody-knows"), Attribute: "owner", Message: "group nobody-knows: is not known"},
		{Name: "two groups", Set: set("group", "root"), Attribute: "group", Message: "names a group already"},
		{Name: "number without group", Set: set("owner", "4000"), Attribute: "owner", Message: "so its group isn't either"},
		{Name: "reserved number", Set: set("owner", "4294967295:0"), Attribute: "owner", Message: "must be between"},
		{Name: "empty group", Set: set("owner", "root:"), Attribute: "owner", Message: "after the colon"},
	}
}

func moveDirectory(t *testing.T) contract.Scene {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a", "member"), filepath.Join(dir, "b", "member.old")
	contract.Write(t, filepath.Join(from, "wal", "0.wal"), "log")
	must(t, os.Mkdir(filepath.Dir(to), 0o700))
	return contract.Scene{
		Config:  config{"from": cty.StringVal(from), "to": cty.StringVal(to)},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) { exists(t, filepath.Join(to, "wal", "0.wal")) },
	}
}

func moveLink(t *testing.T) contract.Scene {
	dir := t.TempDir()
	contract.Write(t, filepath.Join(dir, "target"), "t")
	must(t, os.Symlink("target", filepath.Join(dir, "link")))
	return contract.Scene{
		Config:  config{"from": cty.StringVal(dir + "/link"), "to": cty.StringVal(dir + "/link2/")},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) { exists(t, filepath.Join(dir, "link2")) },
	}
}

func badMove() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("to", "b"), Attribute: "to", Message: "must be absolute"},
		{Name: "both absent", Set: set("from", "/no/such"), Attribute: "from", Message: "there is nothing here"},
		{Name: "occupied", Attribute: "to", Message: "something is here already",
			Set: func(t *testing.T, c config) { contract.Write(t, c["to"].AsString(), "occupied") }},
		{Name: "into itself", Attribute: "to", Message: "can't be moved into itself",
			Set: func(_ *testing.T, c config) { c["to"] = cty.StringVal(c["from"].AsString() + "/wal/new") }},
		{Name: "no parent", Attribute: "to", Message: "there is no such directory",
			Set: func(_ *testing.T, c config) { c["to"] = cty.StringVal(c["to"].AsString() + "/below") }},
		{Name: "another file system", Set: set("to", "/dev/shm/member"), Attribute: "to", Message: "another file system"},
		{Name: "mount point", Attribute: "from", Message: "is a mount point",
			Set: func(t *testing.T, c config) { mountOn(t, c["from"].AsString()) }},
		{Name: "system directory", Set: set("from", "/usr"), Attribute: "from", Message: "can't do without it"},
	}
}

func removeDirectory(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, "member")
	contract.Write(t, filepath.Join(path, "snap", "db"), "data")
	// An earlier step of the run has removed one of the same name.
	contract.Write(t, filepath.Join(dir, ".member.removed-20260102-030405-abcd"), "kept before")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path)},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
		Applied: func(t *testing.T) {
			exists(t, filepath.Join(dir, ".member.removed-20260102-030405-abcd.2", "snap", "db"))
		},
	}
}

func removeLongName(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("é", 127))
	contract.Write(t, path, "data")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path)},
		Observe: func(t *testing.T) string { return contract.Tree(t, dir) },
	}
}

func badRemove() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "member"), Attribute: "path", Message: "must be absolute"},
		{Name: "root", Set: set("path", "/"), Attribute: "path", Message: "can't do without it"},
		{Name: "mount point", Attribute: "path", Message: "is a mount point",
			Set: func(t *testing.T, c config) { mountOn(t, c["path"].AsString()) }},
	}
}

// seen describes dirs, without what undoing has moved aside.
func seen(dirs ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		var b strings.Builder
		for _, dir := range dirs {
			for line := range strings.Lines(contract.Tree(t, dir)) {
				if !strings.Contains(line, ".undone-") {
					b.WriteString(line)
				}
			}
		}
		return b.String()
	}
}

// copyData is dataDir with what copies tend to lose.
func copyData(t *testing.T) string {
	dir := dataDir(t)
	data := filepath.Join(dir, "data")
	must(t, os.Link(filepath.Join(data, "member", "snap", "db"), filepath.Join(data, "second-name")))
	must(t, os.Truncate(filepath.Join(data, "member", "wal", "0.wal"), 8<<20))
	must(t, os.Chtimes(filepath.Join(data, "member", "wal", "0.wal"), when, when))
	must(t, unix.Setxattr(filepath.Join(data, "member"), "trusted.note", []byte("kept"), 0))
	must(t, os.Chmod(filepath.Join(data, "member", "snap"), 0o3050))
	must(t, os.Chtimes(filepath.Join(data, "member", "snap"), when, when))
	return dir
}

var when = time.Unix(1767225600, 123456789)

func copyTree(t *testing.T) contract.Scene {
	dir := copyData(t)
	from, to := filepath.Join(dir, "data"), filepath.Join(dir, "copy")
	return contract.Scene{
		Config:  config{"from": cty.StringVal(from), "to": cty.StringVal(to)},
		Observe: seen(dir),
		Applied: func(t *testing.T) { isCopy(t, from, to) },
	}
}

func copyAcross(t *testing.T) contract.Scene {
	dir := t.TempDir()
	other, err := os.MkdirTemp("/dev/shm", "copy")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(other)) })
	from, to := filepath.Join(dir, "data"), filepath.Join(other, "data")
	contract.Write(t, filepath.Join(from, "member", "new"), "copied")
	must(t, os.Chown(filepath.Join(from, "member", "new"), 12, 34))
	contract.Write(t, filepath.Join(to, "member", "old"), "replaced")
	return contract.Scene{
		Config:  config{"from": cty.StringVal(from), "to": cty.StringVal(to), "replace": cty.True},
		Observe: seen(dir, other),
		Applied: func(t *testing.T) {
			if a, b := contract.Tree(t, from), contract.Tree(t, to); a != b {
				t.Errorf("the copy is\n%s\nof\n%s", b, a)
			}
			exists(t, filepath.Join(other, ".data.replaced-20260102-030405-abcd", "member", "old"))
		},
	}
}

// isCopy checks what contract.Tree doesn't tell as well.
func isCopy(t *testing.T, from, to string) {
	t.Helper()
	if a, b := contract.Tree(t, from), contract.Tree(t, to); a != b {
		t.Errorf("the copy is\n%s\nof\n%s", b, a)
	}
	var a, b, snap, wal unix.Stat_t
	must(t, unix.Lstat(filepath.Join(to, "member", "snap", "db"), &a))
	must(t, unix.Lstat(filepath.Join(to, "second-name"), &b))
	must(t, unix.Lstat(filepath.Join(to, "member", "snap"), &snap))
	must(t, unix.Lstat(filepath.Join(to, "member", "wal", "0.wal"), &wal))
	note := make([]byte, 8)
	n, err := unix.Lgetxattr(filepath.Join(to, "member"), "trusted.note", note)
	must(t, err)
	switch {
	case a.Ino != b.Ino || a.Nlink != 2:
		t.Error("the hard link is lost")
	case snap.Mtim.Nano() != when.UnixNano():
		t.Error("the directory's time is lost")
	case wal.Blocks > 1024:
		t.Errorf("the hole is lost: %d blocks", wal.Blocks)
	case string(note[:n]) != "kept":
		t.Error("the extended attribute is lost")
	}
}

func copyFile(t *testing.T) contract.Scene {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	contract.Write(t, from, "content")
	must(t, os.Chmod(from, 0o400))
	return contract.Scene{
		Config:  config{"from": cty.StringVal(from), "to": cty.StringVal(to)},
		Observe: seen(dir),
		Applied: func(t *testing.T) { exists(t, to) },
	}
}

func badCopy() []contract.Bad {
	mount := func(t *testing.T, c config) { mountOn(t, c["from"].AsString()+"/member/wal") }
	return []contract.Bad{
		{Name: "relative", Set: set("to", "b"), Attribute: "to", Message: "must be absolute"},
		{Name: "absent", Set: set("from", "/no/such"), Attribute: "from", Message: "there is nothing here"},
		{Name: "onto itself", Attribute: "to", Message: "the same path",
			Set: func(_ *testing.T, c config) { c["to"] = c["from"] }},
		{Name: "into itself", Attribute: "to", Message: "can't be copied into itself",
			Set: func(_ *testing.T, c config) { c["to"] = cty.StringVal(c["from"].AsString() + "/member/new") }},
		{Name: "into itself through a link", Attribute: "to", Message: "can't be copied into itself",
			Set: func(t *testing.T, c config) {
				link := c["to"].AsString() + ".link"
				must(t, os.Symlink(c["from"].AsString(), link))
				c["to"] = cty.StringVal(link + "/new")
			}},
		{Name: "over its parent", Attribute: "to", Message: "would be moved away with it",
			Set: func(_ *testing.T, c config) { c["to"] = cty.StringVal(filepath.Dir(c["from"].AsString())) }},
		{Name: "no parent", Attribute: "to", Message: "there is no such directory",
			Set: func(_ *testing.T, c config) { c["to"] = cty.StringVal(c["to"].AsString() + "/below") }},
		{Name: "occupied", Attribute: "to", Message: "something else is here already (a file)",
			Set: func(t *testing.T, c config) { contract.Write(t, c["to"].AsString(), "occupied") }},
		{Name: "something mounted inside", Attribute: "from", Message: "is mounted inside", Set: mount},
		{Name: "replacing a mount point", Attribute: "to", Message: "is a mount point",
			Set: func(t *testing.T, c config) {
				contract.Write(t, c["to"].AsString()+"/x", "occupied")
				mountOn(t, c["to"].AsString())
				c["replace"] = cty.True
			}},
		{Name: "replacing a system directory", Attribute: "to", Message: "can't do without it",
			Set: func(_ *testing.T, c config) { c["to"], c["replace"] = cty.StringVal("/opt"), cty.True }},
		{Name: "no room", Attribute: "to", Message: "are needed, and only",
			Set: func(t *testing.T, c config) {
				small := t.TempDir()
				must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
				t.Cleanup(func() { must(t, unix.Unmount(small, 0)) })
				must(t, os.WriteFile(c["from"].AsString()+"/large", make([]byte, 100<<10), 0o600))
				c["to"] = cty.StringVal(small + "/copy")
			}},
	}
}

// failingCopy runs out of what no plan counts.
func failingCopy() []contract.Bad {
	return []contract.Bad{{Name: "no inodes", Attribute: "", Message: "no space left on device",
		Set: func(t *testing.T, c config) {
			dir := t.TempDir()
			must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "nr_inodes=5"))
			t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
			c["to"] = cty.StringVal(dir + "/copy")
		}}}
}

func makeWithParents(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c")
	return contract.Scene{
		Config: config{"path": cty.StringVal(path + "/"), "mode": cty.StringVal("2750"), "owner": cty.StringVal("daemon:4000"),
			"parents": cty.True},
		Observe: seen(dir),
		Applied: func(t *testing.T) {
			owned(t, path, 1, 4000)
			owned(t, filepath.Dir(path), 0, 0)
			mode(t, path, 0o2750)
			mode(t, filepath.Dir(path), 0o755)
		},
	}
}

func makeExisting(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	contract.Write(t, filepath.Join(path, "inside"), "stays")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path), "mode": cty.StringVal("0700"), "group": cty.StringVal("4000")},
		Observe: seen(dir),
		Applied: func(t *testing.T) {
			owned(t, path, 0, 4000)
			mode(t, path, 0o700)
		},
	}
}

func badMake() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "a"), Attribute: "path", Message: "must be absolute"},
		{Name: "no parent", Attribute: "path", Message: "there is no such directory",
			Set: func(_ *testing.T, c config) { c["parents"] = cty.False }},
		{Name: "a file", Attribute: "path", Message: "is no directory", Set: set("path", "/etc/passwd")},
		{Name: "below a file", Attribute: "path", Message: "is no directory", Set: set("path", "/etc/passwd/a")},
		{Name: "a link", Attribute: "path", Message: "is a symbolic link", Set: set("path", "/proc/self")},
		{Name: "mode in words", Set: set("mode", "rwx"), Attribute: "mode", Message: "not a mode in octal"},
		{Name: "decimal mode", Set: set("mode", "0798"), Attribute: "mode", Message: "not a mode in octal"},
		{Name: "unknown user", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "is not known"},
		{Name: "two groups", Set: set("group", "root"), Attribute: "group", Message: "names a group already"},
	}
}

func writeNew(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("é", 127))
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path), "content": cty.StringVal("new\n")},
		Observe: withoutTimes(dir),
		Applied: func(t *testing.T) {
			holds(t, path, "new\n")
			mode(t, path, 0o644)
		},
	}
}

func writeOver(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, "conf")
	contract.Write(t, path, "old\n")
	must(t, os.Chown(path, 12, 34))
	must(t, os.Chmod(path, 0o600))
	must(t, unix.Setxattr(path, "user.note", []byte("inherited"), 0))
	// An earlier step of the run has replaced it too.
	contract.Write(t, filepath.Join(dir, ".conf.replaced-20260102-030405-abcd"), "oldest")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(path), "content": cty.StringVal("new\n"), "group": cty.StringVal("4000")},
		Observe: withoutTimes(dir),
		Applied: func(t *testing.T) {
			holds(t, path, "new\n")
			owned(t, path, 12, 4000)
			mode(t, path, 0o600)
			holds(t, filepath.Join(dir, ".conf.replaced-20260102-030405-abcd.2"), "old\n")
			note := make([]byte, 16)
			n, err := unix.Lgetxattr(path, "user.note", note)
			must(t, err)
			if string(note[:n]) != "inherited" {
				t.Errorf("its attribute is %q", note[:n])
			}
		},
	}
}

func writeMode(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := filepath.Join(dir, "conf")
	contract.Write(t, path, "same")
	return contract.Scene{
		Config: config{"path": cty.StringVal(path), "content": cty.StringVal("same"), "mode": cty.StringVal("4711"),
			"owner": cty.StringVal("daemon:4000")},
		Observe: withoutTimes(dir),
		Applied: func(t *testing.T) {
			owned(t, path, 1, 4000)
			mode(t, path, 0o4711)
		},
	}
}

// withoutTimes is seen without the times of what has just been written.
func withoutTimes(dir string) func(*testing.T) string {
	return func(t *testing.T) string {
		var b strings.Builder
		for line := range strings.Lines(seen(dir)(t)) {
			f := strings.Fields(line)
			if len(f) > 5 || len(f) == 5 && f[4] != "1767225600000000000" {
				f[4] = "now"
			}
			b.WriteString(strings.Join(f, " ") + "\n")
		}
		return b.String()
	}
}

func badWrite() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("path", "a"), Attribute: "path", Message: "must be absolute"},
		{Name: "a directory", Set: set("path", "/etc"), Attribute: "path", Message: "is no regular file"},
		{Name: "a device", Set: set("path", "/dev/null"), Attribute: "path", Message: "is no regular file"},
		{Name: "a link", Attribute: "path", Message: "is a symbolic link to x",
			Set: func(t *testing.T, c config) { must(t, os.Symlink("x", c["path"].AsString())) }},
		{Name: "a mount point", Attribute: "path", Message: "is a mount point",
			Set: func(t *testing.T, c config) {
				contract.Write(t, c["path"].AsString(), "x")
				mountOn(t, c["path"].AsString())
			}},
		{Name: "no parent", Set: set("path", "/no/such"), Attribute: "path", Message: "there is no such directory"},
		{Name: "mode in words", Set: set("mode", "u+x"), Attribute: "mode", Message: "not a mode in octal"},
		{Name: "unknown user", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "is not known"},
		{Name: "unknown group", Set: set("group", "nobody-knows"), Attribute: "group", Message: "is not known"},
	}
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

func mode(t *testing.T, path string, want uint32) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	if got := st.Mode & 0o7777; got != want {
		t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}

// set makes a mistake in one attribute.
func set(attribute, value string) func(*testing.T, config) {
	return func(_ *testing.T, c config) { c[attribute] = cty.StringVal(value) }
}

// mountOn puts a file system over dir until the test is over. It is bound
// from the very same file system, so its device number doesn't tell.
func mountOn(t *testing.T, dir string) {
	t.Helper()
	must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
}

func owned(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	if st.Uid != uid || st.Gid != gid {
		t.Errorf("%s belongs to %d:%d, want %d:%d", path, st.Uid, st.Gid, uid, gid)
	}
}

func exists(t *testing.T, path string) {
	t.Helper()
	_, err := os.Lstat(path)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
