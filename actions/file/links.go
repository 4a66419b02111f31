package file

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// manyNames are the files of several names (hard links) that a walk meets. What
// is done to one name is done to all, wherever they are.
type manyNames struct {
	found map[uint64]*manyNamed
	first *manyNamed // of those that must not be touched
}

type manyNamed struct {
	path  string // the first of its names
	inode uint64
	names uint32 // how many it has
	seen  uint32 // how many were met
}

// add counts a name. Who may write in a directory may have put a name of
// anybody's file there, and may move it about while it is counted: there, one
// is too many.
func (m *manyNames) add(ctx context.Context, w engine.World, f engine.PathFact) error {
	if f.Type == engine.TypeDirectory {
		return nil
	}
	now, err := w.Source(ctx, f.Path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		return nil // what an earlier step makes has one name
	}
	var st unix.Stat_t
	if err == nil {
		err = lstatInto(now, &st)
	}
	if err != nil || st.Nlink < 2 {
		return passVanished(err)
	}
	file := m.found[st.Ino]
	if file == nil {
		if m.found == nil {
			m.found = map[uint64]*manyNamed{}
		}
		file = &manyNamed{path: f.Path, inode: st.Ino, names: uint32(st.Nlink)}
		m.found[st.Ino] = file
	}
	file.seen++
	dir, err := w.Stat(ctx, filepath.Dir(f.Path))
	if err == nil && m.first == nil && (!durable.Trusted(dir.UID) || dir.Mode&0o022 != 0) {
		m.first = file
	}
	return err
}

// refuse says which file must not be touched, if one must not. Of a single file
// that was named, the other names are known to who named it.
func (m *manyNames) refuse(single bool) error {
	first := m.first
	for _, file := range m.found {
		if !single && file.seen < file.names && (first == nil || file.path < first.path) {
			first = file
		}
	}
	if first == nil {
		return nil
	}
	return elsewhere(first.path, first.inode)
}

// inTree are the files all of whose names were met.
func (m *manyNames) inTree() map[uint64]uint32 {
	all := map[uint64]uint32{}
	for inode, file := range m.found {
		all[inode] = file.names
	}
	return all
}

// manyNamed reports whether e is a file of several names.
func (e entry) manyNamed() bool { return e.links > 1 && e.mode&unix.S_IFMT != unix.S_IFDIR }

func elsewhere(path string, inode uint64) *engine.Error {
	return engine.Errorf(path, "the file may have another name outside of this directory (it is a hard link), and its owner would change there too").
		WithHint("Find its names with: find / -xdev -inum %d. Put a copy of its own here (cp -a), or move it away.", inode).WithAttribute("path")
}
