package etcd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/causes"
	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// diagnosisData finds out what is wrong with a data directory.
type diagnosisData struct {
	DataDir   *string  `cty:"data_dir"`
	WALDir    *string  `cty:"wal_dir"`
	Unit      *string  `cty:"unit"`
	Config    *string  `cty:"config"`
	Manifest  *string  `cty:"manifest"`
	Version   *string  `cty:"version"`
	Backups   []string `cty:"backups"`
	Logs      []string `cty:"logs"`
	Journal   *string  `cty:"journal"`
	ClusterID *string  `cty:"cluster_id"`
	Keys      *int64   `cty:"keys"`
	Search    []string `cty:"search"`
}

var _ engine.DataSource = (*diagnosisData)(nil)

func diagnosisDataSpec() engine.DataSpec {
	texts := cty.List(cty.String)
	return engine.DataSpec{
		Name: "etcd_diagnosis",
		Doc: "Finds out what is wrong with an etcd data directory, and which cure loses least. " +
			"etcd may be down or running. Nothing is changed, not even the time of the last access, and no lock is taken; every file is read in a process of its own, " +
			"so that nothing that stands in it can do harm. A value that has changed inside of a whole database shows only where it can't be decoded any more: " +
			"that nothing is found doesn't prove that every value is what was written.",
		Attributes: []engine.Attribute{
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory. Default: that of what starts etcd, which is found as etcd_installation tells."},
			{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The directory of the write-ahead log. Default: what starts etcd says, else member/wal."},
			{Name: "unit", Type: cty.String, Doc: "The systemd unit that starts etcd. It tells name, URLs, owner and files to expect, and where the log is. Default: what is found, if it is of this data directory."},
			{Name: "config", Type: cty.String, Doc: "etcd's own configuration file, in place of unit."},
			{Name: "manifest", Type: cty.String, Doc: "The manifest of etcd's static pod, in place of unit. Default: what is found, if it is of this data directory."},
			{Name: "version", Type: cty.String, Doc: "etcd's version that is to run on the directory, such as 3.6.4. Default: what the manifest's image says, else the database."},
			{Name: "backups", Type: texts, Doc: "Directories with snapshots. The newest file *.db that verifies is what a restore would take. Default: where nothing else is named, those that etcd_installation finds."},
			{Name: "logs", Type: texts, Doc: "Files with etcd's log; patterns with * and ? are for their newest match. Default: the static pod's, where a manifest starts etcd."},
			{Name: "journal", Type: cty.String, Doc: "The unit whose journal is etcd's log. Default: the unit that starts etcd."},
			{Name: "cluster_id", Type: cty.String, Doc: "The cluster's ID in hexadecimal, where you know it: another one is a finding."},
			{Name: "keys", Type: cty.Number, Doc: "How many keys there should be at least: fewer are a finding."},
			{Name: "search", Type: texts, Default: cty.ListVal([]cty.Value{cty.StringVal("/")}), Doc: "Where data that was moved is looked for, if what is in place isn't whole or was begun lately: in these directories, five levels deep, on local file systems alone, and for 0.3 seconds at most. What is beside the data directory is always looked at."},
		},
		Results: inBrief(diagnosisResults()),
		Example: `data "etcd_diagnosis" "now" {}

data "etcd_diagnosis" "of_a_copy" {
  data_dir = "/mnt/copy/etcd"
  backups  = ["/var/backups/etcd"]
}`,
		New: func() engine.DataSource { return &diagnosisData{} },
	}
}

// object is a type with a text for each of texts, and a number for each of
// numbers.
func object(texts, numbers, bools []string) cty.Type {
	types := map[string]cty.Type{}
	for _, n := range texts {
		types[n] = cty.String
	}
	for _, n := range numbers {
		types[n] = cty.Number
	}
	for _, n := range bools {
		types[n] = cty.Bool
	}
	return cty.Object(types)
}

func diagnosisResults() []engine.Attribute {
	texts := cty.List(cty.String)
	finding := object([]string{"class", "severity", "finding", "path", "record", "advice", "needs", "remedy", "command", "source", "from", "to"}, []string{"offset"}, nil)
	rung := object([]string{"cure", "why", "loss", "path"}, nil, []string{"possible"})
	candidate := object([]string{"path", "kind", "cure", "modified", "loss", "why"}, []string{"revision", "keys"}, []string{"whole", "good"})
	place := object([]string{"bucket", "reason", "from", "to"}, []string{"page", "offset"}, nil)
	member := cty.Object(map[string]cty.Type{"id": cty.String, "name": cty.String, "peer_urls": texts, "client_urls": texts, "learner": cty.Bool})
	backup := object([]string{"path", "modified", "reason", "version"}, []string{"revision", "keys"}, []string{"good", "hash"})
	return []engine.Attribute{
		{Name: "recommended", Type: cty.String, Doc: "The cure of the data that loses least of those that are possible, once the causes are mended: restart, repair, adopt, salvage or restore; empty where none is needed or possible."},
		{Name: "advice", Type: cty.String, Doc: "What to do now, as a sentence."},
		{Name: "healthy", Type: cty.Bool, Doc: "Whether nothing was found that is broken, lost or wrong, and the API server of this host, where it has one, says that it is ready."},
		{Name: "served", Type: cty.Bool, Doc: "Whether that API server says that it is ready; null where this host has none."},
		{Name: "running", Type: cty.Bool, Doc: "Whether a process uses the directory."},
		{Name: "findings", Type: cty.List(finding), Doc: "What was found, what is nearest to the cause first: a class, its severity (damage, mistake or note), a sentence, the file with the byte's offset and the record where there is one, what to do, and the cure that it needs at least (empty: none). " +
			"needs is mend where something around etcd has to be put right before any cure of its data: remedy then says what a runbook does about it (start_kubelet, start_runtime, start_unit and stop_unit, whose unit is path; put_back, whose file is path, from the archive or file source; renew_certificate; set_aside_manifest; rename_flag, from and to; empty where a person has to), and command what a person types."},
		{Name: "causes", Type: cty.List(finding), Doc: "The findings that need mend, nearest to the cause first."},
		{Name: "classes", Type: texts, Doc: "The classes of the findings, each once."},
		{Name: "ladder", Type: cty.List(rung), Doc: "The cures in order of what they lose: whether each is possible, why, what would be lost, and the directory or file that it makes use of. One that would lose more than a later one isn't possible."},
		{Name: "candidates", Type: cty.List(candidate), Doc: "What is left on the host from which etcd could be brought back, least loss first: what is in place, directories that were moved, copied or kept, databases that are found elsewhere, and the backups that were checked. kind is data_dir, database or snapshot; cure is the one that makes use of it (empty: none); whole says that all of it was read and is sound; good that the cure is possible with it. keys are those that can be read, null where they weren't counted."},
		{Name: "search_cut", Type: cty.String, Doc: "Where the search for data elsewhere ended before it was through; empty if it didn't."},
		{Name: "data_dir", Type: cty.String, Doc: "The data directory."},
		{Name: "wal_dir", Type: cty.String, Doc: "The directory of the write-ahead log."},
		{Name: "version", Type: cty.String, Doc: "etcd's version by which all this was judged; empty if it isn't known."},
		{Name: "storage_version", Type: cty.String, Doc: "The storage version in the database; empty before etcd 3.6."},
		{Name: "cluster_id", Type: cty.String, Doc: "The cluster's ID in hexadecimal, as the log has it."},
		{Name: "member_id", Type: cty.String, Doc: "The member's ID in hexadecimal, as the log has it."},
		{Name: "members", Type: cty.List(member), Doc: "The members that the database knows."},
		{Name: "alarms", Type: cty.List(object([]string{"member", "alarm"}, nil, nil)), Doc: "The alarms that are raised, and by which member."},
		{Name: "db_size", Type: cty.Number, Doc: "The database's size in bytes."},
		{Name: "db_whole", Type: cty.Bool, Doc: "Whether the database is there and its structure is whole."},
		{Name: "revision", Type: cty.Number, Doc: "The newest revision that can be read in the database."},
		{Name: "compact_revision", Type: cty.Number, Doc: "The revision up to which its history is gone."},
		{Name: "consistent_index", Type: cty.Number, Doc: "The log's entry up to which the database has everything."},
		{Name: "keys", Type: cty.Number, Doc: "How many live keys can be read."},
		{Name: "objects", Type: cty.List(object([]string{"kind"}, []string{"count"}, nil)), Doc: "How many Kubernetes objects of each kind can be read."},
		{Name: "encrypted", Type: cty.Number, Doc: "How many of them are encrypted."},
		{Name: "damaged", Type: cty.Number, Doc: "How many places in the database can't be read."},
		{Name: "unreadable", Type: cty.List(place), Doc: "The first of those places: bucket, page, the byte's offset, why, and what is behind it: revisions in the bucket key, keys in others, from the first to the last, which isn't included; empty for no bound."},
		{Name: "wal_entries", Type: cty.Number, Doc: "How many entries of the log can be read before its first damage."},
		{Name: "wal_first_index", Type: cty.Number, Doc: "The first of them."},
		{Name: "wal_last_index", Type: cty.Number, Doc: "The last of them."},
		{Name: "wal_commit", Type: cty.Number, Doc: "The last entry that the log knows as committed."},
		{Name: "wal_snapshot_index", Type: cty.Number, Doc: "The log's newest snapshot: where etcd begins to read."},
		{Name: "wal_seen_index", Type: cty.Number, Doc: "The last entry that was seen at all, behind a damage too."},
		{Name: "free_bytes", Type: cty.Number, Doc: "The space that is left, in bytes."},
		{Name: "free_inodes", Type: cty.Number, Doc: "How many files can still be made; -1 where there is no limit."},
		{Name: "mount_point", Type: cty.Bool, Doc: "Whether something is mounted at the data directory itself."},
		{Name: "users", Type: cty.List(cty.Number), Doc: "The processes that hold etcd's locks on the directory; 0 is one whose number can't be told."},
		{Name: "processes", Type: cty.List(object([]string{"name", "data_dir"}, []string{"pid"}, nil)), Doc: "The etcds and API servers that run on this host."},
		{Name: "backups", Type: cty.List(backup), Doc: "The backups that were checked, the newest first, up to the first that is good."},
	}
}

// Read implements engine.DataSource.
func (d *diagnosisData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	o, err := d.options(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := mayLook(o.DataDir); err != nil {
		return nil, err
	}
	var around causes.Report
	var looks sync.WaitGroup
	read := make(chan struct{})
	looks.Go(func() { around = lookAround(ctx, o, read) })
	r, err := diagnose.Look(ctx, o)
	close(read)
	looks.Wait()
	if err != nil {
		return nil, err
	}
	r.Join(around.Findings, around.Served)
	return diagnosisResult(r), nil
}

// lookAround looks at what is around an etcd of this host, while the data is being
// read. A directory that nothing starts an etcd on has nothing around it.
func lookAround(ctx context.Context, o diagnose.Options, read <-chan struct{}) causes.Report {
	if o.Manifest == "" && o.Unit == "" && o.Config == "" {
		return causes.Report{}
	}
	return causes.Look(ctx, causes.Options{
		Manifest: o.Manifest, Unit: o.Unit, Config: o.Config, DataDir: o.DataDir, WALDir: o.WALDir, Version: o.Version,
		Archives: archivesIn(o.Backups), Meanwhile: read,
	})
}

// archivesIn are the archives beside backups, the newest first.
func archivesIn(dirs []string) []string {
	var paths []string
	changed := map[string]time.Time{}
	for _, dir := range dirs {
		for _, path := range unseen.Glob(filepath.Join(dir, "*.tar.gz")) {
			info, err := os.Stat(path)
			if err == nil && info.Mode().IsRegular() {
				paths, changed[path] = append(paths, path), info.ModTime()
			}
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return changed[b].Compare(changed[a]) })
	return paths
}

// mayLook fails where this user may not look: what is closed to the one who
// looks isn't damaged.
func mayLook(dataDir string) error {
	for _, dir := range []string{dataDir, filepath.Join(dataDir, "member"), filepath.Join(dataDir, "member", "snap")} {
		if _, err := unseen.ReadDir(dir); errors.Is(err, fs.ErrPermission) {
			return engine.Errorf(dir, "this user may not look into it").
				WithHint("Look as root, or as the user that etcd runs as.").WithAttribute("data_dir")
		}
	}
	return nil
}

func diagnosisResult(r *diagnose.Report) engine.Result {
	classes := []string{}
	seen := map[string]bool{}
	for _, f := range r.Findings {
		if !seen[f.Class] {
			seen[f.Class] = true
			classes = append(classes, f.Class)
		}
	}
	d, l := r.DB, r.WAL
	return engine.Result{
		"recommended": r.Recommended, "advice": r.Advice, "healthy": r.Healthy(), "running": r.Running(),
		"findings": toldFindings(r.Findings), "causes": toldFindings(r.Causes()), "served": r.Served, "classes": classes, "ladder": r.Ladder,
		"candidates": r.Candidates, "search_cut": r.Cut,
		"data_dir": r.Options.DataDir, "wal_dir": l.Dir, "version": r.Version, "storage_version": d.StorageVersion,
		"cluster_id": l.ClusterID, "member_id": l.MemberID, "members": orEmpty(d.Members), "alarms": orEmpty(d.Alarms),
		"db_size": d.Size, "db_whole": d.Whole(), "revision": d.Revision, "compact_revision": d.CompactRevision,
		"consistent_index": d.ConsistentIndex, "keys": d.Contents.Keys, "objects": orEmpty(d.Contents.Objects), "encrypted": d.Contents.Encrypted,
		"damaged": d.Damaged, "unreadable": orEmpty(d.Damage),
		"wal_entries": l.Entries, "wal_first_index": l.FirstIndex, "wal_last_index": l.LastIndex, "wal_commit": l.Commit,
		"wal_snapshot_index": l.Snapshot(), "wal_seen_index": l.SeenIndex,
		"free_bytes": r.Around.FreeBytes, "free_inodes": r.Around.FreeInodes, "mount_point": r.Options.MountPoint,
		"users": orEmpty(r.Around.Users), "processes": orEmpty(r.Around.Processes), "backups": r.Backups,
	}
}

// toldFinding is a finding as a result has it: without an offset where there
// is none.
type toldFinding struct {
	diagnose.Finding
	Offset *int64 `json:"offset"`
}

func toldFindings(findings []diagnose.Finding) []toldFinding {
	told := make([]toldFinding, len(findings))
	for i, f := range findings {
		if told[i].Finding = f; f.Offset >= 0 {
			told[i].Offset = &f.Offset
		}
	}
	return told
}

// orEmpty is a list that is never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
