package etcd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"runbook/engine"
)

// adoption is a request to take the fixture's directory, which was moved to
// from, back.
func adoption(t *testing.T, f fixture, from string) engine.StepRequest {
	t.Helper()
	return request(t, "etcd_adopt", attrs{"from": from, "data_dir": f.data, "name": "m1", "initial_advertise_peer_urls": []string{testPeerURL}})
}

// countKeys starts etcd on a directory and counts its keys.
func countKeys(t *testing.T, dir string, want int64) {
	t.Helper()
	s := start(t, dir, "m1", "")
	defer s.stop()
	resp, err := s.client.Get(t.Context(), "/k/", clientv3.WithPrefix())
	must(t, err)
	if resp.Count != want {
		t.Errorf("%d keys, want %d", resp.Count, want)
	}
}

// laid is a tree without the times of its directories, which tell what was
// moved there meanwhile.
func laid(t *testing.T, root string) string {
	return directoryTime.ReplaceAllString(tree(t, root), "$1")
}

var directoryTime = regexp.MustCompile(`(?m)^(\S+ d\S+ \S+ \d+) .*$`)

func TestAdopt(t *testing.T) {
	for name, from := range map[string]string{"a data directory": "old", "a directory member": "old/member"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			old := filepath.Join(f.dir, "old")
			must(t, os.Rename(f.data, old))
			must(t, os.MkdirAll(filepath.Join(f.data, "member"), 0o700))
			must(t, os.WriteFile(filepath.Join(f.data, "member", "stray"), []byte("x"), 0o600))
			before := laid(t, f.dir)
			req := adoption(t, f, filepath.Join(f.dir, from))
			c := plan(t, req)
			if laid(t, f.dir) != before {
				t.Fatal("planning changed something")
			}
			if !strings.Contains(c.UndoNote, "goes to "+filepath.Join(old, "member")+"; what was in its place before comes back") {
				t.Errorf("undoing it is said to do this: %s", c.UndoNote)
			}
			res := apply(t, req, c)
			if res["keys"] != int64(29) || res["revision"] != int64(33) || res["kept"] != f.data+".before-run1-adopted" {
				t.Errorf("got %v", res)
			}
			if again := plan(t, req); !again.Empty() || again.Results["kept"] != res["kept"] {
				t.Errorf("planned again: %+v", again)
			}
			must(t, testHost.Undo(t.Context(), req, c, quiet{}))
			if after := laid(t, f.dir); after != before {
				t.Errorf("undone, and it is\n%s\nand was\n%s", after, before)
			}
			must(t, testHost.Undo(t.Context(), req, c, quiet{}))
			apply(t, req, c)
			countKeys(t, f.data, 29)
		})
	}
}

// What came up in place and got further isn't followed by revisions that it
// has served.
func TestAdoptRefusesWhatWasOvertaken(t *testing.T) {
	f := newFixture(t)
	old := filepath.Join(f.dir, "old")
	must(t, os.Rename(f.data, old))
	s := start(t, f.data, "m1", "")
	s.put(0, 60)
	s.stop()
	_, err := testHost.Plan(t.Context(), adoption(t, f, old))
	if err == nil || !strings.Contains(err.Error(), "would be served again") || !strings.Contains(engine.HintOf(err), "etcd_salvage") {
		t.Errorf("got %v", err)
	}
}

// From another file system it is copied.
func TestAdoptCopies(t *testing.T) {
	f := newFixture(t)
	disk := filepath.Join(f.dir, "disk")
	must(t, os.Mkdir(disk, 0o700))
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(disk, 0)) })
	must(t, os.CopyFS(filepath.Join(disk, "etcd"), os.DirFS(f.data)))
	must(t, os.RemoveAll(f.data))
	before := laid(t, f.dir)
	req := adoption(t, f, filepath.Join(disk, "etcd"))
	c := plan(t, req)
	if !strings.Contains(c.UndoNote, "goes to "+f.data+".undone-run1-adopted; nothing was in its place before") {
		t.Errorf("undoing it is said to do this: %s", c.UndoNote)
	}
	apply(t, req, c)
	if _, err := os.Stat(filepath.Join(disk, "etcd", "member", "snap", "db")); err != nil {
		t.Error(err)
	}
	countKeys(t, f.data, 29)
	must(t, testHost.Undo(t.Context(), req, c, quiet{}))
	if _, err := os.Stat(f.data + ".undone-run1-adopted"); err != nil {
		t.Error(err)
	}
	must(t, os.RemoveAll(f.data+".undone-run1-adopted"))
	if after := laid(t, f.dir); after != before {
		t.Errorf("undone, and it is\n%s\nand was\n%s", after, before)
	}
}

// Where the data directory is a mount point, "member" alone changes places.
func TestAdoptIntoAMountPoint(t *testing.T) {
	f := newFixture(t)
	kept := filepath.Join(f.dir, "kept")
	must(t, os.Rename(f.data, kept))
	must(t, os.Mkdir(f.data, 0o700))
	must(t, unix.Mount("tmpfs", f.data, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(f.data, 0)) })
	must(t, os.CopyFS(filepath.Join(f.data, "member.bak"), os.DirFS(filepath.Join(kept, "member"))))
	before := laid(t, f.dir)
	req := adoption(t, f, filepath.Join(f.data, "member.bak"))
	c := plan(t, req)
	apply(t, req, c)
	must(t, testHost.Undo(t.Context(), req, c, quiet{}))
	if after := laid(t, f.dir); after != before {
		t.Errorf("undone, and it is\n%s\nand was\n%s", after, before)
	}
	apply(t, req, c)
	countKeys(t, f.data, 29)
}
