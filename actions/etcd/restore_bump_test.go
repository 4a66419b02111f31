package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runbook/engine"
)

// planned plans the restore without a bump of its own, and returns what it
// chose and how it says so.
func planned(t *testing.T, f fixture, more attrs) (*restored, string) {
	t.Helper()
	a := f.attrs()
	delete(a, "bump_revision")
	for name, v := range more {
		a[name] = v
	}
	before := tree(t, f.dir)
	c := plan(t, request(t, "etcd_snapshot_restore", a))
	if tree(t, f.dir) != before {
		t.Error("looking for the bump changed something")
	}
	r := &restored{}
	must(t, c.GetData(r))
	for _, item := range c.Items {
		if item.Attribute == "revision" {
			return r, item.Note
		}
	}
	t.Fatal("the plan doesn't show the revision")
	return nil, ""
}

// The fixture's snapshot has revision 23, and etcd went on to 33.
func TestBumpIsExact(t *testing.T) {
	f := newFixture(t)
	r, note := planned(t, f, nil)
	if served := r.Revision + r.Bump - 1; r.Revision != 23 || served < 33 || served > 43 {
		t.Errorf("from %d up by %d: %s; the old member served 33", r.Revision, r.Bump, note)
	}
	if !strings.Contains(note, "log entries behind it") {
		t.Errorf("the plan says %q", note)
	}
	a := f.attrs()
	delete(a, "bump_revision")
	_, err := call(t, "etcd_snapshot_restore", a)
	must(t, err)
	s := start(t, f.data, "m1", "")
	defer s.stop()
	resp, err := s.client.Get(t.Context(), "/k/0005")
	if err != nil || resp.Header.Revision != r.Revision+r.Bump {
		t.Errorf("serves %v, %v", resp, err)
	}
}

// TestBumpBehindTheDatabase puts an older database beside the log: what was
// served is only in the log.
func TestBumpBehindTheDatabase(t *testing.T) {
	f := newFixture(t)
	db := filepath.Join(f.data, "member", "snap", "db")
	data, err := os.ReadFile(f.snapshot)
	must(t, err)
	must(t, os.WriteFile(db, data[:len(data)-32], 0o600))
	r, note := planned(t, f, nil)
	if served := r.Revision + r.Bump - 1; served < 33 || served > 43 {
		t.Errorf("from %d up by %d: %s; the old member served 33", r.Revision, r.Bump, note)
	}
}

func TestBumpInDoubt(t *testing.T) {
	wal := func(f fixture) string {
		logs, err := filepath.Glob(filepath.Join(f.data, "member", "wal", "*.wal"))
		if err != nil || len(logs) != 1 {
			t.Fatal(logs, err)
		}
		return logs[0]
	}
	for says, tt := range map[string]struct {
		damage func(f fixture)
		from   int64
	}{
		"cut short":                {func(f fixture) { must(t, os.Truncate(wal(f), 4096)) }, 33},
		"there is no log":          {func(f fixture) { must(t, os.Remove(wal(f))) }, 33},
		"the old log is gone":      {func(f fixture) { must(t, os.RemoveAll(filepath.Dir(wal(f)))) }, 33},
		"the log is damaged":       {func(f fixture) { corrupt(t, wal(f)) }, 33},
		"database can't be read":   {func(f fixture) { must(t, os.Truncate(filepath.Join(f.data, "member", "snap", "db"), 4096)) }, 23},
		"there is no old data":     {func(f fixture) { must(t, os.RemoveAll(f.data)) }, 23},
		"the old database is gone": {func(f fixture) { must(t, os.Remove(filepath.Join(f.data, "member", "snap", "db"))) }, 23},
	} {
		t.Run(says, func(t *testing.T) {
			f := newFixture(t)
			tt.damage(f)
			rec, note := planned(t, f, nil)
			if rec.Revision+rec.Bump != tt.from+defaultBump || !strings.Contains(note, says) {
				t.Errorf("from %d up by %d: %s; want %d beyond %d", rec.Revision, rec.Bump, note, int64(defaultBump), tt.from)
			}
		})
	}
}

// corrupt changes a byte in the first kilobytes of a log.
func corrupt(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[1000] ^= 0x55
	must(t, os.WriteFile(path, data, 0o600))
}

// The members of a cluster have to raise the revision alike.
func TestBumpOfManyMembers(t *testing.T) {
	f := newFixture(t)
	member := func(cluster string) map[string]any {
		return map[string]any{"name": "m1", "data_dir": f.data, "peer_urls": []string{testPeerURL}, "initial_cluster": cluster}
	}
	r, _ := planned(t, f, attrs{"member": member("m1=" + testPeerURL + ",m2=http://h:2380")})
	if r.Bump != defaultBump {
		t.Errorf("up by %d", r.Bump)
	}
	_, err := call(t, "etcd_snapshot_restore", with(f.attrs(), "bump_revision", 2*defaultBump))
	must(t, err)
	a := f.attrs()
	delete(a, "bump_revision")
	a["member"] = member("m1=" + testPeerURL + ",m2=http://h:2380")
	req := request(t, "etcd_snapshot_restore", a)
	req.Run.ID = "run2"
	_, err = testHost.Plan(t.Context(), req)
	var e *engine.Error
	if !errors.As(err, &e) || e.Attribute != "bump_revision" || !strings.Contains(e.Hint, "every member") {
		t.Errorf("got %v", err)
	}
}

func with(a attrs, name string, v any) attrs {
	a[name] = v
	return a
}

// A running etcd goes on serving: what it has served is known once it is
// stopped.
func TestBumpWhileEtcdRuns(t *testing.T) {
	f := newFixture(t)
	a := f.attrs()
	delete(a, "bump_revision")
	stopped := plan(t, request(t, "etcd_snapshot_restore", a))
	s := start(t, f.data, "m1", "")
	defer s.stop()
	running := plan(t, request(t, "etcd_snapshot_restore", a))
	if !running.SameAs(stopped) {
		t.Errorf("planned\n%+v\nand once it is stopped\n%+v", running.Items, stopped.Items)
	}
	r := &restored{}
	must(t, running.GetData(r))
	if r.Bump != defaultBump || !strings.Contains(r.BumpNote, "in use") {
		t.Errorf("up by %d: %s", r.Bump, r.BumpNote)
	}
}

// An etcd that began anew in the data directory has served revisions too, and
// tells nothing of what the one before it has.
func TestBumpOverWhatWasBegunAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		leave func(f fixture)
		from  int64
	}{
		"the old data is gone":       {func(f fixture) { must(t, os.RemoveAll(f.data)) }, 23},
		"it lies beside":             {func(f fixture) { must(t, os.Rename(f.data, f.data+".old")) }, 33},
		"it was raised, lies beside": {raisedBeside(t), 2_000_000_033},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			tt.leave(f)
			s := start(t, f.data, "m1", "")
			s.put(100, 105)
			s.stop()
			r, note := planned(t, f, nil)
			if begins := r.Revision + r.Bump; begins < tt.from+defaultBump || !strings.Contains(note, "isn't what followed on the snapshot") {
				t.Errorf("begins at %d: %s; want %d beyond %d", begins, note, int64(defaultBump), tt.from)
			}
		})
	}
}

// raisedBeside leaves a directory that another restore has raised.
func raisedBeside(t *testing.T) func(f fixture) {
	return func(f fixture) {
		marker := filepath.Join(f.data, "member", markerName)
		must(t, os.WriteFile(marker, []byte(`{"revision": 33, "bump": 2000000000}`), 0o600))
		must(t, os.Rename(f.data, f.data+".old"))
	}
}

// What is in place may be older than the snapshot, or what lies beside it
// newer.
func TestBumpOverWhatWentFurther(t *testing.T) {
	f := newFixture(t)
	older := filepath.Join(f.dir, "older")
	s := start(t, older, "m1", "")
	s.put(0, 10)
	s.stop()
	must(t, os.Rename(f.data, f.data+".old"))
	must(t, os.Rename(older, f.data))
	r, note := planned(t, f, nil)
	if begins := r.Revision + r.Bump; begins < 33+defaultBump {
		t.Errorf("begins at %d: %s", begins, note)
	}
}

// The plan says what of the old data it leaves behind, whether etcd runs or
// not.
func TestRestoreTellsWhatItLeavesBehind(t *testing.T) {
	f := newFixture(t)
	note := func() string {
		t.Helper()
		for _, item := range plan(t, request(t, "etcd_snapshot_restore", f.attrs())).Items {
			if strings.HasPrefix(item.Target, f.data+".before-") {
				return item.Note
			}
		}
		return "there is no such item"
	}
	if n := note(); !strings.Contains(n, "10 writes that the snapshot lacks") {
		t.Error(n)
	}
	s := start(t, f.data, "m1", "")
	n := note()
	s.stop()
	if !strings.Contains(n, "writes that the snapshot lacks") {
		t.Errorf("while etcd runs: %s", n)
	}
	must(t, os.Remove(filepath.Join(f.data, "member", "snap", "db")))
	if n := note(); n != "" {
		t.Error(n)
	}
}
