package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action. It makes the new directory under another
// name, and only what is complete, verified and synced gets the name ".new"
// and then changes places with the old.
func (a *restore) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r := &restored{}
	if err := c.GetData(r); err != nil {
		return nil, err
	}
	if err := r.apply(ctx, rep); err != nil {
		return nil, err
	}
	return r.result(), nil
}

// apply makes the new directory and puts it in place, however far an earlier
// call got.
func (r *restored) apply(ctx context.Context, rep engine.Reporter) error {
	if err := r.refuseInUse(); err != nil {
		return err
	}
	staged, err := r.Data.staged()
	if err != nil {
		return err
	}
	if !staged {
		stage := r.stage
		if r.Adopt != nil {
			stage = r.stageAdopted
		}
		if err := stage(ctx, rep); err != nil {
			return err
		}
	}
	if err := r.putInPlace(rep); err != nil {
		return err
	}
	if err := r.clearAway(); err != nil {
		return err
	}
	return r.confirm()
}

// clearAway removes what was left of the making. Where a directory was moved
// there, it may still be in it: what is in place is somebody else's then.
func (r *restored) clearAway() error {
	if r.Adopt == nil {
		return durable.RemoveAll(r.staging())
	}
	for _, s := range r.swaps() {
		if err := removeEmpty(s.Partial); err != nil {
			return err
		}
	}
	return nil
}

// Undo implements engine.Action.
func (a *restore) Undo(_ context.Context, c engine.Change, rep engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	r := &restored{}
	if err := c.GetData(r); err != nil {
		return err
	}
	if err := r.refuseUndoInUse(); err != nil {
		return err
	}
	if err := r.refuseForeign(); err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "putting the old data back"})
	if err := r.Data.undo(); err != nil {
		return err
	}
	if r.onlyMember() {
		if err := durable.RemoveAll(r.staging()); err != nil {
			return err
		}
	}
	if r.WAL == nil {
		return nil
	}
	return r.WAL.undo()
}

func (r *restored) refuseInUse() error {
	return refuseInUse(filepath.Join(r.DataDir, "member"), r.WALDir)
}

// refuseUndoInUse lets Undo remove what was only staged beside data in use:
// that may be why Apply failed.
func (r *restored) refuseUndoInUse() error {
	for _, s := range r.swaps() {
		untouched, err := s.untouched()
		if err != nil {
			return err
		}
		if !untouched {
			return r.refuseInUse()
		}
	}
	return nil
}

// keptMember is where the old directory "member" is once it was replaced.
func (r *restored) keptMember() string {
	if r.onlyMember() {
		return r.Data.Kept
	}
	return filepath.Join(r.Data.Kept, "member")
}

// refuseForeign fails where there was nothing before and what is there now
// isn't what this restore made.
func (r *restored) refuseForeign() error {
	if r.Data.Old != (identity{}) {
		return nil // the swap knows by the identity
	}
	if at, err := identityOf(r.Data.Target); err != nil || at == (identity{}) {
		return err
	}
	return r.confirm()
}

// staging is the data directory that the library fills, by a path that stays
// this very directory's while it is filled: whoever may write around it, such as
// the old data's owner, could put a link to elsewhere in its place.
func (r *restored) staging() string {
	if r.pin != nil {
		return r.pin.Path
	}
	return r.Data.Partial
}

// stage makes the new directories, complete and on disk, as the swaps' New.
func (r *restored) stage(ctx context.Context, rep engine.Reporter) (err error) {
	if err := r.clearStaging(); err != nil {
		return err
	}
	if r.pin, err = durable.MakePin(r.Data.Partial); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(r.pin.Named(err), r.pin.Close())
		r.pin = nil
	}()
	if r.WAL == nil {
		return r.fill(ctx, rep)
	}
	if r.walPin, err = durable.MakePin(r.WAL.Partial); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(r.walPin.Named(err), r.walPin.Close())
		r.walPin = nil
	}()
	return r.fill(ctx, rep)
}

// fill fills the new directories.
func (r *restored) fill(ctx context.Context, rep engine.Reporter) error {
	cl, err := r.cluster()
	if err != nil {
		return err
	}
	if err := guarded(filepath.Dir(r.stagingWAL()), "making the new log", func(lg *zap.Logger) error { return r.makeLog(lg, cl) }); err != nil {
		return err
	}
	database := r.copy
	if r.Salvage != nil {
		database = r.salvage
	}
	if err := database(ctx, rep); err != nil {
		return err
	}
	if err := guarded(r.stagingDB(), "making the new cluster's database", func(lg *zap.Logger) error { return r.rewrite(lg, cl) }); err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "verifying the restored data and syncing it to disk", Done: r.Size, Total: r.Size})
	if err := r.settleOnDisk(ctx); err != nil {
		return err
	}
	return r.complete()
}

// clearStaging removes what an interrupted call left half-made.
func (r *restored) clearStaging() error {
	if r.WAL != nil {
		if err := r.WAL.clean(); err != nil {
			return err
		}
	}
	return durable.RemoveAll(r.staging())
}

// copy copies the snapshot, and checks while it does that it is the one that
// was planned with: to the last bit, so what was found sound then is so now.
func (r *restored) copy(ctx context.Context, rep engine.Reporter) error {
	from, err := os.Open(r.Snapshot)
	if errors.Is(err, fs.ErrNotExist) {
		return unusable(r.Snapshot, "there is no such file")
	}
	if err != nil {
		return &engine.Error{Where: r.Snapshot, Err: err}
	}
	defer from.Close() // only read from
	info, err := from.Stat()
	if err != nil {
		return &engine.Error{Where: r.Snapshot, Err: err}
	}
	if info.Size() != r.Size {
		return r.changed()
	}
	body := r.Size
	if r.Hash != "" {
		body -= sha256.Size
	}
	sum, err := durable.CopyFile(ctx, from, r.stagingDB(), body, func(done int64) {
		rep.Progress(engine.Progress{Doing: "copying the snapshot and checking its SHA-256", Done: done, Total: r.Size})
	})
	if err != nil {
		return err
	}
	if hex.EncodeToString(sum) != r.Sum {
		return r.changed()
	}
	return nil
}

func (r *restored) changed() error {
	return engine.Errorf(r.Snapshot, "the snapshot is not the one that was planned with: it has changed since").
		WithHint("Nothing was changed. Plan again with the snapshot as it is now.").WithAttribute("snapshot")
}

// settleOnDisk verifies the new database while the disk takes it. Both read
// and change nothing; a sync that fails is final.
func (r *restored) settleOnDisk(ctx context.Context) error {
	synced := make(chan error, 1)
	go func() { synced <- durable.SyncFile(r.stagingDB()) }()
	return errors.Join(r.verify(ctx), <-synced)
}

// stagingWAL is the log's directory that the library fills.
func (r *restored) stagingWAL() string {
	if r.walPin != nil {
		return filepath.Join(r.walPin.Path, stagedLog)
	}
	if rest, inside := below(r.WALDir, r.DataDir); inside && r.WALDir != "" {
		return filepath.Join(r.staging(), rest)
	}
	return filepath.Join(r.staging(), "member", "wal")
}

func (r *restored) stagingDB() string {
	return filepath.Join(r.staging(), "member", "snap", "db")
}

// verify compares the restored database with the snapshot.
func (r *restored) verify(ctx context.Context) error {
	if r.Salvage != nil {
		return r.verifySalvaged(ctx)
	}
	info, err := inspect.Restored(ctx, r.stagingDB(), r.Snapshot, r.Bump)
	if err == nil && (info.Revision != r.Revision+r.Bump || len(info.Alarms) > 0 || !r.hasMember(info)) {
		err = fmt.Errorf("it has revision %d, the alarms %v and the members %v", info.Revision, info.Alarms, info.Members)
	}
	if err != nil {
		return engine.Errorf(r.stagingDB(), "the restored data is not as it has to be: %w", err).
			WithHint("The old data is untouched. Try another snapshot, or another disk: this one may return what wasn't written.")
	}
	return nil
}

func (r *restored) hasMember(info inspect.Info) bool {
	return slices.ContainsFunc(info.Members, func(m inspect.Member) bool { return m.ID == r.MemberID && m.Name == r.Name })
}

// complete gives the new directories their record, owner and mode, syncs them
// and names them New. The data directory comes last: its name says that all
// is complete.
func (r *restored) complete() error {
	if r.WAL != nil {
		if err := r.finish(r.walPin, r.WAL.Partial, stagedLog, r.WAL.New); err != nil {
			return err
		}
		if err := durable.RemoveAll(r.WAL.Partial); err != nil {
			return err
		}
	}
	member := filepath.Join(r.staging(), "member")
	record, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return engine.Errorf(member, "recording the restore: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(member, markerName), record, 0o600); err != nil {
		return err
	}
	if !r.onlyMember() {
		return r.finish(r.pin, r.Data.Partial, "", r.Data.New)
	}
	if err := r.finish(r.pin, r.Data.Partial, "member", r.Data.New); err != nil {
		return err
	}
	return durable.RemoveAll(r.Data.Partial)
}

// stagedLog is the name of a separate log in the directory in which it is made.
const stagedLog = "log"

// finish gives the tree called name in the pinned directory, which is at
// partial, to its owner, makes it durable and names it done.
func (r *restored) finish(pin *durable.Pin, partial, name, done string) error {
	give := durable.Give
	if r.Adopt != nil && !r.Adopt.Copy {
		give = durable.Take // it is what its owner has made of it
	}
	if err := give(filepath.Join(pin.Path, name), r.UID, r.GID, r.Mode); err != nil {
		return err
	}
	partial = filepath.Join(partial, name)
	if err := durable.SyncTree(partial); err != nil {
		return err
	}
	return durable.Rename(partial, done)
}

// putInPlace swaps old and new. The log goes first: were the process killed
// in between and etcd started, it would find a log that doesn't fit the old
// data, where the old log would replay itself onto the new data, unnoticed.
func (r *restored) putInPlace(rep engine.Reporter) error {
	rep.Progress(engine.Progress{Doing: fmt.Sprintf("putting the restored data in the place of %s", r.Data.Target)})
	if err := r.refuseInUse(); err != nil {
		return err
	}
	if r.WAL != nil {
		if err := r.WAL.apply(); err != nil {
			return err
		}
	}
	return r.Data.apply()
}

// confirm checks that what is in place is what this restore made.
func (r *restored) confirm() error {
	path := filepath.Join(r.DataDir, "member", r.recordName())
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &engine.Error{Where: path, Err: err}
	}
	m := &restored{}
	if err == nil {
		if m, err = decodeMarker(path, data); err != nil {
			return err
		}
	}
	if m.Run != r.Run || m.Data.Kept != r.Data.Kept || m.Token != r.Token {
		return engine.Errorf(r.Data.Target, "someone else has put another directory here").
			WithHint("Find out who did: is etcd running, or was it started by something? The restored data is in %s if it isn't here.", r.Data.New)
	}
	if r.Data.Old != (identity{}) {
		return refuseInUse(r.keptMember(), "")
	}
	return nil
}
