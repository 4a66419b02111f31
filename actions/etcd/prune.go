package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/retention"
	"runbook/engine"
	"runbook/engine/durable"
)

// prune deletes old snapshots.
type prune struct {
	Directory  string   `cty:"directory"`
	Pattern    string   `cty:"pattern"`
	Companions []string `cty:"companions"`
	Within     *string  `cty:"keep_within"`
	Last       int      `cty:"keep_last"`
	Hourly     int      `cty:"keep_hourly"`
	Daily      int      `cty:"keep_daily"`
	Weekly     int      `cty:"keep_weekly"`
}

var _ engine.Action = (*prune)(nil)

func pruneSpec() engine.Spec {
	count := func(name, doc string) engine.Attribute {
		return engine.Attribute{Name: name, Type: cty.Number, Default: cty.Zero, Check: checkCount, Doc: doc}
	}
	return engine.Spec{
		Name: "etcd_snapshot_prune",
		Doc: "Deletes old snapshots for good, to make room. It is the one action that deletes: the plan lists each file, and there is no undo. " +
			"A snapshot stays if any of the rules keeps it. Only snapshots that verify count, each checked as far as the rules need it, " +
			"and the newest of these stays in any case, however old it is. What is damaged, or isn't a snapshot, is named and left alone. " +
			"A file that a backup cut short has left (NAME.part) is deleted too once it is a day old.",
		Attributes: []engine.Attribute{
			{Name: "directory", Type: cty.String, Required: true, Check: checkAbsolute, Doc: "The directory that holds the snapshots. Directories in it aren't looked into."},
			{Name: "pattern", Type: cty.String, Default: cty.StringVal("*.db"), Check: checkPattern, Doc: "Which names in the directory are snapshots, with * and ?."},
			{Name: "companions", Type: cty.List(cty.String), Check: checkSuffixes,
				Doc: "Endings such as \".tar.gz\". A file with the snapshot's name and one of these in place of its last ending is deleted with it."},
			{Name: "keep_within", Type: cty.String, Check: checkAge, Doc: "Keeps all that are younger than this, such as \"168h\". Their age is that of their last modification when the run began."},
			count("keep_last", "Keeps so many of the newest."),
			count("keep_hourly", "Keeps the newest of each hour, for so many hours that have any. Hours, days and weeks are UTC's."),
			count("keep_daily", "Likewise by days."),
			count("keep_weekly", "Likewise by weeks, from Monday."),
		},
		Results: []engine.Attribute{
			{Name: "deleted", Type: cty.List(cty.String), Doc: "The files that were deleted."},
			{Name: "freed", Type: cty.Number, Doc: "How much room that made, in bytes."},
			{Name: "kept", Type: cty.List(cty.String), Doc: "The snapshots that stay, the newest first."},
			{Name: "damaged", Type: cty.List(cty.String), Doc: "The files that don't verify. They stay too."},
			{Name: "changed", Type: cty.List(cty.String), Doc: "The files that somebody has changed since the plan. They stay too."},
		},
		Example: `step "etcd_snapshot_prune" "make_room" {
  directory   = "/var/backups/etcd"
  pattern     = "backup-*.db"
  keep_within = "24h"
  keep_daily  = 7
  keep_weekly = 4
}`,
		New: func() engine.Action { return &prune{} },
	}
}

func checkAge(v cty.Value) error {
	if d, err := time.ParseDuration(v.AsString()); err != nil || d <= 0 {
		return fmt.Errorf("%q is not a time such as \"168h\" or \"90m\"", v.AsString())
	}
	return nil
}

func checkSuffixes(v cty.Value) error {
	for _, s := range v.AsValueSlice() {
		if s.IsNull() || len(s.AsString()) < 2 || s.AsString()[0] != '.' || strings.Contains(s.AsString(), "/") {
			return errors.New("an ending begins with a dot and has no slash, such as \".tar.gz\"")
		}
	}
	return nil
}

// pruned is what the Change of a prune records.
type pruned struct {
	Delete []sighting `json:"delete"`
	// Newest is the newest good snapshot. Without it nothing is deleted.
	Newest sighting `json:"newest"`
}

// Plan implements engine.Action.
func (a *prune) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	rules, err := a.rules()
	if err != nil {
		return engine.Change{}, err
	}
	files, partials, err := a.snapshots(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	reasons := map[int]string{}
	times := make([]time.Time, len(files))
	for i, f := range files {
		times[i] = f.ModTime
	}
	verdicts, err := rules.Decide(w.Run().Started, times, func(i int) (bool, error) {
		reasons[i], err = whyNot(ctx, w, files[i])
		return reasons[i] == "", err
	})
	if err != nil {
		return engine.Change{}, err
	}
	c, r, err := a.change(ctx, w, files, verdicts, reasons)
	if err != nil {
		return engine.Change{}, err
	}
	if r.Newest.Path != "" {
		for _, f := range partials {
			r.delete(&c, f, "part of a snapshot that was never finished")
		}
	}
	if !c.Empty() {
		c.Irreversible = "deleted snapshots can't be brought back."
		c.Checks = append([]string{r.Newest.Path + ", the newest that verifies, stays"}, c.Checks...)
	}
	return c, c.SetData(r)
}

func (a *prune) rules() (retention.Rules, error) {
	r := retention.Rules{Last: a.Last, Hourly: a.Hourly, Daily: a.Daily, Weekly: a.Weekly}
	if a.Within != nil {
		r.Within, _ = time.ParseDuration(*a.Within) // checkAge has refused what it can't read
	}
	if r.Empty() {
		return r, engine.Errorf("etcd_snapshot_prune", "no rule says what is to be kept").
			WithHint("Set keep_within, keep_last, keep_hourly, keep_daily or keep_weekly; several add up.").WithAttribute("keep_last")
	}
	return r, nil
}

// forgotten is how old a partial file is that no backup is writing any more.
const forgotten = 24 * time.Hour

// snapshots lists the directory's files that match, the newest first, and the
// partial ones that are left of such. One that an earlier step will have made
// is as old as the run.
func (a *prune) snapshots(ctx context.Context, w engine.World) (files, partials []engine.PathFact, err error) {
	dir := filepath.Clean(a.Directory)
	if err := refuseLinked(ctx, w, dir+"/.", "directory"); err != nil {
		return nil, nil, err
	}
	top, err := w.Stat(ctx, dir)
	if err == nil && !top.Exists {
		err = engine.Errorf(dir, "there is no such directory").
			WithHint("Name the directory that holds the snapshots.").WithAttribute("directory")
	}
	if err != nil {
		return nil, nil, err
	}
	err = w.Walk(ctx, dir, func(f engine.PathFact) error {
		name, part := strings.CutSuffix(filepath.Base(f.Path), partial)
		switch {
		case f.Path == dir:
		case f.Type == engine.TypeDirectory && f.Inode != 0:
			return fs.SkipDir
		case f.Type != engine.TypeFile || filepath.Dir(f.Path) != dir || !a.matches(name):
		case part:
			if w.Run().Started.Sub(f.ModTime) > forgotten {
				partials = append(partials, f)
			}
		default:
			if f.Inode == 0 {
				f.ModTime = w.Run().Started
			}
			files = append(files, f)
		}
		return nil
	})
	slices.SortStableFunc(files, func(a, b engine.PathFact) int { return b.ModTime.Compare(a.ModTime) })
	return files, partials, err
}

func (a *prune) matches(name string) bool {
	ok, _ := filepath.Match(a.Pattern, name) // checkPattern has refused what it can't read
	return ok && name[0] != '.'
}

// whyNot tells why a file doesn't verify as a snapshot; it is empty where it
// does, or where an earlier step will make it, who then sees to that.
func whyNot(ctx context.Context, w engine.World, f engine.PathFact) (string, error) {
	_, err := inspectSource(ctx, w, f.Path)
	var damaged *inspect.Damaged
	var unknown *engine.UnknownError
	switch {
	case errors.As(err, &damaged):
		return damaged.Reason, nil
	case errors.As(err, &unknown) && f.Inode == 0:
		return "", nil
	}
	return "", err
}

// change is what the verdicts come to.
func (a *prune) change(ctx context.Context, w engine.World, files []engine.PathFact, verdicts []retention.Verdict, reasons map[int]string) (engine.Change, pruned, error) {
	c, r := engine.Change{}, pruned{}
	kept, damaged := []string{}, []string{}
	stays := func(f engine.PathFact, reason string) {
		damaged = append(damaged, f.Path)
		c.Checks = append(c.Checks, fmt.Sprintf("%s stays, but doesn't verify: %s", f.Path, reason))
	}
	for i, f := range files {
		switch verdicts[i] {
		case retention.Keep:
			if kept = append(kept, f.Path); r.Newest.Path == "" {
				r.Newest = sightingOf(f)
			}
		case retention.Damaged:
			stays(f, reasons[i])
		case retention.Delete:
			if reason := looksDamaged(ctx, w, f); reason != "" {
				stays(f, reason)
				continue
			}
			if err := a.delete(ctx, w, f, &c, &r); err != nil {
				return c, r, err
			}
		}
	}
	c.Results = engine.Result{"kept": kept, "damaged": damaged}
	return c, r, nil
}

func looksDamaged(ctx context.Context, w engine.World, f engine.PathFact) string {
	now, err := w.Source(ctx, f.Path)
	if err == nil {
		err = inspect.LooksSound(now)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// delete adds a snapshot, and what goes with it, to what is deleted.
func (a *prune) delete(ctx context.Context, w engine.World, f engine.PathFact, c *engine.Change, r *pruned) error {
	r.delete(c, f, "snapshot of "+f.ModTime.UTC().Format("2006-01-02 15:04:05 UTC"))
	for _, ending := range a.Companions {
		with, err := w.Stat(ctx, strings.TrimSuffix(f.Path, filepath.Ext(f.Path))+ending)
		if err != nil {
			return err
		}
		if with.Type == engine.TypeFile && with.Path != f.Path {
			r.delete(c, with, "what was kept with "+filepath.Base(f.Path))
		}
	}
	return nil
}

// delete adds a file to what is deleted.
func (r *pruned) delete(c *engine.Change, f engine.PathFact, what string) {
	c.Items = append(c.Items, engine.Item{Target: f.Path, Before: what + ", " + humanize.IBytes(uint64(f.Size)), After: "deleted for good"})
	c.Effects = append(c.Effects, engine.Effect{Removed: &engine.Removed{Path: f.Path}})
	r.Delete = append(r.Delete, sightingOf(f))
}

// Apply implements engine.Action. Files that are gone were deleted by an
// earlier call; those that aren't what they were stay.
func (a *prune) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	var r pruned
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	deleted, changed, freed := []string{}, []string{}, int64(0)
	for _, s := range r.Delete {
		if err := r.mayDelete(ctx); err != nil {
			return nil, err
		}
		now, err := s.look()
		switch {
		case err != nil:
			return nil, err
		case now == other:
			changed = append(changed, s.Path)
			rep.Progress(engine.Progress{Doing: s.Path + " has changed and stays"})
			continue
		case now == same:
			rep.Progress(engine.Progress{Doing: "deleting " + s.Path})
			if err := durable.RemoveAll(s.Path); err != nil {
				return nil, err
			}
		}
		deleted, freed = append(deleted, s.Path), freed+s.Size
	}
	res := engine.Result{"deleted": deleted, "freed": freed, "changed": changed}
	for name, v := range c.Results {
		res[name] = v
	}
	return res, nil
}

// mayDelete refuses where the snapshot that is to stay isn't there any more.
func (r pruned) mayDelete(ctx context.Context) error {
	now, err := r.Newest.look()
	if err == nil && now != same {
		err = engine.Errorf(r.Newest.Path, "the newest snapshot that verified isn't there any more as it was, so nothing is deleted").
			WithHint("Look who has changed it, then plan again.")
	}
	return errors.Join(err, ctx.Err())
}

// Undo implements engine.Action. There is none.
func (a *prune) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

// sighting is a file as it was seen, by what tells it from any other that is
// put at its place.
type sighting struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // in nanoseconds since 1970
	Inode    uint64 `json:"inode"`
}

func sightingOf(f engine.PathFact) sighting {
	return sighting{Path: f.Path, Size: f.Size, Modified: f.ModTime.UnixNano(), Inode: f.Inode}
}

// what is at a sighting's path now
const (
	gone = iota
	same
	other
)

func (s sighting) look() (int, error) {
	info, err := os.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return gone, nil
	}
	if err != nil {
		return other, &engine.Error{Where: s.Path, Err: err}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && info.Mode().IsRegular() && info.Size() == s.Size && info.ModTime().UnixNano() == s.Modified && st.Ino == s.Inode {
		return same, nil
	}
	return other, nil
}
