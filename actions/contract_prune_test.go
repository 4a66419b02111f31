package actions_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

// snapshotAged puts a snapshot into the scene that is so many days older than
// the suite's run.
func snapshotAged(t *testing.T, name, content string, days int) string {
	t.Helper()
	path := filepath.Join(scenes, name)
	contract.Write(t, path, content)
	when := time.Unix(1767323045, 0).AddDate(0, 0, -days)
	must(t, os.Chtimes(path, when, when))
	return path
}

// pruneScene holds good snapshots, damaged ones among them, and what is none.
func pruneScene(t *testing.T) contract.Scene {
	fresh(t)
	must(t, os.Remove(backup))
	good := string(running(t).snapshot)
	torn := good[:len(good)-100]
	snapshotAged(t, "b-0.db", torn, 0)
	snapshotAged(t, "b-1.db", good, 1)
	snapshotAged(t, "b-1.tar.gz", "keys", 1)
	snapshotAged(t, "b-2.db", torn, 2)
	snapshotAged(t, "b-3.db", good, 3)
	snapshotAged(t, "b-4.db", good, 4)
	snapshotAged(t, "b-4.tar.gz", "keys", 4)
	snapshotAged(t, "b-5.db", "a list", 5)
	snapshotAged(t, "b-6.db", good, 6)
	snapshotAged(t, "b-7.db.part", good, 7)
	snapshotAged(t, "b-0.db.part", good, 0)
	snapshotAged(t, "mine.db", good, 8)
	must(t, os.MkdirAll(filepath.Join(scenes, "b-9.db"), 0o755))
	snapshotAged(t, "old/b-10.db", good, 10)
	must(t, os.Symlink("b-1.db", filepath.Join(scenes, "b-11.db")))
	before := contract.Tree(t, scenes)
	return contract.Scene{
		Config: config{"directory": cty.StringVal(scenes + "/"), "pattern": cty.StringVal("b-*"), "companions": texts(".tar.gz", ".conf"),
			"keep_last": cty.NumberIntVal(2)},
		Observe: func(t *testing.T) string { return contract.Tree(t, scenes) },
		Applied: func(t *testing.T) {
			for _, name := range []string{"b-4.db", "b-4.tar.gz", "b-6.db", "b-7.db.part"} {
				must(t, gone(filepath.Join(scenes, name)))
				snapshotAged(t, name, map[bool]string{true: "keys", false: good}[filepath.Ext(name) == ".gz"], int(name[2]-'0'))
			}
			if got := contract.Tree(t, scenes); got != before {
				t.Errorf("something else was deleted too:\n%s\nwas:\n%s", got, before)
			}
			for _, name := range []string{"b-4.db", "b-4.tar.gz", "b-6.db", "b-7.db.part"} {
				must(t, os.Remove(filepath.Join(scenes, name)))
			}
		},
	}
}

// gone is an error if something is at path.
func gone(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return &os.PathError{Op: "delete", Path: path, Err: os.ErrExist}
	}
	return nil
}

// pruneNothing has one good snapshot, and a week of backups that failed since.
func pruneNothing(t *testing.T) contract.Scene {
	fresh(t)
	must(t, os.Remove(backup))
	good := string(running(t).snapshot)
	for day := range 7 {
		snapshotAged(t, "b-"+string(rune('0'+day))+".db", good[:len(good)/(day+2)], day)
	}
	snapshotAged(t, "b-8.db", good, 8)
	return contract.Scene{
		Config:  config{"directory": cty.StringVal(scenes), "keep_within": cty.StringVal("168h")},
		Observe: func(t *testing.T) string { return contract.Tree(t, scenes) },
	}
}

func badPrune() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("directory", "backups"), Attribute: "directory", Message: "not an absolute path"},
		{Name: "no directory", Set: set("directory", scenes+"/no"), Attribute: "directory", Message: "there is no such directory"},
		{Name: "no rule", Set: setTo("keep_last", cty.Zero), Attribute: "keep_last", Message: "no rule says what is to be kept"},
		{Name: "an age in days", Set: set("keep_within", "7d"), Attribute: "keep_within", Message: `"168h"`},
		{Name: "no age", Set: set("keep_within", "0s"), Attribute: "keep_within", Message: "is not a time"},
		{Name: "less than none", Set: setTo("keep_daily", cty.NumberIntVal(-1)), Attribute: "keep_daily", Message: "at least 0"},
		{Name: "pattern", Set: set("pattern", "[a"), Attribute: "pattern", Message: "no closing one"},
		{Name: "pattern elsewhere", Set: set("pattern", "../*"), Attribute: "pattern", Message: "has no slash"},
		{Name: "ending", Set: setTo("companions", texts("tar.gz")), Attribute: "companions", Message: "begins with a dot"},
	}
}
