package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// snapshotData finds the newest snapshot that verifies.
type snapshotData struct {
	Directory   *string  `cty:"directory"`
	Directories []string `cty:"directories"`
	Pattern     string   `cty:"pattern"`
	Path        *string  `cty:"path"`
}

var _ engine.DataSource = (*snapshotData)(nil)

var rejectedType = cty.List(cty.Object(map[string]cty.Type{"path": cty.String, "reason": cty.String}))

func snapshotDataSpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "etcd_snapshot",
		Doc: "Finds the newest snapshot of etcd that verifies. Each file is checked completely before it is chosen: " +
			"its SHA-256, the structure of its database and every value in it; files that fail are named with the reason.",
		Attributes: []engine.Attribute{
			{Name: "directory", Type: cty.String, Doc: "The directory that holds snapshots. At most one of this, directories and path is set; without any, those are searched that etcd_installation finds."},
			{Name: "directories", Type: cty.List(cty.String), Doc: "Directories that hold snapshots, in place of directory. One that doesn't exist has none."},
			{Name: "pattern", Type: cty.String, Default: cty.StringVal("*.db"), Check: checkPattern,
				Doc: "Which names in the directory are snapshots, with * and ?."},
			{Name: "path", Type: cty.String, Doc: "One snapshot, in place of directory."},
		},
		Results: append(snapshotResults(),
			engine.Attribute{Name: "modified", Type: cty.String, Doc: "When the file was last written, as RFC 3339."},
			engine.Attribute{Name: "age_seconds", Type: cty.Number, Doc: "How long ago that was, in seconds."},
			engine.Attribute{Name: "rejected", Type: rejectedType, Doc: "The newer files that didn't verify, with the reason."}),
		Example: `data "etcd_snapshot" "latest" {}

data "etcd_snapshot" "of_one_directory" {
  directory = "/var/backups/etcd"
  pattern   = "backup-*.db"
}`,
		New: func() engine.DataSource { return &snapshotData{} },
	}
}

// snapshotResults are what is told of a verified snapshot everywhere.
func snapshotResults() []engine.Attribute {
	return []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "The snapshot's path."},
		{Name: "size", Type: cty.Number, Doc: "Its size in bytes."},
		{Name: "revision", Type: cty.Number, Doc: "The newest revision in it."},
		{Name: "keys", Type: cty.Number, Doc: "How many live keys it holds."},
		{Name: "total_keys", Type: cty.Number, Doc: "How many revisions of keys it holds, deletions included."},
		{Name: "hash", Type: cty.String, Doc: "Its SHA-256 as etcd appended it, in hexadecimal; empty for a file copied from a data directory."},
		{Name: "content_hash", Type: cty.String, Doc: "The digest of its live keys: equal contents have equal digests."},
		{Name: "version", Type: cty.String, Doc: "etcd's storage version in it; empty before etcd 3.6."},
		{Name: "members", Type: cty.List(cty.String), Doc: "The members that the cluster had when it was taken, by name."},
		{Name: "alarms", Type: cty.List(cty.String), Doc: "The alarms that were raised when it was taken."},
		{Name: "warnings", Type: cty.List(cty.String), Doc: "Findings that don't keep it from being used."},
	}
}

func snapshotResult(info inspect.Info) engine.Result {
	return engine.Result{
		"path": info.Path, "size": info.Size, "revision": info.Revision,
		"keys": info.Keys, "total_keys": info.TotalKeys, "hash": info.Hash,
		"content_hash": info.ContentHash, "version": info.StorageVersion,
		"members": memberNames(info), "alarms": info.Alarms, "warnings": info.Warnings,
	}
}

// memberNames are those of the cluster that a database is of. One that was added and
// never started has no name yet, and is called by its ID.
func memberNames(info inspect.Info) []string {
	names := []string{}
	for _, m := range info.Members {
		names = append(names, cmp.Or(m.Name, m.ID))
	}
	return names
}

func checkPattern(v cty.Value) error {
	if _, err := filepath.Match(v.AsString(), ""); err != nil {
		return fmt.Errorf("%q is not a pattern: an opening bracket has no closing one", v.AsString())
	}
	if strings.Contains(v.AsString(), "/") {
		return errors.New("a pattern is for names in the directory and has no slash")
	}
	return nil
}

// candidate is a file that may be a snapshot.
type candidate struct {
	path     string
	modified time.Time
}

type rejection struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Read implements engine.DataSource.
func (d *snapshotData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	files, err := d.candidates(ctx, w)
	if err != nil {
		return nil, err
	}
	c, info, rejected, err := newestGood(ctx, files)
	if err != nil {
		return nil, err
	}
	if len(rejected) == len(files) {
		return nil, d.noneVerifies(rejected)
	}
	res := snapshotResult(info)
	res["modified"] = c.modified.UTC().Format(time.RFC3339)
	res["age_seconds"] = int64(time.Since(c.modified).Seconds())
	res["rejected"] = rejected
	return res, nil
}

// newestGood is the first of files that verifies, unless all of them are
// rejected.
func newestGood(ctx context.Context, files []candidate) (c candidate, info inspect.Info, rejected []rejection, err error) {
	rejected = []rejection{}
	for _, c := range files {
		info, err := inspect.Again(ctx, c.path)
		var damaged *inspect.Damaged
		if !errors.As(err, &damaged) {
			return c, info, rejected, err
		}
		rejected = append(rejected, rejection{Path: c.path, Reason: damaged.Reason})
	}
	return c, info, rejected, nil
}

// candidates lists the files to look at, the newest first.
func (d *snapshotData) candidates(ctx context.Context, w engine.World) ([]candidate, error) {
	if err := d.settle(ctx, w); err != nil {
		return nil, err
	}
	if d.Path != nil {
		return d.single(ctx, w)
	}
	files, reasons, err := d.search(ctx, w)
	if err == nil && len(files) == 0 {
		err = nothingIn(reasons)
	}
	return files, err
}

// search lists the files in the directories, the newest first, and why there are
// none where there aren't.
func (d *snapshotData) search(ctx context.Context, w engine.World) (files []candidate, reasons []*engine.Error, err error) {
	for _, dir := range d.Directories {
		found, none, err := d.inDirectory(ctx, w, dir)
		if err != nil {
			return nil, nil, err
		}
		files, reasons = append(files, found...), append(reasons, none)
	}
	slices.SortStableFunc(files, func(a, b candidate) int { return b.modified.Compare(a.modified) })
	return files, reasons, nil
}

// settle makes Directories what is searched, unless a path is set.
func (d *snapshotData) settle(ctx context.Context, w engine.World) error {
	set := 0
	for _, is := range []bool{d.Directory != nil, d.Directories != nil, d.Path != nil} {
		if is {
			set++
		}
	}
	switch {
	case set > 1:
		return engine.Errorf("etcd_snapshot", "at most one of directory, directories and path can be set; there are %d", set).
			WithHint("Set directory or directories to search for the newest snapshot, or path to name one.").WithAttribute("directory")
	case d.Directory != nil:
		d.Directories = []string{*d.Directory}
	case set == 0:
		i, err := locate.Find(ctx, w)
		if err != nil {
			return err
		}
		d.Directories = i.BackupDirs
	}
	return nil
}

func (d *snapshotData) single(ctx context.Context, w engine.World) ([]candidate, error) {
	fact, err := w.Stat(ctx, *d.Path)
	if err != nil {
		return nil, err
	}
	if !fact.Exists {
		return nil, engine.Errorf(*d.Path, "there is no such file").
			WithHint("Check the path, or copy the snapshot there.").WithAttribute("path")
	}
	return []candidate{{path: *d.Path, modified: fact.ModTime}}, nil
}

// inDirectory lists the files in a directory that match, or tells why there are
// none. Hidden files and files still being written (*.part) are passed over.
func (d *snapshotData) inDirectory(ctx context.Context, w engine.World, dir string) (files []candidate, none *engine.Error, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, engine.Errorf(dir, "there is no such directory").
			WithHint("Name the directory that holds the snapshots; if they are elsewhere, mount or copy them first.").WithAttribute("directory"), nil
	}
	if err != nil {
		return nil, nil, engine.Errorf(dir, "listing the snapshots: %w", err).WithAttribute("directory")
	}
	for _, e := range entries {
		name := e.Name()
		if ok, _ := filepath.Match(d.Pattern, name); !ok || name[0] == '.' || strings.HasSuffix(name, ".part") || e.IsDir() {
			continue // checkPattern has refused patterns that Match can't read
		}
		path := filepath.Join(dir, name)
		fact, err := w.Stat(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		files = append(files, candidate{path: path, modified: fact.ModTime})
	}
	if len(entries) == 0 {
		return nil, engine.Errorf(dir, "the directory is empty").
			WithHint("Copy a snapshot there, or name the directory that holds them.").WithAttribute("directory"), nil
	}
	return files, engine.Errorf(dir, "none of its %d files matches %q", len(entries), d.Pattern).
		WithHint("Set pattern to what the snapshots are called.").WithAttribute("pattern"), nil
}

// nothingIn is that none of the directories holds a snapshot, each for its
// reason.
func nothingIn(reasons []*engine.Error) error {
	if len(reasons) == 1 {
		return reasons[0]
	}
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = r.Error()
	}
	return engine.Errorf("etcd_snapshot", "no directory holds a snapshot: %s", strings.Join(texts, "; ")).
		WithHint("Name one that does with directory; if the snapshots are elsewhere, mount or copy them first.").WithAttribute("directories")
}

// noneVerifies names every file that was looked at and why it was refused.
func (d *snapshotData) noneVerifies(rejected []rejection) error {
	if d.Path != nil {
		return engine.Errorf(*d.Path, "the snapshot can't be used: %s", rejected[0].Reason).
			WithHint("Take another snapshot; if there is none, the data directory's member/snap/db may hold everything.").
			WithAttribute("path")
	}
	var b strings.Builder
	for _, r := range rejected {
		fmt.Fprintf(&b, "\n  %s: %s", r.Path, r.Reason)
	}
	return engine.Errorf(strings.Join(d.Directories, ", "), "no snapshot verifies:%s", b.String()).
		WithHint("Copy an older or another snapshot there; if there is none, the data directory's member/snap/db may hold everything.").
		WithAttribute("directory")
}
