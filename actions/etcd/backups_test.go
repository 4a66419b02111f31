package etcd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"runbook/engine"
)

// written puts a backup into a directory that was last written hours ago.
func written(t *testing.T, path string, data []byte, hours int) {
	t.Helper()
	then := time.Now().Add(-time.Duration(hours)*time.Hour - time.Minute)
	for _, err := range []error{os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600), os.Chtimes(path, then, then)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackups(t *testing.T) {
	f := newFixture(t)
	snapshot, err := os.ReadFile(f.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	want := mustInspect(t, f.snapshot)
	flipped := append([]byte(nil), snapshot...)
	flipped[len(flipped)/2] ^= 1
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	written(t, filepath.Join(one, "b-1.db"), snapshot, 10)
	written(t, filepath.Join(one, "b-2.db"), snapshot, 9)
	written(t, filepath.Join(one, "b-3.db"), flipped, 6)
	written(t, filepath.Join(two, "b-4.db"), snapshot[:len(snapshot)-32], 5)
	written(t, filepath.Join(two, "b-5.db"), snapshot[:len(snapshot)/2], 2)
	written(t, filepath.Join(two, ".b-6.db"), snapshot, 1)
	written(t, filepath.Join(two, "notes.txt"), snapshot, 1)

	res := backups(t, attrs{"directories": []string{one, two, filepath.Join(one, "nowhere")}, "interval_seconds": 3600})
	if res["count"] != 5 || res["good"] != 3 || res["overdue"] != true || res["newest"] != filepath.Join(two, "b-4.db") ||
		res["newest_revision"] != want.Revision || res["newest_keys"] != want.Keys {
		t.Errorf("%+v", res)
	}
	var names []string
	for _, b := range res["backups"].([]foundBackup) {
		names = append(names, fmt.Sprintf("%s %v %v", filepath.Base(b.Path), b.Good, b.SHA256 != ""))
		if b.Good == (b.Reason != "") || b.Size == 0 || !b.Checked {
			t.Errorf("%+v", b)
		}
	}
	if got := fmt.Sprint(names); got != "[b-5.db false false b-4.db true false b-3.db false false b-2.db true true b-1.db true true]" {
		t.Error(got)
	}
	// The damaged one in between fills no gap.
	if got := fmt.Sprintf("%+v", res["gaps"]); got != fmt.Sprintf("[{After:%s/b-4.db Before:%s/b-2.db Seconds:14400}]", two, one) {
		t.Error(got)
	}

	res = backups(t, attrs{"directories": []string{one, two}, "limit": 2, "version": "3.5.21"})
	if res["good"] != 0 || res["newest"] != "" || res["overdue"] != false || res["newest_age_seconds"] != int64(-1) {
		t.Errorf("what is too new, or not checked, counts: %+v", res)
	}
}

func backups(t *testing.T, a attrs) engine.Result {
	t.Helper()
	res, err := read(t, "etcd_backups", a)
	if err != nil {
		t.Fatal(err)
	}
	return res
}
