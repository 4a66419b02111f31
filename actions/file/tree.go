package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

const (
	setIDs     = unix.S_ISUID | unix.S_ISGID
	capability = "security.capability"
)

// entry is one file of a tree, held open so that what is looked at is what is
// changed, whatever its name comes to mean meanwhile.
type entry struct {
	path string
	fd   int // opened with O_PATH
	ids
	mode  uint32 // with the type
	inode uint64
	mount uint64
}

// walkTree calls fn for path and, if recursive, everything below it, in walk
// order. Every name is resolved relative to its open directory and never
// through a symbolic link, so that nobody who can write in the tree can lead
// the walk out of it. Other mounts are passed over, and what vanishes on the
// way too.
func walkTree(ctx context.Context, path string, recursive bool, fn func(entry) error) error {
	e, err := openEntry(unix.AT_FDCWD, path, path)
	if err != nil {
		return engine.Errorf(path, "open: %w", err)
	}
	defer unix.Close(e.fd)
	return e.walk(ctx, recursive, fn)
}

func openEntry(dir int, name, path string) (entry, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return entry{}, err
	}
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	if err != nil {
		unix.Close(fd)
		return entry{}, err
	}
	return entry{path: path, fd: fd, ids: ids{int(st.Uid), int(st.Gid)}, mode: uint32(st.Mode), inode: st.Ino, mount: st.Mnt_id}, nil
}

func (e entry) walk(ctx context.Context, recursive bool, fn func(entry) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := fn(e); err != nil {
		return err
	}
	if !recursive || e.mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	names, err := e.list()
	if err != nil {
		return &engine.Error{Where: e.path, Err: err}
	}
	for _, name := range names {
		if err := e.walkChild(ctx, name, fn); err != nil {
			return err
		}
	}
	return nil
}

func (e entry) childPath(name string) string {
	return strings.TrimSuffix(e.path, "/") + "/" + name
}

func (e entry) walkChild(ctx context.Context, name string, fn func(entry) error) error {
	path := e.childPath(name)
	child, err := openEntry(e.fd, name, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	defer unix.Close(child.fd)
	if child.mount != e.mount {
		return nil
	}
	return child.walk(ctx, true, fn)
}

// list returns the names in the directory e, sorted.
func (e entry) list() ([]string, error) {
	fd, err := unix.Openat(e.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), e.path)
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, dir.Close())
}

// chown gives e to its new owner, unless e is theirs already.
func (e entry) chown(to ids) error {
	if e.ids == to {
		return nil
	}
	if err := unix.Fchownat(e.fd, "", to.UID, to.GID, unix.AT_EMPTY_PATH); err != nil {
		return engine.Errorf(e.path, "chown: %w", err).
			WithHint("Is the file immutable (lsattr), or its file system read-only?")
	}
	return nil
}

// restore gives e its special bits and capability back. A mode that someone
// has changed otherwise meanwhile stays.
func (e entry) restore(s special) error {
	var st unix.Stat_t
	if err := unix.Fstat(e.fd, &st); err != nil {
		return engine.Errorf(e.path, "stat: %w", err)
	}
	mode := st.Mode & 0o7777
	if st.Mode&unix.S_IFMT != unix.S_IFREG || mode&^setIDs != s.Mode&^setIDs {
		return nil
	}
	if mode != s.Mode {
		if err := unix.Fchmodat(unix.AT_FDCWD, e.procPath(), s.Mode, 0); err != nil {
			return engine.Errorf(e.path, "chmod: %w", err)
		}
	}
	return e.restoreCapability(s.Capability)
}

func (e entry) restoreCapability(want []byte) error {
	if want == nil {
		return nil
	}
	got, err := readCapability(e.procPath(), unix.Getxattr)
	if err != nil || bytes.Equal(got, want) {
		return err
	}
	if err := unix.Setxattr(e.procPath(), capability, want, 0); err != nil {
		return engine.Errorf(e.path, "restoring its capabilities: %w", err)
	}
	return nil
}

// procPath leads to the open file itself.
func (e entry) procPath() string { return fdPath(e.fd) }

// plannedCapability reads the capabilities that the file at path will have;
// of one that an earlier step will have created, none are known.
func plannedCapability(ctx context.Context, w engine.World, path string) ([]byte, error) {
	now, err := w.Source(ctx, path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readCapability(now, unix.Lgetxattr)
}

func readCapability(path string, get func(string, string, []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 64) // the largest version of it takes 24
	n, err := get(path, capability, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, engine.Errorf(path, "reading its capabilities: %w", err)
	}
	return buf[:n], nil
}
