package etcd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// backupsData lists all backups there are.
type backupsData struct {
	Directories []string `cty:"directories"`
	Pattern     string   `cty:"pattern"`
	Interval    *int64   `cty:"interval_seconds"`
	Version     *string  `cty:"version"`
	Limit       int64    `cty:"limit"`
}

var _ engine.DataSource = (*backupsData)(nil)

func backupsDataSpec() engine.DataSpec {
	backup := object([]string{"path", "modified", "reason", "sha256", "version", "runs_on"},
		[]string{"size", "age_seconds", "revision", "keys"}, []string{"checked", "good", "structure"})
	gap := object([]string{"after", "before"}, []string{"seconds"}, nil)
	return engine.DataSpec{
		Name: "etcd_backups",
		Doc: "Lists every backup of etcd in one or more directories, the newest first, and checks each completely: its SHA-256, the structure of its database and every value in it. " +
			"It tells which of them is the newest good one, whether that is older than it should be, and where backups are missing.",
		Attributes: []engine.Attribute{
			{Name: "directories", Type: cty.List(cty.String), Doc: "The directories. One that doesn't exist has no backups. Default: those that etcd_installation finds."},
			{Name: "pattern", Type: cty.String, Default: cty.StringVal("*.db"), Check: checkPattern, Doc: "Which names are backups, with * and ?."},
			{Name: "interval_seconds", Type: cty.Number, Doc: "How often a backup should be made, in seconds. Without it nothing is called overdue or a gap."},
			{Name: "version", Type: cty.String, Doc: "The version of the etcd that is to run them, such as 3.6.4: what is too new for it is no good."},
			{Name: "limit", Type: cty.Number, Default: cty.NumberIntVal(100), Doc: "How many are checked at most, the newest first: each is read as a whole. The others are listed."},
		},
		Results: []engine.Attribute{
			{Name: "backups", Type: cty.List(backup), Doc: "The backups, the newest first: path, size in bytes, when it was last written (RFC 3339) and how many seconds ago; whether it was checked and is good, and the reason if it isn't; " +
				"its SHA-256 if it carries one that holds, whether its structure is whole, its revision and live keys, its storage version (empty before etcd 3.6), and which versions of etcd can run it."},
			{Name: "count", Type: cty.Number, Doc: "How many there are."},
			{Name: "good", Type: cty.Number, Doc: "How many of them are good."},
			{Name: "newest", Type: cty.String, Doc: "The newest good one's path; empty if there is none."},
			{Name: "newest_age_seconds", Type: cty.Number, Doc: "How many seconds ago it was written; -1 if there is none."},
			{Name: "newest_revision", Type: cty.Number, Doc: "Its revision; 0 if there is none."},
			{Name: "newest_keys", Type: cty.Number, Doc: "How many live keys it holds."},
			{Name: "newest_members", Type: cty.List(cty.String), Doc: "The members that the cluster had when it was taken, by name."},
			{Name: "overdue", Type: cty.Bool, Doc: "Whether the newest good one is older than the interval, or there is none."},
			{Name: "gaps", Type: cty.List(gap), Doc: "Where two good backups in a row are more than one and a half intervals apart: the later one, the earlier one, and how many seconds."},
		},
		Example: `data "etcd_backups" "all" {
  directories      = ["/var/backups/etcd", "/mnt/nfs/etcd"]
  interval_seconds = 3600
}`,
		New: func() engine.DataSource { return &backupsData{} },
	}
}

// foundBackup is one backup as a result has it.
type foundBackup struct {
	Path      string `json:"path"`
	Modified  string `json:"modified"`
	Age       int64  `json:"age_seconds"`
	Size      int64  `json:"size"`
	Checked   bool   `json:"checked"`
	Good      bool   `json:"good"`
	Reason    string `json:"reason"`
	SHA256    string `json:"sha256"`
	Structure bool   `json:"structure"`
	Revision  int64  `json:"revision"`
	Keys      int64  `json:"keys"`
	Version   string `json:"version"`
	RunsOn    string `json:"runs_on"`

	time    time.Time
	members []string
}

// Read implements engine.DataSource.
func (d *backupsData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	if d.Directories == nil {
		i, err := locate.Find(ctx, w)
		if err != nil {
			return nil, err
		}
		d.Directories = i.BackupDirs
	}
	found, err := d.list(ctx, w)
	if err != nil {
		return nil, err
	}
	for i := range found[:min(int64(len(found)), d.Limit)] {
		if err := found[i].check(ctx, deref(d.Version)); err != nil {
			return nil, err
		}
	}
	return d.result(found), nil
}

// list lists the files, the newest first.
func (d *backupsData) list(ctx context.Context, w engine.World) ([]foundBackup, error) {
	found := []foundBackup{}
	for _, dir := range d.Directories {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, engine.Errorf(dir, "listing the backups: %w", err).WithAttribute("directories")
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(d.Pattern, e.Name()); !ok || e.Name()[0] == '.' || strings.HasSuffix(e.Name(), ".part") {
				continue // checkPattern has refused patterns that Match can't read
			}
			fact, err := w.Stat(ctx, filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			if fact.Type == engine.TypeFile {
				found = append(found, foundBackup{Path: fact.Path, Size: fact.Size, time: fact.ModTime,
					Modified: fact.ModTime.UTC().Format(time.RFC3339), Age: int64(time.Since(fact.ModTime).Seconds())})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b foundBackup) int { return b.time.Compare(a.time) })
	return found, nil
}

// check reads the backup as a whole.
func (b *foundBackup) check(ctx context.Context, version string) error {
	b.Checked = true
	info, err := inspect.File(ctx, b.Path)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		b.Reason = damaged.Reason
		return nil
	}
	if err != nil {
		return err
	}
	b.Good, b.Structure, b.SHA256 = true, true, info.Hash
	b.members = memberNames(info)
	b.Revision, b.Keys, b.Version, b.RunsOn = info.Revision, info.Keys, info.StorageVersion, runsOn(info.StorageVersion)
	if version != "" && info.StorageVersion != "" && newer(info.StorageVersion, version) {
		b.Good, b.Reason = false, "its storage version is "+info.StorageVersion+", too new for etcd "+version
	}
	return nil
}

// runsOn says which versions of etcd can run a storage version.
func runsOn(storage string) string {
	if storage == "" {
		return "3.5 and newer"
	}
	parts := strings.SplitN(storage, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".") + " and newer"
}

func (d *backupsData) result(found []foundBackup) engine.Result {
	res := engine.Result{
		"backups": found, "count": len(found), "newest": "", "newest_age_seconds": int64(-1),
		"newest_revision": int64(0), "newest_keys": int64(0), "newest_members": []string{}, "overdue": d.Interval != nil,
	}
	type gap struct {
		After   string `json:"after"`
		Before  string `json:"before"`
		Seconds int64  `json:"seconds"`
	}
	gaps, good := []gap{}, 0
	var later foundBackup
	for _, b := range found {
		if !b.Good {
			continue
		}
		if good++; good == 1 {
			res["newest"], res["newest_age_seconds"], res["newest_revision"], res["newest_keys"] = b.Path, b.Age, b.Revision, b.Keys
			res["newest_members"] = b.members
			res["overdue"] = d.Interval != nil && b.Age > *d.Interval
		} else if apart := int64(later.time.Sub(b.time).Seconds()); d.Interval != nil && 2*apart > 3**d.Interval {
			gaps = append(gaps, gap{After: later.Path, Before: b.Path, Seconds: apart})
		}
		later = b
	}
	res["gaps"], res["good"] = gaps, good
	return res
}
