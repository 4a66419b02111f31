package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// lossData tells what restoring a backup would lose.
type lossData struct {
	DataDir  *string `cty:"data_dir"`
	WALDir   *string `cty:"wal_dir"`
	Snapshot *string `cty:"snapshot"`
	Prefix   string  `cty:"prefix"`
	Limit    int64   `cty:"limit"`
}

var _ engine.DataSource = (*lossData)(nil)

func lossDataSpec() engine.DataSpec {
	kind := object([]string{"resource"}, []string{"created", "changed", "deleted"}, nil)
	lost := object([]string{"change", "resource", "namespace", "name", "key"}, nil, nil)
	return engine.DataSpec{
		Name: "etcd_loss",
		Doc: "Tells what restoring a backup would lose against what a data directory still shows: its database, as far as it can be read, and what the write-ahead log adds to it. " +
			"Each change since the backup is counted, and told by the kind, namespace and name of the Kubernetes object. Nothing is changed, and etcd may be down.",
		Attributes: []engine.Attribute{
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory. Default: the one that etcd_installation finds."},
			{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The directory of the write-ahead log, if it isn't member/wal in the data directory."},
			{Name: "snapshot", Type: cty.String, Check: checkAbsolute, Doc: "The backup. Without one, everything would be lost; but where data_dir isn't set either, it is the newest that verifies, as etcd_snapshot finds it."},
			{Name: "prefix", Type: cty.String, Default: cty.StringVal(diagnose.DefaultPrefix), Doc: "Below which keys the API server keeps its objects."},
			{Name: "limit", Type: cty.Number, Default: cty.NumberIntVal(100), Doc: "How many changes are told one by one. The counts are of all."},
		},
		Results: []engine.Attribute{
			{Name: "summary", Type: cty.String, Doc: "The loss in a sentence."},
			{Name: "complete", Type: cty.Bool, Doc: "Whether this is all: both the database and the log are whole."},
			{Name: "hidden", Type: cty.List(cty.String), Doc: "What can't be seen, and so isn't counted."},
			{Name: "writes", Type: cty.Number, Doc: "How many writes would be lost: revisions, but for those that a restore has left out."},
			{Name: "revision", Type: cty.Number, Doc: "The newest revision that the directory shows."},
			{Name: "snapshot_revision", Type: cty.Number, Doc: "The newest revision in the backup; 0 without one."},
			{Name: "keys", Type: cty.Number, Doc: "How many live keys the directory shows."},
			{Name: "snapshot_keys", Type: cty.Number, Doc: "How many the backup holds."},
			{Name: "replayed", Type: cty.Number, Doc: "How many entries of the log were counted in."},
			{Name: "created", Type: cty.Number, Doc: "How many keys were created since the backup."},
			{Name: "changed", Type: cty.Number, Doc: "How many of the backup's keys were changed since."},
			{Name: "deleted", Type: cty.Number, Doc: "How many of the backup's keys were deleted since, and would be back."},
			{Name: "kinds", Type: cty.List(kind), Doc: "The same by resource, such as deployments.apps; that of keys which are no objects of Kubernetes is empty."},
			{Name: "lost", Type: cty.List(lost), Doc: "The first of these changes: created, changed or deleted; resource, namespace and name, which are empty for keys that are no objects; and the key."},
		},
		Example: `data "etcd_loss" "of_the_newest" {}

data "etcd_loss" "if_restored" {
  data_dir = "/var/lib/etcd"
  snapshot = "/var/backups/etcd/backup-1.db"
}`,
		New: func() engine.DataSource { return &lossData{} },
	}
}

// Read implements engine.DataSource.
func (d *lossData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	if err := d.settle(ctx, w); err != nil {
		return nil, err
	}
	o := diagnose.LossOptions{Prefix: d.Prefix, Limit: int(d.Limit), DB: filepath.Join(*d.DataDir, "member", "snap", "db"), WAL: deref(d.WALDir)}
	if o.WAL == "" {
		o.WAL = filepath.Join(*d.DataDir, "member", "wal")
	}
	for _, path := range []*string{&o.DB, &o.WAL} {
		now, err := w.Source(ctx, *path)
		if err == nil {
			*path = now
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if o.Snapshot = deref(d.Snapshot); o.Snapshot != "" {
		fact, err := w.Stat(ctx, o.Snapshot)
		if err != nil {
			return nil, err
		}
		if !fact.Exists {
			return nil, engine.Errorf(o.Snapshot, "there is no such file").WithHint("Name a backup; etcd_backups lists them.").WithAttribute("snapshot")
		}
	}
	l, err := diagnose.FindLoss(ctx, o)
	if err != nil {
		return nil, engine.Errorf(*d.DataDir, "comparing it with the backup: %w", err).WithAttribute("snapshot")
	}
	return engine.Result{
		"summary": lossSummary(l), "complete": l.Complete, "hidden": l.Hidden,
		"writes": l.Writes, "revision": l.Revision, "snapshot_revision": l.SnapshotRevision,
		"keys": l.Keys, "snapshot_keys": l.SnapshotKeys, "replayed": l.Replayed,
		"created": l.Created, "changed": l.Changed, "deleted": l.Deleted, "kinds": l.Kinds, "lost": l.Lost,
	}, nil
}

// settle finds the data directory and the backup where no directory is named.
func (d *lossData) settle(ctx context.Context, w engine.World) error {
	if d.DataDir != nil {
		return nil
	}
	i, err := locate.Find(ctx, w)
	if err != nil {
		return err
	}
	if i.DataDir == "" {
		_, err := starter(ctx, w, i, "data_dir=PATH")
		return err
	}
	d.DataDir = &i.DataDir
	if d.WALDir == nil && i.WALDir != "" {
		d.WALDir = &i.WALDir
	}
	if d.Snapshot != nil {
		return nil
	}
	files, _, err := (&snapshotData{Directories: i.BackupDirs, Pattern: "*.db"}).search(ctx, w)
	if err != nil {
		return err
	}
	if c, _, rejected, err := newestGood(ctx, files); err != nil {
		return err
	} else if len(rejected) < len(files) {
		d.Snapshot = &c.path
	}
	return nil
}

// lossSummary says it in a sentence.
func lossSummary(l diagnose.Loss) string {
	if l.Revision == 0 {
		return "The directory shows nothing, so what would be lost can't be told: everything since the backup."
	}
	s := fmt.Sprintf("%s, with %d keys created, %d changed and %d deleted since the backup", diagnose.CountWrites(l.Writes), l.Created, l.Changed, l.Deleted)
	var kinds []string
	for _, k := range l.Kinds {
		if k.Resource != "" && len(kinds) < 5 {
			kinds = append(kinds, fmt.Sprintf("%d of %s", k.Created+k.Changed+k.Deleted, k.Resource))
		}
	}
	if len(kinds) > 0 {
		s += " (" + strings.Join(kinds, ", ") + ")"
	}
	if !l.Complete {
		return s + ", at least: " + strings.Join(l.Hidden, "; ") + "."
	}
	return s + "."
}
