package etcd

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

func (f fixture) attrs() attrs {
	return attrs{
		"snapshot": f.snapshot, "bump_revision": 1000,
		"member": map[string]any{
			"name": "m1", "data_dir": f.data, "peer_urls": []string{testPeerURL},
			"initial_cluster": "m1=" + testPeerURL, "initial_cluster_token": "etcd-cluster",
		},
	}
}

// tree describes all that is below root: names, types, owners, modes, times,
// inodes and contents.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(root, path)
		fmt.Fprintf(&b, "%s %v %d:%d %d %v", rel, info.Mode(), st.Uid, st.Gid, st.Ino, info.ModTime())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func plan(t *testing.T, req engine.StepRequest) engine.Change {
	t.Helper()
	c, err := testHost.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func apply(t *testing.T, req engine.StepRequest, c engine.Change) engine.Result {
	t.Helper()
	res, err := testHost.Apply(t.Context(), req, c, quiet{})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, engine.HintOf(err))
	}
	return res
}

func undo(t *testing.T, req engine.StepRequest, c engine.Change) {
	t.Helper()
	if err := testHost.Undo(t.Context(), req, c, quiet{}); err != nil {
		t.Fatalf("%v\nhint: %s", err, engine.HintOf(err))
	}
}

func mustInspect(t *testing.T, path string) inspect.Info {
	t.Helper()
	info, err := inspect.File(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestRestore(t *testing.T) {
	f := newFixture(t)
	if err := os.Chown(f.data, 1234, 5678); err != nil {
		t.Fatal(err) // it takes root
	}
	before := tree(t, f.data)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	if got := tree(t, f.data); got != before {
		t.Fatal("Plan changed the data directory")
	}
	res := apply(t, req, c)
	want := mustInspect(t, f.snapshot)
	if res["keys"] != want.Keys || res["revision"] != want.Revision+1000 || res["content_hash"] != want.ContentHash {
		t.Errorf("results %v, the snapshot has %+v", res, want)
	}
	if kept := f.data + ".before-run1"; tree(t, kept) != before {
		t.Error("the kept directory isn't the old one")
	}
	checkOwner(t, f.data, 1234, 5678)
	if again := plan(t, req); !again.Empty() || fmt.Sprint(again.Results) != fmt.Sprint(engine.Result(res)) {
		t.Errorf("Plan after Apply: %+v, want the results %v", again, res)
	}
	boots(t, f.data, want)
	undo(t, req, c)
	if got := tree(t, f.data); got != before {
		t.Errorf("after undo:\n%s\nwant:\n%s", got, before)
	}
	if _, err := os.Stat(f.data + ".undone-run1"); err != nil {
		t.Error("undo didn't keep the restored directory: ", err)
	}
	undo(t, req, c)
}

func checkOwner(t *testing.T, root string, uid, gid uint32) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// boots starts etcd on the restored directory and compares what it serves.
func boots(t *testing.T, dir string, want inspect.Info) {
	t.Helper()
	s := start(t, dir, "m1", "")
	defer s.stop()
	resp, err := s.client.Get(t.Context(), "/k/0005")
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "value 5" {
		t.Fatalf("got %v %v", resp, err)
	}
	if resp.Header.Revision != want.Revision+1000 {
		t.Errorf("serves revision %d, want %d", resp.Header.Revision, want.Revision+1000)
	}
	if resp, err := s.client.Get(t.Context(), "/k/0025"); err != nil || len(resp.Kvs) != 0 {
		t.Errorf("a key from after the snapshot is there: %v %v", resp, err)
	}
	if err := refuseInUse(filepath.Join(dir, "member"), ""); err == nil {
		t.Error("a data directory in use was not refused")
	}
}

// TestRestoreInterrupted builds every state in which a killed Apply or Undo
// can leave the directories, and lets Apply and Undo go on from each.
func TestRestoreInterrupted(t *testing.T) {
	f := newFixture(t)
	before := tree(t, f.data)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	r := &restored{}
	if err := c.GetData(r); err != nil {
		t.Fatal(err)
	}
	s := r.Data
	stage := func() {
		if err := r.stage(t.Context(), quiet{}); err != nil {
			t.Fatal(err)
		}
	}
	states := map[string]func(){
		"nothing done": func() {},
		"half staged": func() {
			must(t, os.MkdirAll(filepath.Join(s.Partial, "member", "snap"), 0o700))
			must(t, os.WriteFile(filepath.Join(s.Partial, "member", "snap", "db"), []byte("half"), 0o600))
		},
		"staged":          stage,
		"between renames": func() { stage(); must(t, os.Rename(s.Target, s.Kept)) },
		"exchanged": func() {
			stage()
			must(t, os.Rename(s.Target, s.Target+".x"))
			must(t, os.Rename(s.New, s.Target))
			must(t, os.Rename(s.Target+".x", s.New))
		},
		"in place": func() { stage(); must(t, os.Rename(s.Target, s.Kept)); must(t, os.Rename(s.New, s.Target)) },
		"exchanged back": func() {
			stage()
			must(t, os.Rename(s.New, s.Kept))
		},
		"undone half": func() { stage(); must(t, os.Rename(s.Target, s.Kept)); must(t, os.Rename(s.New, s.Undone)) },
	}
	for name, build := range states {
		t.Run("undo/"+name, func(t *testing.T) {
			build()
			undo(t, req, c)
			undo(t, req, c)
			if got := tree(t, f.data); got != before {
				t.Errorf("after undo:\n%s\nwant:\n%s", got, before)
			}
			leftovers(t, f, s.Undone)
		})
		if name == "exchanged back" || name == "undone half" {
			continue // only undo gets there, and only undo goes on
		}
		t.Run("apply/"+name, func(t *testing.T) {
			build()
			if again := plan(t, req); !again.Empty() && !again.SameAs(c) {
				t.Errorf("planned again: %+v", again.Items)
			} else if again.Empty() != (name == "in place") {
				t.Errorf("planned again: empty is %v", again.Empty())
			}
			apply(t, req, c)
			apply(t, req, c)
			if got := mustInspect(t, filepath.Join(f.data, "member", "snap", "db")); got.ContentHash != r.ContentHash {
				t.Error("the restored content differs")
			}
			if got := tree(t, s.Kept); got != before {
				t.Error("the old data changed")
			}
			undo(t, req, c)
			if got := tree(t, f.data); got != before {
				t.Errorf("after undo:\n%s\nwant:\n%s", got, before)
			}
			leftovers(t, f, s.Undone)
		})
	}
}

// A power cut ends in a reboot, after which the file system may have another
// device number than the one it was planned with.
func TestRestoreAfterReboot(t *testing.T) {
	f := newFixture(t)
	before := tree(t, f.data)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	c.Data = regexp.MustCompile(`"device":\d+`).ReplaceAll(c.Data, []byte(`"device":99999`))
	apply(t, req, c)
	undo(t, req, c)
	if got := tree(t, f.data); got != before {
		t.Errorf("after undo:\n%s\nwant:\n%s", got, before)
	}
}

// leftovers fails if anything but the undone directories remains, and removes
// those.
func leftovers(t *testing.T, f fixture, undone string) {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	must(t, err)
	for _, e := range entries {
		path := filepath.Join(f.dir, e.Name())
		switch {
		case path == f.data || path == f.snapshot:
		case strings.HasPrefix(path, undone):
			must(t, os.RemoveAll(path))
		default:
			t.Errorf("%s is left over", path)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRestoreWithoutOldData(t *testing.T) {
	f := newFixture(t)
	must(t, os.RemoveAll(f.data))
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	if !strings.Contains(c.UndoNote, "nothing was in its place before") {
		t.Errorf("undoing it is said to do this: %s", c.UndoNote)
	}
	apply(t, req, c)
	apply(t, req, c)
	if again := plan(t, req); !again.Empty() {
		t.Errorf("Plan after Apply: %+v", again.Items)
	}
	boots(t, f.data, mustInspect(t, f.snapshot))
	undo(t, req, c)
	undo(t, req, c)
	if _, err := os.Stat(f.data); !os.IsNotExist(err) {
		t.Error("the data directory is still there after undo")
	}
	must(t, os.Mkdir(f.data, 0o700))
	if _, err := testHost.Apply(t.Context(), req, c, quiet{}); err == nil {
		t.Error("someone else's directory was taken for the restored one")
	}
}

func TestRestoreSeparateLog(t *testing.T) {
	dir := t.TempDir()
	data, wal, snap := filepath.Join(dir, "etcd"), filepath.Join(dir, "wal"), filepath.Join(dir, "b.db")
	s := start(t, data, "m1", wal)
	s.put(0, 20)
	if _, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snap}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	before := tree(t, data) + tree(t, wal)
	req := request(t, "etcd_snapshot_restore", attrs{
		"snapshot": snap, "bump_revision": 1000, "data_dir": data, "wal_dir": wal, "name": "m1",
		"initial_advertise_peer_urls": []string{testPeerURL},
	})
	c := plan(t, req)
	apply(t, req, c)
	apply(t, req, c)
	start(t, data, "m1", wal).stop()
	undo(t, req, c)
	if tree(t, data)+tree(t, wal) != before {
		t.Error("undo didn't put data and log back")
	}
}

// TestUndoneLogIsNamed holds that all that Undo sets aside is named beforehand,
// a separate log too: nothing else tells where it is.
func TestUndoneLogIsNamed(t *testing.T) {
	for _, action := range []string{"etcd_snapshot_restore", "etcd_salvage"} {
		t.Run(action, func(t *testing.T) {
			dir := t.TempDir()
			data, wal, snap := filepath.Join(dir, "etcd"), filepath.Join(dir, "wal"), filepath.Join(dir, "b.db")
			s := start(t, data, "m1", wal)
			s.put(0, 20)
			_, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snap})
			must(t, err)
			s.stop()
			a := attrs{"data_dir": data, "wal_dir": wal, "name": "m1", "initial_advertise_peer_urls": []string{testPeerURL}}
			if action == "etcd_snapshot_restore" {
				a["snapshot"] = snap
			}
			req := request(t, action, a)
			c := plan(t, req)
			apply(t, req, c)
			undo(t, req, c)
			aside, err := filepath.Glob(filepath.Join(dir, "*.undone-*"))
			must(t, err)
			if len(aside) != 2 || !slices.Equal(aside, slices.Sorted(slices.Values(c.UndoKept))) {
				t.Errorf("Undo set aside %q, and the plan names %q", aside, c.UndoKept)
			}
			if !strings.Contains(c.UndoNote, "goes to "+aside[0]) || !strings.Contains(c.UndoNote, "what was in its place before comes back") {
				t.Errorf("Undo set %s aside, and is said to do this: %s", aside[0], c.UndoNote)
			}
		})
	}
}

func TestRestoreFromDatabaseFile(t *testing.T) {
	f := newFixture(t)
	a := f.attrs()
	a["snapshot"] = filepath.Join(f.data, "member", "snap", "db")
	req := request(t, "etcd_snapshot_restore", a)
	c := plan(t, req)
	res := apply(t, req, c)
	apply(t, req, c)
	if res["keys"] != int64(29) {
		t.Errorf("restored %v keys, want all 29", res["keys"])
	}
}

func TestRestoreRefuses(t *testing.T) {
	f := newFixture(t)
	before := tree(t, f.dir)
	for name, tt := range map[string]struct {
		set       attrs
		attribute string
		says      string
	}{
		"wrong name":     {attrs{"name": "other"}, "name", "before anything was stopped"},
		"wrong peer URL": {attrs{"initial_advertise_peer_urls": []string{"http://h:1"}}, "initial_advertise_peer_urls", "before anything was stopped"},
		"old token":      {attrs{"initial_cluster_token": "etcd-cluster"}, "initial_cluster_token", "is the old cluster's"},
		"not in cluster": {attrs{"initial_cluster": "x=http://localhost:2380"}, "name", "not in the initial cluster"},
		"no such file":   {attrs{"snapshot": "/nonexistent.db"}, "snapshot", "no such file"},
		"no parent":      {attrs{"data_dir": "/nonexistent/a/b"}, "data_dir", "parent"},
		"half a bump":    {attrs{"mark_compacted": false}, "mark_compacted", "mark_compacted"},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.attrs()
			for k, v := range tt.set {
				a[k] = v
			}
			_, err := testHost.Plan(t.Context(), request(t, "etcd_snapshot_restore", a))
			e, ok := err.(*engine.Error)
			if !ok || e.Attribute != tt.attribute || !strings.Contains(err.Error(), tt.says) || e.Hint == "" {
				t.Errorf("got %#v", err)
			}
		})
	}
	if tree(t, f.dir) != before {
		t.Error("Plan changed something")
	}
}

func TestRestoreInUse(t *testing.T) {
	f := newFixture(t)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	s := start(t, f.data, "m1", "")
	if _, err := testHost.Apply(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Apply on a running etcd: %v", err)
	}
	s.stop()
	future := time.Now().Add(time.Hour)
	must(t, os.Chtimes(f.snapshot, future, future))
	must(t, os.Truncate(f.snapshot, 100<<10))
	if _, err := testHost.Apply(t.Context(), req, c, quiet{}); err == nil {
		t.Error("a snapshot that changed since the plan was restored")
	}
}
