package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/replay"
	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action. The new directory is made and put in place
// as a restore's is; only what its database is made from differs.
func (a *salvage) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r := &restored{}
	if err := c.GetData(r); err != nil {
		return nil, err
	}
	if r.Salvage.From != "" {
		if err := refuseInUse(r.Salvage.From, r.Salvage.Log); err != nil {
			return nil, err
		}
	}
	if err := r.apply(ctx, rep); err != nil {
		return nil, err
	}
	// What was salvaged stands in the directory's record, by whichever call.
	path := filepath.Join(r.DataDir, "member", markerName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	m, err := decodeMarker(path, data)
	if err != nil {
		return nil, err
	}
	return m.salvageResult(), nil
}

// Undo implements engine.Action.
func (a *salvage) Undo(ctx context.Context, c engine.Change, rep engine.Reporter) error {
	return a.restore().Undo(ctx, c, rep)
}

// logDir is where the old log is until the directories are swapped.
func (r *restored) logDir() string {
	if r.Salvage.Log != "" {
		return r.Salvage.Log
	}
	if r.WALDir != "" {
		return r.WALDir
	}
	return filepath.Join(r.DataDir, "member", "wal")
}

// salvage copies the old database and replays the log on the copy. The old
// files are only read.
func (r *restored) salvage(ctx context.Context, rep engine.Reporter) error {
	if err := r.copyOld(ctx, rep); err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "checking the old database"})
	before, err := r.soundCopy(ctx)
	if err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "replaying the log"})
	after, err := r.replayed(ctx, before)
	if err != nil {
		return err
	}
	r.Revision, r.Size = before.Revision, before.Size
	r.Keys, r.ContentHash, r.Salvage.Revision = after.Keys, after.ContentHash, after.Revision
	// The bump counts from the database as it was when it was planned with.
	r.Bump = max(r.Bump, after.Revision+1-r.Revision)
	return nil
}

// replayed is what the copy holds once it has what the log adds to it. A log
// that can't be read isn't one that isn't there: only a plan that says so does
// without it, and what is lost with it isn't known.
func (r *restored) replayed(ctx context.Context, before inspect.Info) (inspect.Info, error) {
	r.Salvage.Replayed, r.Salvage.Lost = 0, nil
	log, err := diagnose.ReadLog(ctx, r.logDir())
	switch {
	case ctx.Err() != nil:
		return before, context.Cause(ctx)
	case err == nil && log.MemberID != "":
		return r.replay(ctx, before, log)
	case err == nil && log.Fault == nil: // there is no log, or nothing in it
		r.Salvage.Lost = new(int64)
		return before, nil
	case err != nil && !diagnose.Unreadable(err):
		return before, err
	case r.Salvage.Unread != "":
		return before, nil
	case err == nil:
		err = errors.New(log.Fault.Reason)
	}
	return before, engine.Errorf(r.logDir(), "the log can't be read, and the plan counts on it: %w", err).
		WithHint("Nothing was changed. A new plan says what is salvaged without it.")
}

// replay applies the log to the copy, and counts.
func (r *restored) replay(ctx context.Context, before inspect.Info, log diagnose.WAL) (inspect.Info, error) {
	done, err := replay.Run(ctx, r.stagingDB(), r.logDir())
	if err != nil {
		return before, err
	}
	lost := int64(max(log.SeenIndex, done.Index) - done.Index)
	r.Salvage.Replayed, r.Salvage.Lost = done.Entries, &lost
	if done.Entries == 0 {
		return before, nil
	}
	return r.soundCopy(ctx)
}

// copyOld copies the old database.
func (r *restored) copyOld(ctx context.Context, rep engine.Reporter) error {
	// It is the old owner's, who might lead this to a file that is not for them.
	from, err := durable.Open(r.salvagedDB(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return notSalvageable(r.Snapshot, "there is no such file")
	}
	if err != nil {
		return &engine.Error{Where: r.Snapshot, Err: err}
	}
	defer from.Close() // only read from
	info, err := from.Stat()
	if err != nil {
		return &engine.Error{Where: r.Snapshot, Err: err}
	}
	_, err = durable.CopyFile(ctx, from, r.stagingDB(), info.Size(), func(done int64) {
		rep.Progress(engine.Progress{Doing: "copying the old database", Done: done, Total: info.Size()})
	})
	return err
}

// soundCopy checks the copy completely and tells what it holds.
func (r *restored) soundCopy(ctx context.Context) (inspect.Info, error) {
	info, err := inspect.File(ctx, r.stagingDB())
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return info, notSalvageable(r.Snapshot, damaged.Reason)
	}
	return info, err
}

// verifySalvaged compares the new database with what was salvaged.
func (r *restored) verifySalvaged(ctx context.Context) error {
	info, err := inspect.File(ctx, r.stagingDB())
	if err == nil && (info.ContentHash != r.ContentHash || info.Keys != r.Keys || info.Revision != r.Revision+r.Bump || len(info.Alarms) > 0 || !r.hasMember(info)) {
		err = fmt.Errorf("it has %d keys at revision %d, the alarms %v and the members %v", info.Keys, info.Revision, info.Alarms, info.Members)
	}
	if err != nil {
		return engine.Errorf(r.stagingDB(), "the new directory is not as it has to be: %w", err).
			WithHint("The old data is untouched. Try another disk: this one may return what wasn't written.")
	}
	return nil
}
