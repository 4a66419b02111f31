package actions_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

func adoptCases() []contract.Case {
	return []contract.Case{
		{Name: "over a broken directory", Action: "etcd_adopt", Setup: adoptOver, Bad: badAdopt(), Fails: failingAdopt()},
		{Name: "with a log of its own, where there is no data", Action: "etcd_adopt", Setup: adoptWithLog, Bad: badAdoptLog()},
		{Name: "another directory's database", Action: "etcd_salvage", Setup: salvageOther, Bad: badSalvageOther()},
	}
}

// The places of a directory that was moved away, and of its log.
const (
	oldAt    = scenes + "/etcd.old"
	oldWALAt = scenes + "/wal.old"
)

// movedAway puts a whole directory where it was moved to, root's.
func movedAway(t *testing.T) {
	t.Helper()
	left(t, nil)
	must(t, os.Rename(dataAt, oldAt))
	must(t, filepath.WalkDir(oldAt, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 0, 0))
	}))
}

func adoptOver(t *testing.T) contract.Scene {
	movedAway(t)
	damaged(t, filepath.Join(dataAt, "member", "wal"))
	return contract.Scene{
		Config:  config{"from": cty.StringVal(oldAt), "member": memberConfig(nil)},
		Observe: observeRestore,
		Applied: func(t *testing.T) {
			owned(t, dataAt, 1, 4000)
			exists(t, filepath.Join(dataAt, "member", "runbook-adopt.json"))
			exists(t, dataAt+".before-20260102-030405-abcd-adopted/member/wal/0000000000000000-0000000000000000.wal")
			if _, err := os.Lstat(filepath.Join(oldAt, "member")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it was not moved: %v", err)
			}
		},
	}
}

// adoptWithLog gives every setting itself, and takes a directory "member".
func adoptWithLog(t *testing.T) contract.Scene {
	movedAway(t)
	must(t, os.Rename(filepath.Join(oldAt, "member", "wal"), oldWALAt))
	return contract.Scene{
		Config: config{
			"from": cty.StringVal(filepath.Join(oldAt, "member")), "from_wal": cty.StringVal(oldWALAt),
			"data_dir": cty.StringVal(dataAt), "wal_dir": cty.StringVal(walAt), "name": cty.StringVal("cp1"), "initial_advertise_peer_urls": texts(peerURL),
			"owner": cty.StringVal("1"), "group": cty.StringVal("4000"), "etcd_version": cty.StringVal("3.7.3"),
		},
		Observe: observeRestore,
		Applied: func(t *testing.T) {
			owned(t, dataAt, 1, 4000)
			owned(t, walAt, 1, 4000)
			exists(t, filepath.Join(dataAt, "member", "snap", "db"))
			exists(t, filepath.Join(walAt, "0000000000000000-0000000000000000.wal"))
		},
	}
}

func badAdopt() []contract.Bad {
	db := filepath.Join(oldAt, "member", "snap", "db")
	return []contract.Bad{
		{Name: "relative directory", Set: set("from", "etcd"), Attribute: "from", Message: "not an absolute path"},
		{Name: "relative data directory", Set: set("data_dir", "etcd"), Attribute: "data_dir", Message: "not an absolute path"},
		{Name: "nothing there", Set: set("from", scenes+"/none"), Attribute: "from", Message: "there is no member/snap/db in it"},
		{Name: "in place", Set: set("from", dataAt), Attribute: "from", Message: "it is in place already"},
		{Name: "truncated database", Attribute: "from", Message: "truncated", Set: func(t *testing.T, _ config) { shorten(t, db, 20480) }},
		{Name: "no log", Attribute: "from", Message: "its log is gone", Set: func(t *testing.T, _ config) {
			must(t, os.RemoveAll(filepath.Join(oldAt, "member", "wal")))
		}},
		{Name: "a link in it", Attribute: "from", Message: "neither a file nor a directory", Set: func(t *testing.T, _ config) {
			must(t, os.Symlink("/etc/passwd", filepath.Join(oldAt, "member", "link")))
		}},
		{Name: "another member", Attribute: "from", Message: `configured as "cp2"`, Set: func(_ *testing.T, c config) {
			c["member"] = memberConfig(config{"name": cty.StringVal("cp2"), "initial_cluster": cty.StringVal("cp2=" + peerURL)})
		}},
		{Name: "what is in place got further", Attribute: "from", Message: "would be served again", Set: func(t *testing.T, _ config) {
			b := brokenMember(t)
			contract.Write(t, filepath.Join(dataAt, "member", "snap", "db"), string(b.db))
			contract.Write(t, filepath.Join(dataAt, "member", "runbook-restore.json"), `{"revision": 20, "bump": 1000}`)
		}},
		{Name: "a log, and no place for it", Set: set("from_wal", oldWALAt), Attribute: "from_wal", Message: "without a directory of its own"},
		{Name: "another name", Set: set("name", "cp2"), Attribute: "name", Message: `which is started with "cp1"`},
		{Name: "another peer URL", Set: setTo("initial_advertise_peer_urls", texts("http://127.0.0.12:2380")),
			Attribute: "initial_advertise_peer_urls", Message: "would not fit this member"},
		{Name: "member without a directory", Set: setTo("member", cty.ObjectVal(config{"name": cty.StringVal("cp1")})),
			Attribute: "member", Message: `"data_dir" is required`},
		{Name: "unknown owner", Set: set("owner", "nobody-knows"), Attribute: "owner", Message: "no such user"},
		{Name: "unknown group", Set: set("group", "nobody-knows"), Attribute: "group", Message: "no such group"},
		{Name: "too new for etcd", Set: set("etcd_version", "3.6.1"), Attribute: "snapshot", Message: "too new for the etcd that will run it"},
	}
}

func badAdoptLog() []contract.Bad {
	return []contract.Bad{
		{Name: "relative log", Set: set("wal_dir", "wal"), Attribute: "wal_dir", Message: "not an absolute path"},
		{Name: "relative old log", Set: set("from_wal", "wal"), Attribute: "from_wal", Message: "not an absolute path"},
		{Name: "a log that isn't there", Set: set("from_wal", scenes+"/none"), Attribute: "from_wal", Message: "it is no directory"},
	}
}

func failingAdopt() []contract.Bad {
	return append(failingRestore(), contract.Bad{Name: "the other in use", Message: "the data directory is in use", Set: func(t *testing.T, _ config) {
		f := held(t, filepath.Join(oldAt, "member", "snap", "db"))
		lockWhole(t, f)
	}})
}

func salvageOther(t *testing.T) contract.Scene {
	movedAway(t)
	must(t, os.WriteFile(filepath.Join(oldAt, "member", "wal", "0000000000000000-0000000000000000.wal.broken"), nil, 0o600))
	return contract.Scene{
		Config:  config{"from": cty.StringVal(oldAt), "member": memberConfig(nil), "owner": cty.StringVal("1"), "group": cty.StringVal("4000")},
		Observe: observeSalvage,
		Applied: func(t *testing.T) {
			keysAt(t, 28)
			exists(t, filepath.Join(oldAt, "member", "snap", "db"))
		},
	}
}

func badSalvageOther() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("from", "etcd"), Attribute: "from", Message: "not an absolute path"},
		{Name: "nothing there", Set: set("from", scenes+"/none"), Attribute: "from", Message: "there is no member/snap/db in it"},
		{Name: "not a database", Attribute: "data_dir", Message: "can't be salvaged", Set: func(t *testing.T, _ config) {
			contract.Write(t, filepath.Join(oldAt, "member", "snap", "db"), strings.Repeat("not a database", 1000))
		}},
	}
}
