package diagnose

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"runbook/actions/etcd/unseen"
)

// LogSource is where etcd's last words are.
type LogSource struct {
	Unit string // a systemd unit, whose journal is asked
	// Paths are files, or patterns of files; of each pattern the newest counts.
	Paths []string
}

// PodLogs are where the logs of a static pod's etcd are.
var PodLogs = []string{"/var/log/containers/etcd-*.log", "/var/log/pods/kube-system_etcd-*/etcd/*.log"}

// saying is something that etcd says when it is in trouble.
type saying struct {
	class   string
	pattern *regexp.Regexp
	meaning string
	advice  string
}

// sayings are compiled when they are first asked for: most commands read no log.
var sayings = sync.OnceValue(func() []saying {
	return []saying{
		{"log_wal_truncated", regexp.MustCompile(`cannot use none as id`), "the log was truncated", "Salvage the database."},
		{"log_not_ready", regexp.MustCompile(`failed to publish local member to cluster through raft`), "etcd waits for a cluster that it can't lead: the log is behind the database, or the others are away", "See whether the log is behind the database; else see that the other members run."},
		{"log_wal_repaired", regexp.MustCompile(`"repaired WAL"|msg":"repaired"|repaired .*\.wal`), "etcd cut the log's tail off", "Compare revision and keys with what should be there."},
		{"log_wal_corrupt", regexp.MustCompile(`walpb: crc mismatch.*|wal: crc mismatch.*`), "a record of the log is damaged", "Salvage the database."},
		{"log_wal_record_too_large", regexp.MustCompile(`max entry size limit exceeded`), "a record of the log is too large", "Replace the member, or salvage the database."},
		{"log_db_meta_both", regexp.MustCompile(`both meta pages are invalid|failed to open database.*invalid database`), "both meta pages of the database are damaged", "Restore a backup."},
		{"log_db_page", regexp.MustCompile(`assertion failed: Page expected to be: \d+, but self identifies as \d+|freepages: failed to get all reachable pages|page \d+: .*out of bounds`), "a page of the database is damaged", "Restore a backup."},
		{"log_db_truncated", regexp.MustCompile(`unexpected fault address|fatal error: fault`), "the database is shorter than it says", "Restore a backup."},
		{"log_db_missing", regexp.MustCompile(`failed to recover v3 backend from snapshot|failed to find database snapshot file|database file .* is missing|does not match with snapshot`), "the database is missing, or older than the log's snapshot", "Restore a backup, or put a database there that is whole and as old as the snapshot."},
		{"log_nospace", regexp.MustCompile(`mvcc: database space exceeded|alarm raised.*NOSPACE|NOSPACE`), "the database has reached its quota, or an alarm says so that nobody has taken back", "Compact and defragment, then disarm the alarm."},
		{"log_disk_full", regexp.MustCompile(`no space left on device|disk quota exceeded`), "the disk is full", "Make room."},
		{"log_permission", regexp.MustCompile(`(open|mkdir|stat|access) \S+: permission denied|cannot write to member directory`), "etcd may not read or write its files", "Put owner, mode and SELinux label back."},
		{"log_name_mismatch", regexp.MustCompile(`couldn't find local name "[^"]*" in the initial cluster configuration`), "the name isn't in the initial cluster", "Make --name and --initial-cluster agree."},
		{"log_url_mismatch", regexp.MustCompile(`--initial-cluster .*but missing from --initial-advertise-peer-urls|--initial-advertise-peer-urls .*but missing from --initial-cluster|member .* has already been bootstrapped`), "the peer URLs don't agree with the cluster's", "Make --initial-advertise-peer-urls and --initial-cluster agree."},
		{"log_stale_member", regexp.MustCompile(`tocommit\(\d+\) is out of range \[lastIndex\(\d+\)\]|the member has been permanently removed from the cluster`), "the member has lost entries that it had acknowledged, or was removed", "Remove it, wipe it, and add it as a learner."},
		{"log_cluster_id", regexp.MustCompile(`cluster ID mismatch|request cluster ID mismatch`), "another member is of another cluster", "Find the member that wasn't restored with the others, and wipe it."},
		{"log_version", regexp.MustCompile(`version "?\d+\.\d+\.\d+"? is not supported|invalid downgrade|cannot downgrade`), "the data is of a newer etcd", "Run the etcd version that wrote it."},
		{"log_port_in_use", regexp.MustCompile(`bind: address already in use`), "another etcd is still running", "Wait until it has ended."},
		{"log_lock", regexp.MustCompile(`waiting for database lock|db file is flocked by another process|locked by another process|timed out waiting for.*lock`), "another etcd holds the database", "Wait until it has ended."},
		{"log_snapshot_hash", regexp.MustCompile(`snapshot missing hash but --skip-hash-check=false|expected sha256 \[`), "a snapshot without its hash, or not with that one, was to be restored", "Check the snapshot before it is restored."},
		{"log_not_empty", regexp.MustCompile(`data-dir .* not empty`), "a restore found its target not empty", "Restore beside it and swap the two."},
		{"log_compactor", regexp.MustCompile(`required revision has been compacted|required revision is a future revision`), "a client asks for a revision that this etcd doesn't have: its store was set back", "Restart the API servers and what watches."},
	}
})

// lastLines is how many lines of a log count, and logBytes how much of a file
// is read for them.
const (
	lastLines = 200
	logBytes  = 512 << 10
	logWithin = 5 * time.Second
)

// judgeLogs matches etcd's last words. A saying counts once, where it was said
// last.
func (r *Report) judgeLogs(ctx context.Context) {
	if r.Options.Log.Unit != "" {
		r.judgeLines("journal of "+r.Options.Log.Unit, journal(ctx, r.Options.Log.Unit))
	}
	read := map[string]bool{} // two patterns may find one file, by a link
	for _, pattern := range r.Options.Log.Paths {
		path := newest(pattern)
		real, err := filepath.EvalSymlinks(path)
		if path != "" && err == nil && !read[real] {
			read[real] = true
			r.judgeLines(path, tail(path))
		}
	}
}

func (r *Report) judgeLines(where string, text []byte) {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	lines = lines[max(0, len(lines)-lastLines):]
	said := map[string]bool{}
	for i, line := range slices.Backward(lines) {
		for _, s := range sayings() {
			if said[s.class] || !s.pattern.Match(line) {
				continue
			}
			said[s.class] = true
			found := s.pattern.Find([]byte(Words(string(line))))
			if found == nil {
				found = s.pattern.Find(line)
			}
			text := excerpt(found)
			r.add(Finding{Class: s.class, Severity: Note, Path: where, Offset: -1, Record: fmt.Sprintf("%d lines before its end", len(lines)-1-i), Advice: s.advice,
				Finding: fmt.Sprintf("etcd said %q: %s.", text, s.meaning), Said: text})
		}
	}
}

func excerpt(b []byte) string {
	text := printable(b)
	text, _, _ = strings.Cut(text, `"`+`,"`)
	return text
}

// journal asks for a unit's last lines.
func journal(ctx context.Context, unit string) []byte {
	ctx, cancel := context.WithTimeout(ctx, logWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "journalctl", "-u", unit, "-o", "cat", "-n", fmt.Sprint(lastLines), "--no-pager", "-q")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, _ := cmd.Output() // without a journal there is nothing to match
	return out
}

// newest is the newest file that a pattern matches.
func newest(pattern string) string {
	best, at := "", time.Time{}
	for _, p := range unseen.Glob(pattern) {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.ModTime().After(at) {
			best, at = p, st.ModTime()
		}
	}
	return best
}

// tail is the end of a file.
func tail(path string) []byte {
	f, err := unseen.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close() // only read from
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	at := max(0, st.Size()-logBytes)
	text, _ := io.ReadAll(io.NewSectionReader(f, at, logBytes)) // what there is counts
	return text
}
