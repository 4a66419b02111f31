package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// entry is one file of a tree, held open so that what is looked at is what is
// changed, whatever its name comes to mean meanwhile.
type entry struct {
	path string
	fd   int // opened with O_PATH
	ids
	thing
	mode  uint32 // with the type
	links uint32
	mount uint64
}

// walkTree calls fn for path and, if recursive, everything below it, in walk
// order. Every name is resolved relative to its open directory and never
// through a symbolic link, so that nobody who can write in the tree can lead
// the walk out of it. Other mounts are passed over, and what vanishes on the
// way too.
func walkTree(ctx context.Context, path string, recursive bool, fn func(entry) error) error {
	e, err := openAt(path)
	if err != nil {
		return engine.Errorf(path, "open: %w", err)
	}
	defer unix.Close(e.fd)
	return e.walk(ctx, recursive, fn)
}

// openAt opens what is at path, and follows no link that is not to be trusted.
func openAt(path string) (e entry, err error) {
	err = durable.At(path, func(dir int, name string) (err error) {
		e, err = openEntry(dir, name, path)
		return err
	})
	return e, err
}

func openEntry(dir int, name, path string) (entry, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return entry{}, err
	}
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME|unix.STATX_MNT_ID, &st)
	if err != nil {
		unix.Close(fd)
		return entry{}, err
	}
	return entry{
		path: path, fd: fd, ids: ids{int(st.Uid), int(st.Gid)}, mode: uint32(st.Mode), links: st.Nlink, thing: thingOf(st), mount: st.Mnt_id,
	}, nil
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

// info is what os.Lstat would tell of e.
func (e entry) info() (fs.FileInfo, error) {
	fd, err := unix.FcntlInt(uintptr(e.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), e.path)
	info, err := f.Stat()
	return info, errors.Join(err, f.Close())
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

// procPath leads to the open file itself.
func (e entry) procPath() string { return fdPath(e.fd) }
