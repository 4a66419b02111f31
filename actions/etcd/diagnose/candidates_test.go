package diagnose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/test/etcddir"
)

// remnant is a host on which more is left than what is in place, and what is
// to become of it.
type remnant struct {
	// lay lays it out around the data directory, which is a copy of a real one.
	lay  func(t *testing.T, d etcddir.Dirs, dir string)
	cure string
	path string // relative to the data directory's parent
	loss string
	// other is another candidate, of which something has to be said.
	other, says string
}

func remnants() map[string]remnant {
	return map[string]remnant{
		"moved beside": {cure: Adopt, path: "etcd.old", loss: nothing, lay: func(t *testing.T, _ etcddir.Dirs, dir string) {
			must(t, os.Rename(dir, dir+".old"))
		}},
		"moved elsewhere, and a new one begun": {cure: Adopt, path: "elsewhere/disk/data", loss: "nothing of this history", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			moved := filepath.Join(filepath.Dir(dir), "elsewhere", "disk", "data")
			must(t, os.MkdirAll(filepath.Dir(moved), 0o700))
			must(t, os.Rename(dir, moved))
			begin(t, d, dir, 30)
		}, other: "etcd", says: "foreign_directory"},
		"moved elsewhere, and an empty one begun": {cure: Adopt, path: "etcd.old", loss: nothing, lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			begin(t, d, dir, 0)
		}},
		"member alone was moved": {cure: Adopt, path: "root/member", loss: nothing, lay: func(t *testing.T, _ etcddir.Dirs, dir string) {
			root := filepath.Join(filepath.Dir(dir), "root")
			must(t, os.MkdirAll(root, 0o700))
			must(t, os.WriteFile(filepath.Join(root, ".bashrc"), nil, 0o600))
			must(t, os.Rename(filepath.Join(dir, "member"), filepath.Join(root, "member")))
		}},
		"member renamed in place": {cure: Adopt, path: "etcd/member.bak", loss: nothing, lay: func(t *testing.T, _ etcddir.Dirs, dir string) {
			must(t, os.Rename(filepath.Join(dir, "member"), filepath.Join(dir, "member.bak")))
		}},
		"a stray file in place of the member": {cure: Adopt, path: "etcd.before-run1", loss: nothing, lay: func(t *testing.T, _ etcddir.Dirs, dir string) {
			must(t, os.Rename(dir, dir+".before-run1"))
			must(t, os.MkdirAll(dir, 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "member"), []byte("oops"), 0o600))
		}},
		"db overwritten, log gone, a whole directory kept": {cure: Salvage, path: "etcd.before-run1", loss: "what was written after", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			must(t, etcddir.Copy(d.Clean, dir+".before-run1"))
			destroy(t, dir)
		}, other: "etcd", says: "both meta pages are invalid"},
		"backups damaged, db destroyed, a whole directory undone": {cure: Salvage, path: "etcd.undone-run1", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			must(t, etcddir.Copy(d.Clean, dir+".undone-run1"))
			destroy(t, dir)
			backup := filepath.Join(filepath.Dir(dir), "backups", "backup-1.db")
			flip(t, backup, size(t, backup)/2)
		}, other: "backups/backup-1.db", says: "keys can still be read"},
		"a bigger one of an older cluster": {cure: Salvage, path: "etcd", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			begin(t, d, dir+".old", etcddir.Keys*2)
			must(t, os.RemoveAll(filepath.Join(dir, "member", "wal")))
		}, other: "etcd.old", says: "another history"},
		"an older one beside a database that can be salvaged": {cure: Salvage, path: "etcd", lay: func(t *testing.T, _ etcddir.Dirs, dir string) {
			older(t, dir, dir+".before-run1")
			must(t, os.RemoveAll(filepath.Join(dir, "member", "wal")))
		}},
		"an older one beside a newer backup": {cure: Restore, path: "backups/backup-2.db", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			older(t, dir, dir+".before-run1")
			whole, err := os.ReadFile(dbPath(d.Clean))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "backups", "backup-2.db"), whole, 0o600))
			destroy(t, dir)
		}},
		"a snapshot that lies about": {cure: Restore, path: "mine.db", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			whole, err := os.ReadFile(dbPath(d.Clean))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "mine.db"), whole, 0o600))
			destroy(t, dir)
		}},
		"undone, and outlived": {cure: Restore, path: "backups/backup-2.db", lay: func(t *testing.T, d etcddir.Dirs, dir string) {
			// What was restored and undone is at a higher revision, and older.
			older(t, dir, dir+".undone-run1")
			must(t, os.WriteFile(filepath.Join(dir+".undone-run1", "member", MarkerName), []byte(`{"revision": 100, "bump": 51}`), 0o600))
			whole, err := os.ReadFile(dbPath(d.Clean))
			must(t, err)
			path := filepath.Join(filepath.Dir(dir), "backups", "backup-2.db")
			must(t, os.WriteFile(path, whole, 0o600))
			must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
			destroy(t, dir)
		}},
	}
}

// destroy overwrites the database and removes the log.
func destroy(t *testing.T, dir string) {
	must(t, os.WriteFile(dbPath(dir), []byte(strings.Repeat("gone", 1<<14)), 0o600))
	must(t, os.RemoveAll(filepath.Join(dir, "member", "wal")))
}

// older makes a directory of the backup's database, without a log.
func older(t *testing.T, dir, to string) {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "backups", "backup-1.db"))
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(dbPath(to)), 0o700))
	must(t, os.WriteFile(dbPath(to), data[:len(data)-32], 0o600))
}

// begin has etcd begin a new cluster in a directory, as kubelet would, and
// writes n keys.
func begin(t *testing.T, d etcddir.Dirs, dir string, n int) {
	m, err := etcddir.StartAt(t.Context(), d.Version, dir, d.PeerURL)
	must(t, err)
	for i := range n {
		_, err := m.Client.Put(t.Context(), fmt.Sprintf("/registry/anew/%04d", i), "another value")
		must(t, err)
	}
	_, err = m.Client.Get(t.Context(), "", clientv3.WithCountOnly(), clientv3.WithPrefix())
	must(t, err)
	must(t, m.Stop())
}

func (r remnant) make(t *testing.T, d etcddir.Dirs) string {
	t.Helper()
	dir := copyOf(t, d.Clean)
	must(t, etcddir.Copy(d.Backups, filepath.Join(filepath.Dir(dir), "backups")))
	r.lay(t, d, dir)
	return dir
}

func TestCandidates(t *testing.T) {
	d := dirs(t, "3.7")
	for name, r := range remnants() {
		t.Run(name, func(t *testing.T) {
			dir := r.make(t, d)
			root := filepath.Dir(dir)
			o := optionsFor(d, dir, filepath.Join(root, "backups"))
			o.Roots = []string{root}
			before := traces(t, root)
			rep, err := Look(t.Context(), o)
			must(t, err)
			if after := traces(t, root); after != before {
				t.Errorf("looking changed something:\n%s", firstDifference(before, after))
			}
			r.compare(t, rep, root)
		})
	}
}

func (r remnant) compare(t *testing.T, rep *Report, root string) {
	t.Helper()
	first := Candidate{}
	if len(rep.Candidates) > 0 {
		first = rep.Candidates[0]
	}
	if rep.Recommended != r.cure || first.Cure != r.cure || !first.Good || first.Path != filepath.Join(root, r.path) || !strings.Contains(first.Loss, r.loss) {
		t.Errorf("recommends %q with %+v", rep.Recommended, first)
	}
	for _, rung := range rep.Ladder {
		if rung.Cure == r.cure && (!rung.Possible || rung.Path != first.Path) {
			t.Errorf("the ladder has %+v", rung)
		}
	}
	told := r.other == ""
	for _, c := range rep.Candidates[1:] {
		told = told || c.Path == filepath.Join(root, r.other) && strings.Contains(c.Why, r.says)
	}
	if !told {
		t.Errorf("nothing of %s says %q", r.other, r.says)
	}
	if t.Failed() {
		for _, f := range rep.Findings {
			t.Logf("finding %+v", f)
		}
		for _, rung := range rep.Ladder {
			t.Logf("rung %+v", rung)
		}
		for _, c := range rep.Candidates {
			t.Logf("candidate %+v", c)
		}
	}
}
