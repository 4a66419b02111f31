package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action. The directory is moved into one that is
// being made, which is put in place as a restore's is.
func (a *adopt) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	r := &restored{}
	if err := c.GetData(r); err != nil {
		return nil, err
	}
	log := ""
	if r.Adopt.Log != nil {
		log = r.Adopt.Log.From
	}
	if err := refuseInUse(r.Adopt.Data.From, log); err != nil {
		return nil, err
	}
	return r.adoptResult(), r.apply(ctx, rep)
}

// move is a directory that goes from its place into that of a swap.
type move struct {
	origin
	from  string
	swap  *swap
	inner string // its name in the directory that is being made
	below string // its name in the swap's directory; empty where it is that
}

// dataMove is the move of the directory "member".
func (r *restored) dataMove() move {
	m := move{origin: r.Adopt.Data, from: r.Adopt.Data.From, swap: &r.Data, inner: "member"}
	if !r.onlyMember() {
		m.below = "member"
	}
	return m
}

// moves are the log's, if one comes with the data, and the data's.
func (r *restored) moves() []move {
	if r.Adopt.Log == nil {
		return []move{r.dataMove()}
	}
	return []move{{origin: *r.Adopt.Log, from: r.Adopt.Log.From, swap: r.WAL, inner: stagedLog}, r.dataMove()}
}

// at is where the directory is now, however far a call got.
func (m move) at() (string, error) {
	s := m.swap
	places := []string{m.from, filepath.Join(s.Partial, m.inner)}
	for _, dir := range append([]string{s.New, s.Target, s.Kept}, unseen.Glob(s.Undone+"*")...) {
		places = append(places, filepath.Join(dir, m.below))
	}
	for _, path := range places {
		id, err := identityOf(path)
		if err != nil && !errors.Is(err, unix.ENOTDIR) {
			return "", err
		}
		if err == nil && id == m.ID {
			return path, nil
		}
	}
	return "", engine.Errorf(m.from, "the directory is neither there nor where it was to go").
		WithHint("It has inode %d. Somebody has moved it: find it with find -inum, and put it back.", m.ID.Inode)
}

// stageAdopted makes the directories that are put in place. What was moved
// already is never removed.
func (r *restored) stageAdopted(ctx context.Context, rep engine.Reporter) error {
	for _, m := range r.moves() {
		if err := r.stageMove(ctx, m, rep); err != nil {
			return err
		}
	}
	return nil
}

func (r *restored) stageMove(ctx context.Context, m move, rep engine.Reporter) (err error) {
	at, err := m.at()
	if err != nil {
		return err
	}
	if done, err := identityOf(m.swap.New); err != nil || done != (identity{}) {
		return err
	}
	open := durable.OpenPin
	if at == m.from {
		if err := durable.RemoveAll(m.swap.Partial); err != nil {
			return err
		}
		open = durable.MakePin
	}
	pin, err := open(m.swap.Partial)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(pin.Named(err), pin.Close()) }()
	switch inner := filepath.Join(m.swap.Partial, m.inner); {
	case r.Adopt.Copy:
		err = r.copyWhole(ctx, m.from, filepath.Join(pin.Path, m.inner), rep)
	case at == m.from:
		err = m.moveTo(inner)
	}
	if err != nil {
		return err
	}
	return r.finishMove(m, pin)
}

// moveTo moves the directory, and what isn't the one that was planned with back.
func (m move) moveTo(path string) error {
	if err := durable.Rename(m.from, path); err != nil {
		return err
	}
	id, err := identityOf(path)
	if err == nil && id != m.ID {
		err = engine.Errorf(m.from, "somebody has put another directory in its place").
			WithHint("Nothing was changed. Find out who may write to %s, and plan again.", filepath.Dir(m.from))
		return errors.Join(err, durable.Rename(path, m.from))
	}
	return err
}

// finishMove gives the directory its record, owner and mode, and its name.
func (r *restored) finishMove(m move, pin *durable.Pin) error {
	if m.swap == &r.Data {
		record, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return engine.Errorf(m.from, "recording the adoption: %w", err)
		}
		// Beside it first: what is moved back later is to be as it was.
		beside := filepath.Join(pin.Path, adoptName)
		if err := durable.WriteFile(beside, record, 0o600); err != nil {
			return err
		}
		if err := durable.Replace(beside, filepath.Join(pin.Path, m.inner, adoptName)); err != nil {
			return err
		}
	}
	if m.below != "" {
		return r.finish(pin, m.swap.Partial, "", m.swap.New)
	}
	if err := r.finish(pin, m.swap.Partial, m.inner, m.swap.New); err != nil {
		return err
	}
	return removeEmpty(m.swap.Partial)
}

// copyWhole copies a directory from another file system, and reads the copy.
func (r *restored) copyWhole(ctx context.Context, from, to string, rep engine.Reporter) error {
	pin, err := durable.OpenPin(from)
	if err != nil {
		return err
	}
	defer pin.Close()
	tree, err := os.OpenRoot(pin.Path)
	if err != nil {
		return &engine.Error{Where: from, Err: err}
	}
	defer tree.Close()
	err = fs.WalkDir(tree.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return &engine.Error{Where: filepath.Join(from, path), Err: err}
		}
		if e.IsDir() {
			return durable.Mkdir(filepath.Join(to, path), 0o700)
		}
		return copyIn(ctx, tree, path, filepath.Join(to, path), rep)
	})
	if err != nil {
		return err
	}
	return r.sameAs(ctx, from, to)
}

func copyIn(ctx context.Context, tree *os.Root, path, to string, rep engine.Reporter) error {
	f, err := tree.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	if st := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || st.Nlink != 1 {
		return engine.Errorf(f.Name(), "it is no file, or has another name, under which it may be somebody else's").
			WithHint("Find out what it is, and take it away.")
	}
	_, err = durable.CopyFile(ctx, f, to, info.Size(), func(done int64) {
		rep.Progress(engine.Progress{Doing: "copying " + path, Done: done, Total: info.Size()})
	})
	return err
}

// sameAs reads a copy, and compares what is in it with what was planned with.
func (r *restored) sameAs(ctx context.Context, from, to string) error {
	if from != r.Adopt.Data.From {
		return nil // the log is read with the data that it belongs to
	}
	db, err := diagnose.ReadDB(ctx, filepath.Join(to, "snap", "db"))
	if err != nil {
		return err
	}
	if !db.Whole() || db.Revision != r.Revision || db.Contents.Keys != r.Keys {
		return engine.Errorf(from, "the copy isn't what was planned with: %d keys at revision %d, and it were %d at %d", db.Contents.Keys, db.Revision, r.Keys, r.Revision).
			WithHint("Nothing was changed. Does something write to it, or is a disk failing? Then plan again.")
	}
	return nil
}
