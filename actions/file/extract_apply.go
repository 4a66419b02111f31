package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// Apply implements engine.Action.
func (a *extract) Apply(ctx context.Context, c engine.Change, rep engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var r extracted
	if err := c.GetData(&r); err != nil {
		return nil, err
	}
	u, err := unpack(ctx, r.Archive, a.Files)
	if err != nil {
		return nil, noArchive(r.Archive, err)
	}
	if u.sum != r.Sum {
		return nil, replaced(r.Archive)
	}
	for _, p := range r.Places {
		rep.Progress(engine.Progress{Doing: "putting back " + p.Target})
		m := u.members[p.Name]
		ready := func() (bool, error) { return u.at(ctx, m, p.Target) }
		stage := func() error { return u.stageFile(m, p.place) }
		if m.dir() {
			stage = func() error { return u.stageTree(m, p.Staging) }
		}
		if err := p.fill(ready, stage); err != nil {
			return nil, err
		}
	}
	return c.Results, nil
}

// at reports whether a member, with all below it, is at a path.
func (u *unpacked) at(ctx context.Context, root *member, path string) (bool, error) {
	errOther := errors.New("something else is there")
	err := u.tree(root, func(m *member, rel string) error {
		want, _, err := m.rights()
		if err != nil {
			return err
		}
		kind, now, err := rightsAt(path + rel)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return errOther
		case err != nil:
			return err
		case now != want || m.dir() != (kind == unix.S_IFDIR) || !m.dir() && kind != regular:
			return errOther
		case m.dir():
			return nil
		}
		got, err := readContent(ctx, path+rel, 0)
		if err == nil && got.sum != sum(string(m.content)) {
			err = errOther
		}
		return err
	})
	if errors.Is(err, errOther) {
		return false, nil
	}
	return err == nil, err
}

// stageFile writes a file. Nobody else can read it before it has its owner and
// mode.
func (u *unpacked) stageFile(m *member, p place) error {
	return durable.Create(p.Staging, func(f *os.File) error {
		if _, err := f.Write(m.content); err != nil {
			return &engine.Error{Where: p.Staging, Err: err}
		}
		if p.Existed {
			if err := inheritAttributes(p.Target, p.Old, f); err != nil {
				return err
			}
		}
		return m.give(f)
	})
}

// give gives an open file or directory its owner, its mode and its time.
func (m *member) give(f *os.File) error {
	to, _, err := m.rights()
	if err != nil {
		return err
	}
	if err := to.give(int(f.Fd()), f.Name()); err != nil {
		return err
	}
	at := unix.NsecToTimespec(m.head.ModTime.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fdPath(int(f.Fd())), []unix.Timespec{at, at}, 0); err != nil {
		return engine.Errorf(f.Name(), "setting its time: %w", err)
	}
	return nil
}

// stageTree makes a directory with all below it. Until it is complete nobody
// else gets into it.
func (u *unpacked) stageTree(root *member, path string) error {
	pin, err := durable.MakePin(path)
	if err != nil {
		return err
	}
	err = pin.Named(u.fillTree(root, pin.Path))
	if err := errors.Join(err, pin.Close()); err != nil {
		return engine.Errorf(path, "%w", err)
	}
	return durable.SyncTree(path)
}

func (u *unpacked) fillTree(root *member, at string) error {
	var dirs []*member
	err := u.tree(root, func(m *member, rel string) error {
		switch path := filepath.Join(at, rel); {
		case !m.dir():
			return durable.Create(path, func(f *os.File) error {
				if _, err := f.Write(m.content); err != nil {
					return &engine.Error{Where: path, Err: err}
				}
				return m.give(f)
			})
		case m != root:
			if err := durable.Mkdir(path, 0o700); err != nil {
				return err
			}
		}
		dirs = append(dirs, m)
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(dirs) { // what is made in them changes their times
		if err := m.giveDir(filepath.Join(at, m.name[len(root.name):])); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) giveDir(path string) error {
	d, err := durable.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	return errors.Join(m.give(d), d.Close())
}

// Undo implements engine.Action.
func (a *extract) Undo(_ context.Context, c engine.Change, _ engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var r extracted
	if err := c.GetData(&r); err != nil {
		return err
	}
	for _, p := range slices.Backward(r.Places) {
		if err := p.clear(); err != nil {
			return err
		}
	}
	return nil
}
