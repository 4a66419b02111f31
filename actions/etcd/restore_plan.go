package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/dustin/go-humanize"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// markerName is the restore's record inside the new directory "member". etcd
// looks only at the names that it knows there.
const markerName = diagnose.MarkerName

// walSpace is what etcd preallocates for its log: a segment of 64 MiB and the
// one that follows it.
const walSpace = 2 * 64 << 20

// Plan implements engine.Action.
func (a *restore) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	r := &restored{Run: w.Run().ID, Step: w.Run().Step, Snapshot: a.Snapshot}
	if err := a.settle(r); err != nil {
		return engine.Change{}, err
	}
	if err := a.place(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if done, err := a.finished(ctx, w, r); err != nil || done != nil {
		return engine.Change{Results: done}, err
	}
	info, err := a.verify(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	r.Hash, r.Sum, r.Size = info.Hash, info.Sum, info.Size
	r.ContentHash, r.Revision, r.Keys = info.ContentHash, info.Revision, info.Keys
	if err := a.chooseBump(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if r.lost, err = a.wouldLose(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if err := a.identify(r, w.Run()); err != nil {
		return engine.Change{}, err
	}
	if err := a.checkSpace(ctx, w, r, info); err != nil {
		return engine.Change{}, err
	}
	return r.change(info)
}

// place finds out which directories change places, and whose they are to be.
func (a *restore) place(ctx context.Context, w engine.World, r *restored) error {
	var err error
	if r.DataDir, err = resolveLink(ctx, w, r.DataDir, "data_dir"); err != nil {
		return err
	}
	if err := refuseLinked(ctx, w, r.DataDir, "data_dir"); err != nil {
		return err
	}
	target := r.DataDir
	mounted, err := isMountPoint(r.DataDir)
	if err != nil {
		return err
	}
	if mounted {
		target = filepath.Join(r.DataDir, "member")
	}
	r.Data.Target = target
	if err := a.placeWAL(ctx, w, r); err != nil {
		return err
	}
	if err := r.chooseNames(ctx, w); err != nil {
		return err
	}
	old, err := r.oldDirectory(ctx, w, &r.Data)
	if err != nil {
		return err
	}
	r.oldAt = old.Path
	if r.WAL != nil {
		log, err := r.oldDirectory(ctx, w, r.WAL)
		if err != nil {
			return err
		}
		r.oldLogAt = log.Path
	}
	return a.ownership(r, old)
}

// chooseNames chooses what the directories of the swap are called. A run that
// restores a directory a second time finds the first names taken.
func (r *restored) chooseNames(ctx context.Context, w engine.World) error {
	for n := 1; ; n++ {
		r.number = n
		for _, s := range r.swaps() {
			*s = newSwap(s.Target, r.tag(), identity{})
		}
		if taken, err := r.taken(ctx, w); err != nil || !taken {
			return err
		}
	}
}

// taken reports whether another step of the run has used these names. Where this
// very step has, it is half-way or done, and they stay its own: the record in the
// directory that it has made tells.
func (r *restored) taken(ctx context.Context, w engine.World) (bool, error) {
	for _, path := range []string{r.Data.Target, r.Data.New} {
		m, err := readRecord(ctx, w, path, r.recordName())
		if err != nil {
			return false, err
		}
		if m != nil && m.Run == r.Run && m.Data.Kept == r.Data.Kept {
			return !r.made(m), nil
		}
	}
	for _, s := range r.swaps() {
		for _, path := range []string{s.Kept, s.New} {
			if fact, err := w.Stat(ctx, path); err != nil || fact.Exists {
				return fact.Exists, err
			}
		}
	}
	return false, nil
}

// made reports whether the record of a directory that was made in this run, and
// under these names, is this restore's.
func (r *restored) made(m *restored) bool {
	return m.Step == r.Step && (r.Salvage != nil || m.Snapshot == r.Snapshot)
}

// placeWAL finds out whether a log that is outside the data directory is to
// change places too.
func (a *restore) placeWAL(ctx context.Context, w engine.World, r *restored) error {
	if r.WALDir == "" {
		return nil
	}
	var err error
	if r.WALDir, err = resolveLink(ctx, w, r.WALDir, "wal_dir"); err != nil {
		return err
	}
	if err := refuseLinked(ctx, w, r.WALDir, "wal_dir"); err != nil {
		return err
	}
	if _, around := below(r.DataDir, r.WALDir); around || r.WALDir == r.DataDir {
		return engine.Errorf(r.WALDir, "it can't be the log's directory: it is the data directory, or around it").
			WithHint("Set wal_dir to the directory that etcd is started with, or leave it out.").WithAttribute("wal_dir")
	}
	if _, inside := below(r.WALDir, r.DataDir); inside {
		if r.onlyMember() {
			return engine.Errorf(r.WALDir, "the log's directory is inside a data directory that is a mount point").
				WithHint("Restore without this action, or move the log out of %s.", r.DataDir).WithAttribute("wal_dir")
		}
		return nil // it moves with the data directory
	}
	mounted, err := isMountPoint(r.WALDir)
	if err != nil {
		return err
	}
	if mounted {
		return engine.Errorf(r.WALDir, "the log's directory is a mount point and can't change places with another").
			WithHint("Start etcd with a directory below it as its wal-dir.").WithAttribute("wal_dir")
	}
	r.WAL = &swap{Target: r.WALDir}
	return nil
}

// resolveLink follows a symbolic link at the end of path and checks that what
// is there can be a directory in an existing one.
func resolveLink(ctx context.Context, w engine.World, path, attribute string) (string, error) {
	path = filepath.Clean(path)
	for range 40 { // as many links as the kernel follows
		fact, err := w.Stat(ctx, path)
		if err != nil {
			return "", err
		}
		switch {
		case fact.Type == engine.TypeSymlink:
			path = linkTarget(fact)
			continue
		case fact.Exists && fact.Type != engine.TypeDirectory:
			return "", engine.Errorf(path, "it is not a directory").WithHint("Set %s to a directory.", attribute).WithAttribute(attribute)
		}
		return path, hasParent(ctx, w, path, attribute)
	}
	return "", engine.Errorf(path, "too many symbolic links").WithAttribute(attribute)
}

func hasParent(ctx context.Context, w engine.World, path, attribute string) error {
	parent, err := w.Stat(ctx, filepath.Dir(path))
	if err != nil || parent.Exists {
		return err
	}
	return engine.Errorf(path, "its parent directory does not exist").
		WithHint("Create %s, or set %s to the directory that etcd is started with.", parent.Path, attribute).WithAttribute(attribute)
}

// oldDirectory finds the directory that is to be replaced. Where an earlier call
// of this step was interrupted it may be under one of the names of the swap.
func (r *restored) oldDirectory(ctx context.Context, w engine.World, s *swap) (engine.PathFact, error) {
	for _, path := range []string{s.Kept, s.New, s.Target} {
		fact, err := w.Stat(ctx, path)
		if err != nil {
			return fact, err
		}
		if !fact.Exists {
			continue
		}
		ours, err := r.marked(ctx, w, path, *s)
		if err != nil {
			return fact, err
		}
		if !ours {
			s.Old, s.Existed = identity{Inode: fact.Inode}, true
			return fact, nil
		}
	}
	return engine.PathFact{}, nil
}

// marked reports whether the directory at path is one that this step restored.
// The names of the swap tell it from other steps of the run.
func (r *restored) marked(ctx context.Context, w engine.World, path string, s swap) (bool, error) {
	m, err := readRecord(ctx, w, path, r.recordName())
	return m != nil && m.Run == w.Run().ID && m.Data.Target == s.Target && m.Data.Kept == s.Kept, err
}

// readMarker reads the record of the restore that a directory is from.
func readMarker(ctx context.Context, w engine.World, dir string) (*restored, error) {
	return readRecord(ctx, w, dir, markerName)
}

// readRecord reads the record in a directory, either a data directory or its
// "member"; nil if it has none. One that can't be understood belongs to the
// damage that is to be recovered from.
func readRecord(ctx context.Context, w engine.World, dir, name string) (*restored, error) {
	for _, path := range []string{filepath.Join(dir, "member", name), filepath.Join(dir, name)} {
		data, err := locate.ReadSource(ctx, w, path)
		var unknown *engine.UnknownError
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &unknown) {
			continue // what an earlier step will have made isn't this restore's
		}
		if err != nil {
			return nil, err
		}
		m, err := decodeMarker(path, data)
		if err != nil {
			m = nil
		}
		return m, nil
	}
	return nil, nil
}

func decodeMarker(path string, data []byte) (*restored, error) {
	m := &restored{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, engine.Errorf(path, "understanding what restored this directory: %w", err).
			WithHint("The file is runbook's own; move it away if the directory isn't the result of a restore.")
	}
	return m, nil
}

// finished returns the results of this very restore where it was done by an
// earlier call of the same run, and nil otherwise.
func (a *restore) finished(ctx context.Context, w engine.World, r *restored) (engine.Result, error) {
	m, err := readRecord(ctx, w, r.Data.Target, r.recordName())
	if err != nil || m == nil || m.Run != r.Run || m.Snapshot != r.Snapshot || m.Data.Target != r.Data.Target || m.Data.Kept != r.Data.Kept {
		return nil, err
	}
	for _, s := range r.swaps() {
		fact, err := w.Stat(ctx, s.New)
		if err != nil || fact.Exists {
			return nil, err // half-way
		}
	}
	return m.result(), nil
}

// ownership decides whose the new directory is to be: as the attributes say,
// else as the member says, which knows whom etcd runs as, else as the old one
// was. Its mode is the old one's.
func (a *restore) ownership(r *restored, old engine.PathFact) error {
	r.Mode = 0o700
	var err error
	if old.Exists {
		r.UID, r.GID, r.Mode = old.UID, old.GID, old.Mode
	}
	if m := a.Member; m != nil && m.UID != nil && m.GID != nil {
		r.UID, r.GID = *m.UID, *m.GID
		if mode := deref(m.Mode); mode != "" && !old.Exists {
			if r.Mode, err = parseMode(mode); err != nil {
				return err
			}
		}
	}
	if a.Owner == nil && a.Group == nil {
		return nil
	}
	owner := deref(a.Owner)
	if owner == "" {
		owner = strconv.Itoa(r.UID)
	}
	group := deref(a.Group)
	if group == "" && a.Owner == nil {
		group = strconv.Itoa(r.GID)
	}
	r.UID, r.GID, err = lookup(owner, group)
	return err
}

// verify checks the snapshot completely.
func (a *restore) verify(ctx context.Context, w engine.World) (inspect.Info, error) {
	now, err := w.Source(ctx, a.Snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		return inspect.Info{}, unusable(a.Snapshot, "there is no such file")
	}
	if err != nil {
		return inspect.Info{}, err
	}
	info, err := inspect.Again(ctx, now)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return inspect.Info{}, unusable(a.Snapshot, damaged.Reason)
	}
	if err != nil {
		return inspect.Info{}, err
	}
	return info, a.checkVersion(info)
}

func unusable(path, reason string) error {
	return engine.Errorf(path, "the snapshot can't be used: %s", reason).
		WithHint("Take another snapshot; the data source etcd_snapshot finds the newest that verifies.").WithAttribute("snapshot")
}

// checkSpace refuses where the copy and the new log would not fit.
func (a *restore) checkSpace(ctx context.Context, w engine.World, r *restored, info inspect.Info) error {
	parent, err := w.Stat(ctx, filepath.Dir(r.Data.Target))
	if err != nil {
		return err
	}
	if need := space(info); parent.Free < need {
		return engine.Errorf(parent.Path, "the restored data needs %s, and only %s are free", humanize.IBytes(uint64(need)), humanize.IBytes(uint64(max(parent.Free, 0)))).
			WithHint("Make room on the file system of %s: the old data stays beside the new.", r.DataDir).WithAttribute("data_dir")
	}
	return nil
}

// space is how much the restored directory takes, in bytes: the database,
// which grows a little by what the restore writes, and the log.
func space(info inspect.Info) int64 { return info.Size + info.Size/4 + walSpace }

// change is the plan that the record describes.
func (r *restored) change(info inspect.Info) (engine.Change, error) {
	s := r.Data
	before := "absent"
	if s.Existed {
		before = "existing data"
	}
	c := engine.Change{Results: r.result(), UndoKept: []string{s.Undone}, UndoNote: s.undoNote(s.Undone)}
	if r.BumpNote != "" {
		delete(c.Results, "revision") // known once the old member is stopped
	}
	c.Items = append(c.Items, engine.Item{
		Target: s.Target, Before: before, After: fmt.Sprintf("snapshot %s at revision %d", r.Snapshot, r.Revision),
		Note: fmt.Sprintf("%d keys, %s", r.Keys, humanize.IBytes(uint64(info.Size))),
	})
	if s.Existed {
		c.Items = append(c.Items, engine.Item{Target: s.Kept, Before: "absent", After: "the data that was in " + s.Target, Note: r.lost})
		c.Effects = append(c.Effects, engine.Effect{Moved: &engine.Moved{From: s.Target, To: s.Kept}})
		c.Kept = append(c.Kept, s.Kept)
	}
	c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: r.fact(s.Target), Bytes: space(info)}})
	c.Items = append(c.Items,
		engine.Item{Target: s.Target, Attribute: "cluster token", Before: r.oldToken(), After: r.Token},
		r.revisionItem())
	if len(info.Alarms) > 0 {
		c.Items = append(c.Items, engine.Item{Target: s.Target, Attribute: "alarms", Before: fmt.Sprint(info.Alarms), After: "cleared"})
	}
	r.changeWAL(&c)
	c.Checks = []string{s.Target + " is not in use", "the restored keys are the snapshot's"}
	return c, c.SetData(r)
}

// revisionItem is the bump. One that was found depends on what the old member
// serves until it is stopped, so its number is only a note: the plan stays the
// same.
func (r *restored) revisionItem() engine.Item {
	item := engine.Item{Target: r.Data.Target, Attribute: "revision", Before: fmt.Sprint(r.Revision), After: fmt.Sprint(r.Revision + r.Bump)}
	if r.BumpNote != "" {
		item.Note = item.After + "; " + r.BumpNote
		item.After = "beyond what was served"
	}
	return item
}

// oldToken describes the token of the cluster that is replaced. What is in the
// old data isn't read: it may be damaged.
func (r *restored) oldToken() string {
	if r.Data.Existed {
		return "the old cluster's"
	}
	return "none"
}

// changeWAL adds the swap of a separate log.
func (r *restored) changeWAL(c *engine.Change) {
	if r.WAL == nil {
		return
	}
	c.UndoKept = append(c.UndoKept, r.WAL.Undone)
	before := "absent"
	if r.WAL.Existed {
		before = "existing log"
		c.Items = append(c.Items, engine.Item{Target: r.WAL.Kept, Before: "absent", After: "the log that was in " + r.WAL.Target})
		c.Effects = append(c.Effects, engine.Effect{Moved: &engine.Moved{From: r.WAL.Target, To: r.WAL.Kept}})
		c.Kept = append(c.Kept, r.WAL.Kept)
	}
	c.Items = append(c.Items, engine.Item{Target: r.WAL.Target, Before: before, After: "the new cluster's log"})
	c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: r.fact(r.WAL.Target)}})
}

func (r *restored) fact(path string) engine.PathFact {
	owner, group := ownerNames(r.UID, r.GID)
	return engine.PathFact{
		Path: path, Exists: true, Type: engine.TypeDirectory, UID: r.UID, GID: r.GID, Mode: r.Mode,
		Owner: owner, Group: group,
	}
}
