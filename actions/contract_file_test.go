package actions_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/test/contract"
)

type config = map[string]cty.Value

func fileCases() []contract.Case {
	return []contract.Case{
		{Name: "a tree", Action: "chown", Setup: chownTree, Bad: badChown()},
		{Name: "one directory", Action: "chown", Setup: chownOne},
		{Name: "a directory", Action: "move", Setup: moveDirectory, Bad: badMove()},
		{Name: "a symbolic link, beside itself", Action: "move", Setup: moveLink},
		{Name: "a directory", Action: "remove", Setup: removeDirectory, Bad: badRemove()},
		{Name: "a file of a long name", Action: "remove", Setup: removeLongName},
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
