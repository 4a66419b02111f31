package diagnose

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"runbook/actions/etcd/boltfile"
	"runbook/test/etcddir"
)

// row is a row of the catalogue of damage: what happened to a copy of a real
// directory, and what a look has to tell.
type row struct {
	killed  bool // of a member that was killed, its log ahead of its database
	damage  func(t *testing.T, dir string)
	options func(o *Options)
	class   string
	says    string // part of the sentence
	cure    string
	// only says of which versions the row is; empty: of all.
	only string
}

func TestCatalogue(t *testing.T) {
	for version := range etcddir.Versions {
		t.Run(version, func(t *testing.T) {
			d := dirs(t, version)
			for name, r := range catalogue() {
				if r.only != "" && !strings.Contains(r.only, version) {
					continue
				}
				t.Run(name, func(t *testing.T) { r.test(t, d) })
			}
		})
	}
}

func (r row) test(t *testing.T, d etcddir.Dirs) {
	from := d.Clean
	if r.killed {
		from = d.Killed
	}
	dir := copyOf(t, from)
	backups := filepath.Join(filepath.Dir(dir), "backups")
	must(t, etcddir.Copy(d.Backups, backups))
	r.damage(t, dir)
	o := optionsFor(d, dir, backups)
	if r.options != nil {
		r.options(&o)
	}
	before := traces(t, filepath.Dir(dir))
	rep, err := Look(t.Context(), o)
	must(t, err)
	if after := traces(t, filepath.Dir(dir)); after != before {
		t.Errorf("looking changed something:\n%s", firstDifference(before, after))
	}
	r.compare(t, rep)
}

func optionsFor(d etcddir.Dirs, dir, backups string) Options {
	return Options{DataDir: dir, UID: -1, GID: -1, Version: d.Version + ".1", Name: etcddir.Name, PeerURLs: []string{d.PeerURL}, Backups: []string{backups}}
}

func (r row) compare(t *testing.T, rep *Report) {
	t.Helper()
	i := slices.IndexFunc(rep.Findings, func(f Finding) bool { return f.Class == r.class && strings.Contains(f.Finding, r.says) })
	if r.class != "" && i < 0 {
		t.Errorf("no finding %q that says %q", r.class, r.says)
	}
	if r.class == "" && !rep.Healthy() {
		t.Error("not healthy")
	}
	if rep.Recommended != r.cure {
		t.Errorf("recommends %q, want %q", rep.Recommended, r.cure)
	}
	for _, f := range rep.Findings {
		if strings.Contains(f.Finding, "\n") || !strings.HasSuffix(f.Finding, ".") || f.Advice == "" && f.Severity != Note {
			t.Errorf("not a plain sentence, or without advice: %+v", f)
		}
	}
	if t.Failed() {
		t.Logf("findings: %+v", rep.Findings)
		t.Logf("ladder: %+v", rep.Ladder)
		t.Logf("wal: %+v fault %+v", rep.WAL, rep.WAL.Fault)
	}
}

// inWAL damages the newest file of the log, whose entries it is given.
func inWAL(f func(t *testing.T, path string, e []span)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := walPath(t, dir)
		f(t, path, entries(t, path))
	}
}

func catalogue() map[string]row {
	all := map[string]row{}
	for _, part := range []map[string]row{walRows(), dbRows(), directoryRows(), backupRows(), hostRows()} {
		for name, r := range part {
			all[name] = r
		}
	}
	return all
}

func walRows() map[string]row {
	return map[string]row{
		"nothing":        {damage: func(*testing.T, string) {}, cure: Restart},
		"nothing killed": {killed: true, damage: func(*testing.T, string) {}, cure: Restart},
		"WAL truncated to 0": {class: "wal_truncated", cure: Salvage,
			damage: inWAL(func(t *testing.T, path string, _ []span) { must(t, os.Truncate(path, 0)) })},
		"WAL files gone": {class: "wal_missing", cure: Salvage,
			damage: func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "member", "wal"))) }},
		"WAL cut in the middle": {class: "wal_cut", cure: Salvage, says: "the database holds entry",
			damage: inWAL(func(t *testing.T, path string, e []span) { must(t, os.Truncate(path, e[len(e)/2].from+30)) })},
		"WAL cut between records": {class: "wal_cut", cure: Salvage, says: "the log was cut",
			damage: inWAL(func(t *testing.T, path string, e []span) { must(t, os.Truncate(path, e[len(e)/2].from)) })},
		"WAL overwritten with zeros": {class: "wal_cut", cure: Salvage, says: "drop that in silence",
			damage: inWAL(func(t *testing.T, path string, e []span) { overwrite(t, path, e[len(e)/2].from, make([]byte, 8)) })},
		"WAL bit flip": {class: "wal_corrupt", cure: Salvage, says: "crc mismatch", killed: true,
			damage: inWAL(func(t *testing.T, path string, e []span) { flip(t, path, e[len(e)/2].to-40) })},
		"WAL bit flip at the end": {class: "wal_corrupt", cure: Salvage, killed: true,
			damage: inWAL(func(t *testing.T, path string, e []span) { flip(t, path, e[len(e)-1].to-20) })},
		"WAL torn tail": {class: "wal_torn", cure: Restart, says: "torn", killed: true,
			damage: func(t *testing.T, dir string) { tearTail(t, dir) }},
		"WAL torn tail that etcd refuses": {class: "wal_torn", cure: Repair, says: "zeros", killed: true,
			damage: inWAL(func(t *testing.T, path string, e []span) {
				last := e[len(e)-1]
				overwrite(t, path, last.to-12, make([]byte, size(t, path)-last.to+12))
			})},
		"WAL ends within a record": {class: "wal_torn", cure: Restart, killed: true,
			damage: inWAL(func(t *testing.T, path string, e []span) { must(t, os.Truncate(path, e[len(e)-1].from+30)) })},
		"WAL torn tail after a clean stop": {class: "wal_cut", cure: Salvage,
			damage: func(t *testing.T, dir string) { tearTail(t, dir) }},
		"a WAL file is missing between two": {class: "wal_missing", cure: Salvage, says: "A file of the log is gone",
			damage: inWAL(func(t *testing.T, path string, _ []span) {
				data, err := os.ReadFile(path)
				must(t, err)
				must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "0000000000000002-0000000000000400.wal"), data, 0o600))
			})},
		"WAL repaired before": {class: "wal_repaired", cure: Restart,
			damage: inWAL(func(t *testing.T, path string, _ []span) { must(t, os.WriteFile(path+".broken", nil, 0o600)) })},
		"WAL record too large": {class: "wal_record_too_large", cure: Salvage, says: "max entry size limit exceeded",
			damage: inWAL(func(t *testing.T, path string, e []span) {
				overwrite(t, path, e[len(e)/2].from, []byte{0, 0, 0, 0, 1})
			})},
	}
}

func dbRows() map[string]row {
	on := func(want func(boltfile.Page) bool, f func(t *testing.T, path string, at int64)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { f(t, dbPath(dir), findPage(t, dbPath(dir), want)) }
	}
	zero := func(t *testing.T, path string, at int64) { overwrite(t, path, at, make([]byte, os.Getpagesize())) }
	rows := map[string]row{
		"both meta pages": {class: "db_meta_both", cure: Restore, damage: func(t *testing.T, dir string) {
			flip(t, dbPath(dir), 30)
			flip(t, dbPath(dir), int64(os.Getpagesize())+30)
		}},
		"first meta page":  {class: "db_meta_one", cure: Restart, says: "first", damage: func(t *testing.T, dir string) { flip(t, dbPath(dir), 30) }},
		"second meta page": {class: "db_meta_one", cure: Restart, says: "second", damage: func(t *testing.T, dir string) { flip(t, dbPath(dir), int64(os.Getpagesize())+30) }},
		"leaf overwritten": {class: "db_page", cure: Restore, says: "It hides the revisions", damage: on(boltfile.Page.Leaf, zero)},
		"leaf scribbled on": {class: "db_page", cure: Restore, damage: on(boltfile.Page.Leaf, func(t *testing.T, path string, at int64) {
			overwrite(t, path, at+16+4, bytes.Repeat([]byte{0xff}, 64))
		})},
		"branch overwritten": {class: "db_page", cure: Restore, damage: on(boltfile.Page.Branch, zero)},
		"db is a directory": {class: "db_unreadable", cure: Restore, damage: func(t *testing.T, dir string) {
			must(t, os.Remove(dbPath(dir)))
			must(t, os.Mkdir(dbPath(dir), 0o700))
		}},
		"db truncated": {class: "db_truncated", cure: Restore, damage: func(t *testing.T, dir string) {
			must(t, os.Truncate(dbPath(dir), size(t, dbPath(dir))*2/3&^4095))
		}},
		"db replaced by something else": {class: "db_meta_both", cure: Restore, damage: func(t *testing.T, dir string) {
			must(t, os.WriteFile(dbPath(dir), bytes.Repeat([]byte("etcd"), 1<<14), 0o600))
		}},
		"db older than the WAL's snapshot": {class: "db_behind_wal", cure: Salvage, damage: olderDB},
		"db older than the WAL's snapshot, and a gap": {class: "db_behind_wal", cure: Restore, damage: func(t *testing.T, dir string) {
			olderDB(t, dir)
			forgetBeginning(t, dir)
		}},
		"value changed where it shows": {class: "db_value", cure: Restart, says: "can't be what was written", damage: changeValue("k8s\x00\n", "k8s\x00\xff")},
	}
	for name, remove := range map[string]func(*testing.T, string){
		"db_missing": func(t *testing.T, dir string) { must(t, os.Remove(dbPath(dir))) },
		"db_empty":   func(t *testing.T, dir string) { must(t, os.Truncate(dbPath(dir), 0)) },
	} {
		rows[name+" with the whole log"] = row{class: name, cure: Repair, damage: remove, only: "3.5 3.6"}
		rows[name] = row{class: name, cure: Restore, damage: remove, only: "3.7"}
		rows[name+" and the log's beginning"] = row{class: name, cure: Restore, damage: func(t *testing.T, dir string) {
			remove(t, dir)
			forgetBeginning(t, dir)
		}}
	}
	return rows
}

// olderDB puts the backup in the database's place.
func olderDB(t *testing.T, dir string) {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "backups", "backup-1.db"))
	must(t, err)
	must(t, os.WriteFile(dbPath(dir), data[:len(data)-32], 0o600))
}

// changeValue changes the first such bytes in a page that is in use.
func changeValue(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(dbPath(dir))
		must(t, err)
		leaf := findPage(t, dbPath(dir), boltfile.Page.Leaf)
		at := leaf + int64(bytes.Index(data[leaf:], []byte(from)))
		overwrite(t, dbPath(dir), at, []byte(to))
	}
}

func directoryRows() map[string]row {
	gone := func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "member"))) }
	return map[string]row{
		"newest snap damaged": {class: "snap_damaged", cure: Restart, damage: func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "member", "snap", "*.snap"))
			must(t, err)
			flip(t, files[len(files)-1], 2000)
		}},
		"snap set aside": {class: "snap_broken", cure: Restart, damage: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "member", "snap", "0000000000000002-0000000000000065.snap.broken"), nil, 0o600))
		}},
		"empty directory": {class: "empty_directory", cure: Restore, damage: gone},
		"no directory":    {class: "empty_directory", cure: Restore, damage: func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }},
		"a stray file": {class: "empty_directory", says: "cluster_id", cure: Restore, damage: func(t *testing.T, dir string) {
			gone(t, dir)
			must(t, os.MkdirAll(filepath.Join(dir, "member"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "member", "cluster_id"), []byte("1"), 0o600))
		}},
		"a file in place of the member": {class: "empty_directory", says: "there is a file", cure: Restore, damage: func(t *testing.T, dir string) {
			gone(t, dir)
			must(t, os.WriteFile(filepath.Join(dir, "member"), nil, 0o600))
		}},
		"nothing to restore": {class: "empty_directory", cure: "", damage: gone, options: func(o *Options) { o.Backups = nil }},
		"foreign cluster":    {class: "foreign_directory", cure: Restore, damage: func(*testing.T, string) {}, options: func(o *Options) { o.ClusterID = "0xabc" }},
		"too few keys":       {class: "foreign_directory", says: "are expected", cure: Restart, damage: func(*testing.T, string) {}, options: func(o *Options) { o.Keys = 5000 }},
		"name mismatch":      {class: "name_mismatch", cure: Restart, damage: func(*testing.T, string) {}, options: func(o *Options) { o.Name = "m2" }},
		"URL mismatch":       {class: "url_mismatch", cure: Restart, damage: func(*testing.T, string) {}, options: func(o *Options) { o.PeerURLs = []string{"https://10.0.0.1:2380"} }},
		"stale member":       {class: "stale_member", cure: Salvage, damage: changeMember},
	}
}

// changeMember gives the database's member another ID.
func changeMember(t *testing.T, dir string) {
	db, err := readDB(dbPath(dir))
	must(t, err)
	id := []byte(db.Members[0].ID)
	data, err := os.ReadFile(dbPath(dir))
	must(t, err)
	other := slices.Clone(id)
	if last := &other[len(other)-1]; *last == '0' { // it stays a number in hexadecimal
		*last = '1'
	} else {
		*last = '0'
	}
	must(t, os.WriteFile(dbPath(dir), bytes.ReplaceAll(data, id, other), 0o600))
}

func backupRows() map[string]row {
	backup := func(f func(t *testing.T, path string, data []byte)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "member")))
			path := filepath.Join(filepath.Dir(dir), "backups", "backup-1.db")
			data, err := os.ReadFile(path)
			must(t, err)
			f(t, path, data)
		}
	}
	return map[string]row{
		"backup copied from member/snap/db": {class: "backup_without_hash", cure: Restore, damage: backup(func(t *testing.T, path string, data []byte) {
			must(t, os.WriteFile(path, data[:len(data)-32], 0o600))
		})},
		"backup's sha256 mismatch": {class: "backup_hash", cure: "", damage: backup(func(t *testing.T, path string, data []byte) {
			flip(t, path, int64(len(data)/2))
		})},
		"newest backup damaged, an older one good": {class: "backup_damaged", cure: Restore, damage: backup(func(t *testing.T, path string, data []byte) {
			newer := filepath.Join(filepath.Dir(path), "backup-2.db")
			must(t, os.WriteFile(newer, data[:len(data)/2], 0o600))
			must(t, os.Chtimes(newer, time.Time{}, time.Now().Add(time.Hour)))
		})},
		"backup too new": {class: "backup_too_new", cure: "", only: "3.6 3.7", options: func(o *Options) { o.Version = "3.5.35" },
			damage: backup(func(*testing.T, string, []byte) {})},
	}
}

func hostRows() map[string]row {
	same := func(*testing.T, string) {}
	return map[string]row{
		"mount point":         {class: "mount_point", cure: Restart, damage: same, options: func(o *Options) { o.MountPoint = true }},
		"ownership":           {class: "ownership", cure: Repair, says: "belongs to user", damage: func(t *testing.T, dir string) { must(t, os.Chown(dbPath(dir), 4711, 4711)) }},
		"mode":                {class: "ownership", cure: Repair, damage: same, options: func(o *Options) { o.UID, o.GID = 4711, 4711 }},
		"version too new":     {class: "version_too_new", cure: Restart, says: "is to run it", only: "3.6 3.7", damage: same, options: func(o *Options) { o.Version = "3.5.35" }},
		"3.7 on 3.6":          {class: "version_too_new", cure: Restart, says: "is not supported", only: "3.7", damage: same, options: func(o *Options) { o.Version = "3.6.16" }},
		"second manifest":     {class: "second_manifest", cure: Restart, damage: same, options: func(o *Options) { o.SecondManifests = []string{"/etc/kubernetes/manifests/etcd.yaml.bak"} }},
		"configuration":       {class: "name_mismatch", cure: Restart, damage: same, options: func(o *Options) { o.ConfigError = "the member m1 is not in the initial cluster" }},
		"encryption lost":     {class: "encryption_config_lost", cure: Restart, says: "60 objects", damage: same, options: func(o *Options) { o.APIServer, o.EncryptionConfig = true, "/nowhere/enc.yaml" }},
		"encryption not set":  {class: "encryption_config_lost", cure: Restart, damage: same, options: func(o *Options) { o.APIServer = true }},
		"encrypted":           {class: "encrypted", cure: Restart, damage: same},
		"config not readable": {class: "config_unreadable", cure: Restart, damage: same, options: func(o *Options) { o.Unconfigured = "/etc/x: no such file" }},
	}
}
