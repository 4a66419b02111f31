package etcd

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// findMember finds the directory "member" that from is, or that is in it; it
// is empty where there is none.
func findMember(ctx context.Context, w engine.World, from, dataDir string) (string, error) {
	for _, member := range []string{filepath.Join(from, "member"), from} {
		fact, err := w.Stat(ctx, filepath.Join(member, "snap", "db"))
		if err != nil {
			return "", err
		}
		if !fact.Exists {
			continue
		}
		if _, around := below(dataDir, member); around || member == filepath.Join(dataDir, "member") {
			return "", notAdoptable(member, "it is in place already").WithHint("Name another directory.")
		}
		return member, nil
	}
	return "", nil
}

func noMember(from string) error {
	return notAdoptable(from, "there is no member/snap/db in it").
		WithHint("runbook read etcd_diagnosis lists what is left on this host.")
}

// find finds the directory "member" and its log, if need be where an
// interrupted call of this step has moved them.
func (a *adopt) find(ctx context.Context, w engine.World, r *restored) error {
	member, err := findMember(ctx, w, r.Snapshot, r.DataDir)
	if err != nil {
		return err
	}
	r.dataNow = member
	if member == "" {
		if member, err = r.halfWay(ctx, w); err != nil {
			return err
		}
	}
	if r.Adopt.Data, err = take(ctx, w, member, r.dataNow, "from"); err != nil {
		return err
	}
	if !r.Data.Existed && a.Owner == nil && a.Group == nil && (a.Member == nil || a.Member.UID == nil) {
		r.UID, r.GID = r.Adopt.Data.UID, r.Adopt.Data.GID
	}
	record, err := locate.ReadSource(ctx, w, filepath.Join(r.dataNow, adoptName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Adopt.Record = string(record)
	return a.findLog(ctx, w, r)
}

// halfWay finds where an interrupted call has moved the directory "member" to,
// and tells where it was.
func (r *restored) halfWay(ctx context.Context, w engine.World) (from string, err error) {
	from = r.Snapshot
	around, err := w.Stat(ctx, from)
	if err != nil {
		return "", err
	}
	if around.Exists {
		from = filepath.Join(from, "member")
	}
	r.dataNow, err = r.seek(func() (string, error) { return r.dataMove().half(ctx, w, filepath.Join("snap", "db")) })
	if err == nil && r.dataNow == "" {
		err = noMember(r.Snapshot)
	}
	return from, err
}

// seek looks under the names of this step, and of those before it: a call that
// had staged the log alone looks like another step of the run, which has taken
// the names.
func (r *restored) seek(look func() (string, error)) (string, error) {
	last := r.number
	for n := last; n > 0; n-- {
		r.renumber(n)
		if path, err := look(); err != nil || path != "" {
			return path, err
		}
	}
	r.renumber(last)
	return "", nil
}

// renumber gives the swaps the names of the nth step of the run.
func (r *restored) renumber(n int) {
	r.number = n
	for _, s := range r.swaps() {
		named := newSwap(s.Target, r.tag(), s.Old)
		named.Existed = s.Existed
		*s = named
	}
}

// half is where the directory is that holds the named file, under the names of
// a swap that was interrupted; empty if there is none.
func (m move) half(ctx context.Context, w engine.World, name string) (string, error) {
	fresh, err := w.Stat(ctx, m.swap.New)
	if err != nil {
		return "", err
	}
	places := []string{filepath.Join(m.swap.Partial, m.inner), filepath.Join(m.swap.New, m.below)}
	if fresh.Exists && fresh.Inode == m.swap.Old.Inode && m.inner == "member" {
		places = []string{filepath.Join(m.swap.Target, m.below)} // exchanged
	}
	for _, path := range places {
		fact, err := w.Stat(ctx, filepath.Join(path, name))
		if err != nil || fact.Exists {
			return path, err
		}
	}
	return "", nil
}

// findLog finds the log of a directory where etcd has another place for it.
func (a *adopt) findLog(ctx context.Context, w engine.World, r *restored) error {
	if rest, inside := below(r.WALDir, r.DataDir); inside && r.WALDir != "" && rest != "member/wal" {
		return notAdoptable(r.Snapshot, "etcd has its log at %s, inside of the data directory", r.WALDir).
			WithHint("Salvage it, which makes a new log: etcd_salvage with from = %q.", r.Snapshot)
	}
	r.logNow = filepath.Join(r.dataNow, "wal")
	if r.WAL == nil {
		if a.FromWAL != nil {
			return engine.Errorf(*a.FromWAL, "etcd is started without a directory of its own for the log").
				WithHint("Leave from_wal out.").WithAttribute("from_wal")
		}
		return nil
	}
	from := filepath.Clean(deref(a.FromWAL))
	if a.FromWAL == nil {
		from = filepath.Join(r.Adopt.Data.From, "wal")
	}
	r.Adopt.Log = &origin{From: from}
	if r.dataNow != r.Adopt.Data.From {
		return nil // the data comes after the log
	}
	for _, look := range []func() (string, error){
		func() (string, error) { return existing(ctx, w, from) },
		func() (string, error) { return existing(ctx, w, r.logNow) },
		func() (string, error) { return r.seek(func() (string, error) { return r.moves()[0].half(ctx, w, "") }) },
	} {
		now, err := look()
		if err != nil || now != "" {
			r.logNow = now
			log, taking := take(ctx, w, from, now, "from_wal")
			r.Adopt.Log = &log
			return errors.Join(err, taking)
		}
	}
	if a.FromWAL != nil {
		return engine.Errorf(from, "it is no directory").WithHint("Name the log that belongs to %s.", r.Snapshot).WithAttribute("from_wal")
	}
	r.WAL, r.Adopt.Log, r.logNow = nil, nil, r.WALDir // the one that is in place stays there
	return nil
}

// existing is the path, if there is something.
func existing(ctx context.Context, w engine.World, path string) (string, error) {
	fact, err := w.Stat(ctx, path)
	if err != nil || !fact.Exists {
		return "", err
	}
	return path, nil
}

// take looks at a directory that is to be moved, and is at now. All in it has to
// be what etcd makes: nothing else is given to another owner.
func take(ctx context.Context, w engine.World, from, now, attribute string) (origin, error) {
	if err := refuseLinked(ctx, w, from, attribute); err != nil {
		return origin{}, err
	}
	fact, err := w.Stat(ctx, now)
	if err != nil {
		return origin{}, err
	}
	if fact.Type != engine.TypeDirectory {
		return origin{}, engine.Errorf(from, "it is no directory").WithHint("Name the directory itself, and no link to it.").WithAttribute(attribute)
	}
	err = w.Walk(ctx, now, func(f engine.PathFact) error {
		if f.Type != engine.TypeDirectory && f.Type != engine.TypeFile {
			return engine.Errorf(f.Path, "it is neither a file nor a directory, and etcd makes nothing else").
				WithHint("Find out what it is, and take it away.").WithAttribute(attribute)
		}
		return nil
	})
	return origin{From: from, ID: identity{Inode: fact.Inode}, UID: fact.UID, GID: fact.GID, Mode: fact.Mode}, err
}
