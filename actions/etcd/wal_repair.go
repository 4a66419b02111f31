package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
	"runbook/engine/durable"
)

// walRepair cuts the torn tail off a log.
type walRepair struct {
	Member  *restoreMember `cty:"member"`
	DataDir *string        `cty:"data_dir"`
	WALDir  *string        `cty:"wal_dir"`
}

var _ engine.Action = (*walRepair)(nil)

func walRepairSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_wal_repair",
		Doc: "Cuts the torn tail off etcd's write-ahead log, on a copy that then takes the place of the newest file, which is kept. " +
			"Only a last record that was never written as a whole is cut off, and only where the database lacks nothing of the log's rest: nobody was ever told that such a record had been written. " +
			"Any other damage is refused: salvage the database then. etcd must be stopped. " +
			"etcd itself cuts off a tail where a whole sector is zeros or the file ends, and refuses to start where the zeros begin elsewhere.",
		Attributes: []engine.Attribute{
			{Name: "member", Type: restoreMemberType, Doc: "The member as data.etcd_member reads it. The other attributes default to what it says."},
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory. Required without member."},
			{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The directory of the write-ahead log, if it isn't member/wal in the data directory."},
		},
		Results: []engine.Attribute{
			{Name: "path", Type: cty.String, Doc: "The file that was repaired; empty if there was nothing to repair."},
			{Name: "kept", Type: cty.String, Doc: "Where the file is as it was."},
			{Name: "offset", Type: cty.Number, Doc: "The byte at which it was cut off."},
			{Name: "last_index", Type: cty.Number, Doc: "The last entry that the log holds."},
		},
		Example: `step "etcd_wal_repair" "repair" {
  data_dir = "/var/lib/etcd"
}`,
		New: func() engine.Action { return &walRepair{} },
	}
}

// repaired is the record of a repair.
type repaired struct {
	File   swap   `json:"file"`
	Member string `json:"member"` // the directory "member"
	WALDir string `json:"wal_dir"`
	Offset int64  `json:"offset"`
	Index  uint64 `json:"index"` // of the last entry that stays
}

func (r *repaired) result() engine.Result {
	return engine.Result{"path": r.File.Target, "kept": r.File.Kept, "offset": r.Offset, "last_index": r.Index}
}

// settle fills r's directories.
func (a *walRepair) settle(r *repaired) error {
	dataDir, walDir := a.DataDir, a.WALDir
	if a.Member != nil && dataDir == nil {
		dataDir = &a.Member.DataDir
	}
	if a.Member != nil && walDir == nil {
		walDir = a.Member.WALDir
	}
	if deref(dataDir) == "" {
		return engine.Errorf("etcd_wal_repair", "data_dir is not known").
			WithHint("Set member = data.etcd_member.NAME, or data_dir itself.").WithAttribute("data_dir")
	}
	r.Member = filepath.Join(*dataDir, "member")
	if r.WALDir = deref(walDir); r.WALDir == "" {
		r.WALDir = filepath.Join(r.Member, "wal")
	}
	return nil
}

// Plan implements engine.Action.
func (a *walRepair) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	r := &repaired{}
	if err := a.settle(r); err != nil {
		return engine.Change{}, err
	}
	now, err := w.Source(ctx, r.WALDir)
	if errors.Is(err, fs.ErrNotExist) {
		return engine.Change{}, notRepairable(r.WALDir, "there is no log")
	}
	if err != nil {
		return engine.Change{}, err
	}
	log, err := diagnose.ReadLog(ctx, now)
	if err != nil && !diagnose.Unreadable(err) {
		return engine.Change{}, err
	}
	if err != nil {
		return engine.Change{}, notRepairable(r.WALDir, err.Error())
	}
	if log.Fault == nil {
		return r.nothing(log)
	}
	if err := r.tailOnly(ctx, w, log); err != nil {
		return engine.Change{}, err
	}
	return r.change(ctx, w, filepath.Base(log.Fault.File), log)
}

// nothing is the plan for a log that is whole.
func (r *repaired) nothing(log diagnose.WAL) (engine.Change, error) {
	if log.MemberID == "" {
		return engine.Change{}, notRepairable(r.WALDir, "there is nothing in it")
	}
	return engine.Change{Results: engine.Result{"path": "", "kept": "", "offset": 0, "last_index": log.LastIndex}}, nil
}

func notRepairable(path, reason string) error {
	return engine.Errorf(path, "the log can't be repaired: %s", reason).
		WithHint("Salvage the database (etcd_salvage), or restore a backup. runbook read etcd_diagnosis tells which of them loses less.").WithAttribute("data_dir")
}

// tailOnly refuses what isn't a torn tail, and a tail that the database needs.
func (r *repaired) tailOnly(ctx context.Context, w engine.World, log diagnose.WAL) error {
	f := log.Fault
	if !f.Tail() || log.MemberID == "" {
		return notRepairable(f.File, fmt.Sprintf("it isn't its tail that is damaged: record %d, at byte %d: %s", f.Record, f.Offset, f.Reason))
	}
	if log.Behind > 0 {
		return notRepairable(f.File, fmt.Sprintf("it isn't its tail that is damaged: record %d, at byte %d: %s, and %s", f.Record, f.Offset, f.Reason, log.WholeBehind()))
	}
	path, doubt, err := source(ctx, w, filepath.Join(r.Member, "snap", "db"), "the database")
	if err != nil {
		return err
	}
	if doubt != "" {
		return notRepairable(r.WALDir, doubt)
	}
	db, err := diagnose.ReadDB(ctx, path)
	switch {
	case err != nil:
		return err
	case !db.Whole():
		return notRepairable(r.WALDir, "the database isn't whole: "+whatIsWrong(db))
	case db.ConsistentIndex > log.LastIndex:
		return notRepairable(r.WALDir, fmt.Sprintf("what can be read of it ends at entry %d, and the database has entry %d", log.LastIndex, db.ConsistentIndex))
	}
	return nil
}

// change is the plan to cut the file called name.
func (r *repaired) change(ctx context.Context, w engine.World, name string, log diagnose.WAL) (engine.Change, error) {
	path := filepath.Join(r.WALDir, name)
	r.Offset, r.Index = log.Fault.Offset, log.LastIndex
	if err := refuseLinked(ctx, w, path, "wal_dir"); err != nil {
		return engine.Change{}, err
	}
	fact, err := w.Stat(ctx, path)
	if err != nil {
		return engine.Change{}, err
	}
	s, err := freeSwap(ctx, w, path, identity{Inode: fact.Inode})
	if err != nil {
		return engine.Change{}, err
	}
	s.Existed = true
	r.File = s
	made := engine.PathFact{Path: path, Exists: true, Type: engine.TypeFile, UID: fact.UID, GID: fact.GID, Owner: fact.Owner, Group: fact.Group, Mode: fact.Mode, Size: r.Offset}
	c := engine.Change{
		Results: r.result(), Kept: []string{s.Kept}, UndoKept: []string{s.Undone}, UndoNote: s.undoNote(s.Undone),
		Items: []engine.Item{
			{Target: path, Before: "a torn tail", After: "cut off behind the last whole record",
				Note: fmt.Sprintf("at byte %d, behind entry %d: %s", r.Offset, r.Index, log.Fault.Reason)},
			{Target: s.Kept, Before: "absent", After: "the file as it was"},
		},
		Checks: []string{r.WALDir + " is not in use", "the log can be read to its end"},
		Effects: []engine.Effect{
			{Moved: &engine.Moved{From: path, To: s.Kept}},
			{Created: &engine.Created{Fact: made, Bytes: r.Offset}},
		},
	}
	return c, c.SetData(r)
}

// Apply implements engine.Action.
func (a *walRepair) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r := &repaired{}
	if err := c.GetData(r); err != nil {
		return nil, err
	}
	if err := refuseInUse(r.Member, r.WALDir); err != nil {
		return nil, err
	}
	staged, err := r.File.staged()
	if err != nil {
		return nil, err
	}
	if !staged {
		rep.Progress(engine.Progress{Doing: "copying the log up to its tail"})
		if err := r.stage(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.File.apply(); err != nil {
		return nil, err
	}
	return r.result(), r.confirm(ctx)
}

// stage makes the shortened file, complete and on disk.
func (r *repaired) stage(ctx context.Context) error {
	s := r.File
	if err := durable.RemoveAll(s.Partial); err != nil {
		return err
	}
	old, err := durable.Open(s.Target, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return &engine.Error{Where: s.Target, Err: err}
	}
	defer old.Close() // only read from
	fresh, err := durable.Open(s.Partial, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &engine.Error{Where: s.Partial, Err: err}
	}
	_, err = durable.CopySum(ctx, old, fresh, r.Offset, func(int64) {})
	if err == nil {
		err = makeLike(fresh, old)
	}
	if err == nil {
		err = fresh.Sync()
	}
	if err = errors.Join(err, fresh.Close()); err != nil {
		return engine.Errorf(s.Partial, "making the shortened log: %w", err)
	}
	return durable.Rename(s.Partial, s.New)
}

// makeLike gives a new file the owner and the mode of another one.
func makeLike(f, like *os.File) error {
	info, err := like.Stat()
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if err := errors.Join(f.Chown(int(st.Uid), int(st.Gid)), f.Chmod(info.Mode())); err != nil {
		return fmt.Errorf("giving it the old file's owner and mode: %w", err)
	}
	return nil
}

// confirm reads the log as it is now.
func (r *repaired) confirm(ctx context.Context) error {
	log, err := diagnose.ReadLog(ctx, r.WALDir)
	if err == nil && (log.Fault != nil || log.LastIndex != r.Index) {
		err = fmt.Errorf("it ends at entry %d, not %d", log.LastIndex, r.Index)
	}
	if err != nil {
		return engine.Errorf(r.File.Target, "the repaired log is not as it has to be: %w", err).
			WithHint("The file as it was is %s. runbook rollback puts it back.", r.File.Kept)
	}
	return nil
}

// Undo implements engine.Action.
func (a *walRepair) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	r := &repaired{}
	if err := c.GetData(r); err != nil {
		return err
	}
	untouched, err := r.File.untouched()
	if err != nil {
		return err
	}
	if !untouched {
		if err := refuseInUse(r.Member, r.WALDir); err != nil {
			return err
		}
	}
	return r.File.undo()
}
