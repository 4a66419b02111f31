package diagnose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every message of the catalogue is recognised, as etcd writes it.
func TestSayings(t *testing.T) {
	for line, class := range map[string]string{
		`panic: cannot use none as id`: "log_wal_truncated",
		`{"level":"warn","msg":"failed to publish local member to cluster through raft","error":"etcdserver: request timed out"}`:         "log_not_ready",
		`{"level":"info","msg":"repaired WAL","error":"unexpected EOF"}`:                                                                  "log_wal_repaired",
		`walpb: crc mismatch: expected: b8583c5f computed: 9713e59b: in file '0000000000000000-0000000000000000.wal' at position: 121448`: "log_wal_corrupt",
		`unexpected EOF: [wal] max entry size limit exceeded when reading "x.wal"`:                                                        "log_wal_record_too_large",
		`panic: both meta pages are invalid`:                                                               "log_db_meta_both",
		`panic: failed to open database /var/lib/etcd/member/snap/db: invalid database`:                    "log_db_meta_both",
		`panic: assertion failed: Page expected to be: 12, but self identifies as 0`:                       "log_db_page",
		`panic: freepages: failed to get all reachable pages (page 52: multiple references (stack: [52]))`: "log_db_page",
		`unexpected fault address 0x7f12b8d34000`:                                                          "log_db_truncated",
		`fatal error: fault`: "log_db_truncated",
		`{"level":"panic","msg":"failed to recover v3 backend from snapshot"}`:                                "log_db_missing",
		`failed to find database snapshot file (snap: snapshot file doesn't exist)`:                           "log_db_missing",
		`etcdserver: mvcc: database space exceeded`:                                                           "log_nospace",
		`write /var/lib/etcd/member/wal/0.tmp: no space left on device`:                                       "log_disk_full",
		`open /var/lib/etcd/member/snap/db: permission denied`:                                                "log_permission",
		`couldn't find local name "etcd-cp1" in the initial cluster configuration`:                            "log_name_mismatch",
		`panic: tocommit(17) is out of range [lastIndex(3)]. Was the raft log corrupted, truncated, or lost?`: "log_stale_member",
		`request cluster ID mismatch (got 1 want 2)`:                                                          "log_cluster_id",
		`version "3.7.0" is not supported`:                                                                    "log_version",
		`listen tcp 127.0.0.1:2380: bind: address already in use`:                                             "log_port_in_use",
		`Error: snapshot missing hash but --skip-hash-check=false`:                                            "log_snapshot_hash",
		`Error: expected sha256 [1 2 3], got [4 5 6]`:                                                         "log_snapshot_hash",
		`Error: data-dir "/var/lib/etcd" not empty or could not be read`:                                      "log_not_empty",
		`mvcc: required revision is a future revision`:                                                        "log_compactor",
	} {
		r := &Report{}
		r.judgeLines("log", []byte("an older line\n"+line+"\nthe last line\n"))
		if len(r.Findings) != 1 || r.Findings[0].Class != class || r.Findings[0].Record != "1 lines before its end" {
			t.Errorf("%s: %+v", line, r.Findings)
		}
	}
}

// Of a pattern the newest file counts, of a file its last lines.
func TestLogFiles(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"etcd-a.log": time.Hour, "etcd-b.log": time.Minute} {
		path := filepath.Join(dir, name)
		text := "panic: cannot use none as id\n" + strings.Repeat("nothing\n", 2*lastLines) + "both meta pages are invalid, says " + name + "\n"
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}
	r := &Report{Options: Options{Log: LogSource{Paths: []string{filepath.Join(dir, "etcd-*.log"), "/nowhere/*.log"}}}}
	r.judgeLogs(t.Context())
	if len(r.Findings) != 1 || r.Findings[0].Class != "log_db_meta_both" || filepath.Base(r.Findings[0].Path) != "etcd-b.log" {
		t.Errorf("%+v", r.Findings)
	}
}

// The kernel's list of locks tells who holds a file; who only waits for it
// doesn't.
func TestLockers(t *testing.T) {
	list := `1: FLOCK  ADVISORY  WRITE 4711 fd:01:99 0 EOF
1: -> FLOCK  ADVISORY  WRITE 4712 fd:01:99 0 EOF
2: OFDLCK ADVISORY  WRITE -1 fd:01:100 0 EOF
3: POSIX  ADVISORY  READ 4713 fd:01:101 128 128
`
	got := lockers([]byte(list), map[string]bool{"fd:01:99": true, "fd:01:100": true})
	if len(got) != 2 || !got[4711] || !got[0] {
		t.Errorf("%v", got)
	}
}

func TestDataDirOf(t *testing.T) {
	for line, want := range map[string]string{
		"etcd\x00--data-dir=/a\x00--name\x00x\x00": "/a",
		"etcd\x00-data-dir\x00/b\x00":              "/b",
		"etcd\x00":                                 "",
	} {
		if got := dataDir([]byte(line)); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}

func TestUsersAreNamedOnce(t *testing.T) {
	s := Surroundings{Users: []int{0}}
	s.users(map[int]bool{0: true, 12: true})
	if !slices.Equal(s.Users, []int{12}) {
		t.Errorf("%v", s.Users)
	}
}
