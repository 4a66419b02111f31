package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// Plan implements engine.Action.
func (a *adopt) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	as := a.restore()
	r := &restored{Run: w.Run().ID, Step: w.Run().Step, Snapshot: as.Snapshot, Adopt: &adopted{}}
	if err := as.settle(r); err != nil {
		return engine.Change{}, err
	}
	if err := as.place(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if done, err := as.finished(ctx, w, r); err != nil || done != nil {
		return engine.Change{Results: done}, err
	}
	if err := a.find(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if r.dataNow != r.Adopt.Data.From {
		return r.adoptChange("") // half in place: it was looked at before it was moved
	}
	if err := a.fits(ctx, w, as, r); err != nil {
		return engine.Change{}, err
	}
	note, err := r.replaced(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	if err := a.settleCopy(ctx, w, as, r); err != nil {
		return engine.Change{}, err
	}
	return r.adoptChange(note)
}

func notAdoptable(path, format string, args ...any) *engine.Error {
	return engine.Errorf(path, "this directory can't take the place of the data: "+format, args...).WithAttribute("from")
}

// fits checks that etcd will start on the directory, as it is configured.
func (a *adopt) fits(ctx context.Context, w engine.World, as *restore, r *restored) error {
	member, err := w.Source(ctx, r.dataNow)
	if err != nil {
		return err
	}
	log, err := w.Source(ctx, r.logNow)
	if errors.Is(err, fs.ErrNotExist) {
		return notAdoptable(r.Snapshot, "its log is gone").WithHint("Salvage its database: etcd_salvage with from = %q.", r.Snapshot)
	}
	if err != nil {
		return err
	}
	d, err := diagnose.Directory(ctx, diagnose.Options{UID: -1, GID: -1, Name: r.Name, PeerURLs: r.PeerURLs}, member, log)
	if err != nil {
		return err
	}
	if f := d.Unfit(); f != nil {
		return notAdoptable(r.Snapshot, "%s", f.Finding).
			WithHint("Where its database is whole, etcd_salvage takes it with from = %q. runbook read etcd_diagnosis tells what else is left.", r.Snapshot)
	}
	if why := d.WAL.Follows(d.DB); why != "" {
		return notAdoptable(r.Snapshot, "%s", why).WithHint("Salvage its database: etcd_salvage with from = %q.", r.Snapshot)
	}
	r.Revision, r.Keys, r.Size = d.DB.Revision, d.DB.Contents.Keys, d.DB.Size
	r.ClusterID, r.MemberID = d.WAL.ClusterID, d.WAL.MemberID
	r.Adopt.Reach = diagnose.Tip{DB: d.DB, WAL: d.WAL}.Reach()
	return as.checkVersion(inspect.Info{StorageVersion: d.DB.StorageVersion})
}

// replaced tells of what is in place, and refuses where that got further: the
// revisions behind the directory's would be served again.
func (r *restored) replaced(ctx context.Context, w engine.World) (string, error) {
	if !r.Data.Existed {
		return "", nil
	}
	known, err := r.startedAt(ctx, w)
	if err != nil {
		return "", err
	}
	member, doubt, err := source(ctx, w, r.oldMember(), "what is in place")
	if err != nil || doubt != "" {
		return doubt, err
	}
	log, doubt, err := r.oldLogNow(ctx, w)
	if err != nil {
		return "", err
	}
	if doubt != "" {
		log = ""
	}
	tip, err := diagnose.ReadTip(ctx, member, log)
	if err != nil {
		return "", err
	}
	known = max(known, tip.Reach())
	switch {
	case known > r.Adopt.Reach:
		return "", notAdoptable(r.Snapshot, "it ends at revision %d, and what is in place has served up to revision %d: they would be served again, with other contents", r.Adopt.Reach, known).
			WithHint("etcd_salvage with from = %q takes the same data, and raises the revision.", r.Snapshot)
	case !tip.Readable():
		return "it can't be read, so nobody knows how far it got", nil
	}
	return fmt.Sprintf("it was at revision %d, and stays as it is", known), nil
}

// settleCopy finds out whether the directories can be moved, and whether there
// is room where they can't.
func (a *adopt) settleCopy(ctx context.Context, w engine.World, as *restore, r *restored) error {
	for _, m := range r.moves() {
		now := r.dataNow
		if m.swap == r.WAL {
			now = r.logNow
		}
		from, err := w.Source(ctx, now)
		if err != nil {
			return err
		}
		same, err := sameMount(from, filepath.Dir(m.swap.Target))
		if err != nil {
			return err
		}
		r.Adopt.Copy = r.Adopt.Copy || !same
	}
	if !r.Adopt.Copy {
		return nil
	}
	return as.checkSpace(ctx, w, r, inspect.Info{Size: r.Size})
}

// sameMount reports whether what is at two paths can be renamed to each other.
func sameMount(a, b string) (bool, error) {
	var st [2]unix.Statx_t
	for i, path := range []string{a, b} {
		if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st[i]); err != nil {
			return false, &engine.Error{Where: path, Err: err}
		}
	}
	device := st[0].Dev_major == st[1].Dev_major && st[0].Dev_minor == st[1].Dev_minor
	return device && st[0].Mnt_id == st[1].Mnt_id, nil
}

// adoptChange is the plan that the record describes.
func (r *restored) adoptChange(note string) (engine.Change, error) {
	s, from := r.Data, r.Adopt.Data.From
	c := engine.Change{Results: r.adoptResult(), UndoNote: s.undoNote(from)}
	before, goes := "absent", "moved to "+s.Target
	if r.Adopt.Copy {
		goes = "copied to " + s.Target
		c.UndoKept, c.UndoNote = []string{s.Undone}, s.undoNote(s.Undone)
	}
	switch {
	case r.dataNow != from:
		before = "half in place"
	case s.Existed:
		before = "existing data"
	}
	c.Items = []engine.Item{
		{Target: s.Target, Before: before, After: "the data of " + r.Snapshot, Note: fmt.Sprintf("%d keys at revision %d, %s", r.Keys, r.Adopt.Reach, humanize.IBytes(uint64(r.Size)))},
		{Target: from, Before: "a member's data", After: goes},
	}
	if s.Existed {
		c.Items = append(c.Items, engine.Item{Target: s.Kept, Before: "absent", After: "the data that was in " + s.Target, Note: note})
		c.Effects = append(c.Effects, engine.Effect{Moved: &engine.Moved{From: s.Target, To: s.Kept}})
		c.Kept = append(c.Kept, s.Kept)
	}
	if t := r.Adopt.Data; t.UID != r.UID || t.GID != r.GID {
		c.Items = append(c.Items, engine.Item{Target: s.Target, Attribute: "owner", Before: fmt.Sprintf("%d:%d", t.UID, t.GID), After: fmt.Sprintf("%d:%d", r.UID, r.GID)})
	}
	c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: r.fact(s.Target)}})
	r.changeWAL(&c)
	c.Effects = append(c.Effects, r.adoptEffects()...)
	c.Checks = []string{s.Target + " is not in use", from + " is not in use"}
	return c, c.SetData(r)
}

// adoptEffects say where the directories will be.
func (r *restored) adoptEffects() []engine.Effect {
	var all []engine.Effect
	for _, m := range r.moves() {
		to := filepath.Join(m.swap.Target, m.below)
		if r.Adopt.Copy {
			all = append(all, engine.Effect{Copied: &engine.Copied{From: m.from, To: to, Bytes: space(inspect.Info{Size: r.Size})}})
			continue
		}
		all = append(all, engine.Effect{Moved: &engine.Moved{From: m.from, To: to}}, engine.Effect{Owned: r.owned(m, to)})
	}
	return slices.Clip(all)
}

// owned is whose a directory will be. Its mode is set where it is what changes
// places.
func (r *restored) owned(m move, path string) *engine.Owned {
	owner, group := ownerNames(r.UID, r.GID)
	o := &engine.Owned{Path: path, UID: r.UID, GID: r.GID, Owner: owner, Group: group, Recursive: true}
	if m.below == "" {
		o.Mode = &r.Mode
	}
	return o
}
