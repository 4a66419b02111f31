package diagnose

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
	"runbook/test/binaries"
	"runbook/test/etcddir"
)

// A cure that is recommended works: etcd starts on what a look says that it
// starts on, with every key that was said to be there.
func TestRestartWhereItIsRecommended(t *testing.T) {
	rows := catalogue()
	for version := range etcddir.Versions {
		for name, keys := range map[string]int{
			"nothing killed": 320, "WAL torn tail": 320, "WAL ends within a record": 320,
			"first meta page": 300, "second meta page": 300, "newest snap damaged": 300,
			"db_missing with the whole log": 300,
		} {
			r := rows[name]
			if r.only != "" && !strings.Contains(r.only, version) {
				continue
			}
			t.Run(version+" "+name, func(t *testing.T) {
				d := dirs(t, version)
				from := d.Clean
				if r.killed {
					from = d.Killed
				}
				dir := copyOf(t, from)
				whole := lastIndex(t, dir)
				r.damage(t, dir)
				keys := keys - int(whole-lastIndex(t, dir)) // the last entries are a key each
				if r.cure == Repair {                       // the advice
					for _, n := range names(t, filepath.Dir(dbPath(dir))) {
						must(t, os.Remove(filepath.Join(filepath.Dir(dbPath(dir)), n)))
					}
				}
				m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL)
				must(t, err)
				got, err := m.Client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
				must(t, errors.Join(err, m.Stop()))
				if int(got.Count) != keys {
					t.Errorf("%d keys, want %d", got.Count, keys)
				}
			})
		}
	}
}

// lastIndex is the last entry of a directory's log that can be read.
func lastIndex(t *testing.T, dir string) uint64 {
	t.Helper()
	w, err := readWAL(filepath.Join(dir, "member", "wal"))
	must(t, err)
	return w.LastIndex
}

// A running etcd is looked at, left in peace, and not said to be damaged.
func TestRunning(t *testing.T) {
	for version := range etcddir.Versions {
		t.Run(version, func(t *testing.T) {
			d := dirs(t, version)
			dir := copyOf(t, d.Clean)
			m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL)
			must(t, err)
			defer m.Stop()
			rep, err := Look(t.Context(), optionsFor(d, dir, d.Backups))
			must(t, err)
			if !rep.Running() || !rep.Has("in_use") || !slices.Contains(rep.Around.Users, m.PID()) {
				t.Errorf("not seen as running: %+v", rep.Around)
			}
			if !rep.Healthy() || rep.Recommended != "" {
				t.Errorf("recommends %q: %+v", rep.Recommended, rep.Findings)
			}
			must(t, m.Put(t.Context(), 0, 5))
		})
	}
}

// What a restore with defaults leaves behind, with an alarm in the snapshot.
func TestRestored(t *testing.T) {
	etcdutl, err := binaries.Path(t.Context(), "etcdutl")
	must(t, err)
	for version := range etcddir.Versions {
		t.Run(version, func(t *testing.T) {
			d := dirs(t, version)
			snapshot, restored := withAlarm(t, version, d), filepath.Join(t.TempDir(), "restored")
			out, err := exec.CommandContext(t.Context(), etcdutl, "snapshot", "restore", snapshot, "--data-dir", restored).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			o := optionsFor(d, restored, d.Backups)
			o.Name = "default"
			rep, err := Look(t.Context(), o)
			must(t, err)
			for _, class := range []string{"restored_with_defaults", "no_revision_bump", "stale_alarm"} {
				if !rep.Has(class) {
					t.Errorf("no finding %q: %+v", class, rep.Findings)
				}
			}
			if rep.Recommended != Restart {
				t.Errorf("recommends %q", rep.Recommended)
			}
		})
	}
}

// A member of several is told that the others may have it all; its log may be
// in a directory of its own.
func TestOneOfThree(t *testing.T) {
	etcdutl, err := binaries.Path(t.Context(), "etcdutl")
	must(t, err)
	d := dirs(t, "3.6")
	restored, wal := filepath.Join(t.TempDir(), "etcd"), filepath.Join(t.TempDir(), "wal")
	cluster := "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"
	out, err := exec.CommandContext(t.Context(), etcdutl, "snapshot", "restore", filepath.Join(d.Backups, "backup-1.db"), "--data-dir", restored, "--wal-dir", wal,
		"--name", "m1", "--initial-cluster", cluster, "--initial-advertise-peer-urls", "http://10.0.0.1:2380", "--bump-revision", "1000000", "--mark-compacted").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := optionsFor(d, restored, d.Backups)
	o.WALDir, o.PeerURLs = wal, []string{"http://10.0.0.1:2380"}
	rep, err := Look(t.Context(), o)
	must(t, err)
	if !rep.Has("other_members") || !rep.Healthy() || rep.Has("no_revision_bump") || rep.WAL.Dir != wal || rep.Recommended != Restart {
		t.Errorf("recommends %q: %+v", rep.Recommended, rep.Findings)
	}
}

// withAlarm is a snapshot of a member that has raised an alarm, which is a
// finding of its own.
func withAlarm(t *testing.T, version string, d etcddir.Dirs) string {
	dir := copyOf(t, d.Clean)
	m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL)
	must(t, err)
	path := filepath.Join(t.TempDir(), "s.db")
	must(t, errors.Join(m.RaiseNoSpace(t.Context()), m.Save(t.Context(), path), m.Stop()))
	rep, err := Look(t.Context(), optionsFor(d, dir, d.Backups))
	must(t, err)
	if !rep.Has("alarm") || rep.Recommended != Restart {
		t.Errorf("recommends %q: %+v", rep.Recommended, rep.Findings)
	}
	return path
}

// What is read here page by page is what bbolt reads.
func TestAgreesWithBbolt(t *testing.T) {
	for version := range etcddir.Versions {
		d := dirs(t, version)
		for _, path := range []string{dbPath(d.Clean), dbPath(d.Killed), filepath.Join(d.Backups, "backup-1.db")} {
			info, err := inspect.File(t.Context(), path)
			must(t, err)
			db, err := readDB(path)
			must(t, err)
			if !db.Whole() || db.Revision != info.Revision || db.Contents.Keys != info.Keys || db.Contents.Revisions != info.TotalKeys ||
				db.ConsistentIndex != info.ConsistentIndex || db.StorageVersion != info.StorageVersion || len(db.Members) != len(info.Members) ||
				db.CompactRevision != info.CompactRevision || db.BadValues != 0 {
				t.Errorf("%s:\n%+v\n%+v", path, db, info)
			}
		}
	}
}

// A child that is brought down is a finding. One that hangs is ended, which
// tells nothing about the file.
func TestCrash(t *testing.T) {
	d := dirs(t, "3.7")
	var db DB
	err := inChildWith(t.Context(), []string{"DIAGNOSE_TEST_CRASH=1"}, taskDB, dbPath(d.Clean), &db)
	var end *crashed
	if !errors.As(err, &end) || !strings.Contains(err.Error(), "page 7 is a trap") {
		t.Errorf("got %v", err)
	}
	old := childTime
	childTime = 1
	t.Cleanup(func() { childTime = old })
	if rep, err := Look(t.Context(), Options{DataDir: d.Clean, UID: -1, GID: -1}); !unsaid(err) || !strings.Contains(err.Error(), "took longer") {
		t.Errorf("a reading without end: %v, %+v", err, rep)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Look(ctx, Options{DataDir: d.Clean}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// unsaid reports whether an error is one that says nothing about a file, and
// what to do.
func unsaid(err error) bool {
	var end *crashed
	return err != nil && !errors.As(err, &end) && engine.HintOf(err) != ""
}

// A reader that somebody killed, an operator or the kernel for want of memory,
// tells nothing about the file: there is nothing to be found, and no cure.
func TestKilledReaderIsNoFinding(t *testing.T) {
	dir := copyOf(t, dirs(t, "3.7").Clean)
	for _, beside := range []string{dbPath(dir), filepath.Join(dir, "member", "wal")} {
		hook := filepath.Join(filepath.Dir(beside), killedReader)
		must(t, os.WriteFile(hook, nil, 0o600))
		if rep, err := Look(t.Context(), Options{DataDir: dir, UID: -1, GID: -1}); !unsaid(err) {
			t.Errorf("%s: %v, %+v", beside, err, rep)
		}
		must(t, os.Remove(hook))
	}
	must(t, os.WriteFile(filepath.Join(filepath.Dir(dbPath(dir)), killedReader), nil, 0o600))
	if db, err := ReadDB(t.Context(), dbPath(dir)); !unsaid(err) {
		t.Errorf("read %+v, %v", db, err)
	}
}

// A child that can't be started tells nothing either. No process gets an
// argument with a zero byte.
func TestReaderThatCannotStartIsNoFinding(t *testing.T) {
	if db, err := ReadDB(t.Context(), "/a\x00b"); !unsaid(err) {
		t.Errorf("read %+v, %v", db, err)
	}
}
