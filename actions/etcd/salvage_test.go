package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// readerEnds is the name of a file beside a log that says how a child ends that
// is to read it.
const readerEnds = "reader-ends"

// endingReader plays that child.
func endingReader(args []string) bool {
	if len(args) != 3 || args[1] != "wal" {
		return false
	}
	how, err := os.ReadFile(filepath.Join(filepath.Dir(args[2]), readerEnds))
	switch {
	case err != nil:
		return false
	case string(how) == "killed":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL) // nobody is left to be told
	}
	panic("the log is a trap")
}

// logAhead is a stopped member whose log, in a directory of its own, is ten
// keys ahead of its database, and a salvage of it. ends has the reader of the
// log end in a way; with none it reads.
func logAhead(t *testing.T) (data string, req engine.StepRequest, ends func(how string)) {
	t.Helper()
	dir := t.TempDir()
	data = filepath.Join(dir, "etcd")
	wal, snapshot := filepath.Join(dir, "wal"), filepath.Join(dir, "b.db")
	s := start(t, data, "m1", wal)
	s.put(0, 20)
	_, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snapshot})
	must(t, err)
	s.put(20, 30)
	s.stop()
	db, err := os.ReadFile(snapshot)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(data, "member", "snap", "db"), db[:len(db)-32], 0o600)) // without its hash
	req = request(t, "etcd_salvage", attrs{"data_dir": data, "wal_dir": wal, "name": "m1", "initial_advertise_peer_urls": []string{testPeerURL}})
	hook := filepath.Join(dir, readerEnds)
	return data, req, func(how string) {
		if how == "" {
			must(t, os.Remove(hook))
			return
		}
		must(t, os.WriteFile(hook, []byte(how), 0o600))
	}
}

// A log that couldn't be read isn't one that isn't there: a salvage that was
// planned with it isn't made without it, whatever ends its reader.
func TestSalvageNeedsTheLogItWasPlannedWith(t *testing.T) {
	data, req, ends := logAhead(t)
	before := tree(t, data)
	c := plan(t, req)
	for _, how := range []string{"killed", "panic"} {
		ends(how)
		res, err := testHost.Apply(t.Context(), req, c, quiet{})
		var e *engine.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: salvaged %v, %v", how, res, err)
		}
		if tree(t, data) != before {
			t.Fatalf("%s: the old data was changed", how)
		}
	}
	ends("")
	if res := apply(t, req, c); res["replayed"].(int64) < 10 || res["lost"] != int64(0) || res["keys"] != int64(30) {
		t.Errorf("salvaged %v", res)
	}
}

// A plan isn't made without a log of which nothing is known, either.
func TestSalvageIsPlannedWithTheLog(t *testing.T) {
	_, req, ends := logAhead(t)
	ends("killed")
	c, err := testHost.Plan(t.Context(), req)
	if err == nil || !strings.Contains(err.Error(), "ended from outside") || engine.HintOf(err) == "" {
		t.Errorf("planned %v, %v", c.Items, err)
	}
}

// Where the plan says that the log can't be read, what it held isn't known to
// be nothing.
func TestSalvageWithoutTheLog(t *testing.T) {
	_, req, ends := logAhead(t)
	ends("panic")
	c := plan(t, req)
	if note := c.Items[0].Note; !strings.Contains(note, "nothing is replayed: the old log can't be read: the log is a trap") {
		t.Errorf("the plan says %q", note)
	}
	res := apply(t, req, c)
	if res["replayed"] != int64(0) || res["lost"] != nil || res["keys"] != int64(20) {
		t.Errorf("salvaged %v", res)
	}
}
