package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// copier copies one tree. Both sides are resolved relative to their open
// directories, and what it makes belongs to nobody else before it is complete.
type copier struct {
	ctx         context.Context
	report      engine.Reporter
	from, to    string
	origin      uint64 // the inode of from, where it is known
	done, total int64
	root        int // the copied directory, where hard links are found again
	links       map[fileID]*firstLink
}

type fileID struct{ dev, inode uint64 }

// firstLink is the copy of a file of several names, and how many of them may
// be still to come.
type firstLink struct {
	path string // relative to the root
	left uint64
}

func (c *copier) run() error {
	e, err := openAt(c.from)
	if err != nil {
		return engine.Errorf(c.from, "open: %w", err)
	}
	defer unix.Close(e.fd)
	if c.origin != 0 && e.Inode != c.origin {
		return replaced(c.from)
	}
	c.root = -1
	var failed error // at the copying, as opposed to the opening
	err = durable.At(c.to, func(dir int, name string) error {
		failed = c.entry(e, dir, name)
		return nil
	})
	if err != nil {
		return engine.Errorf(filepath.Dir(c.to), "open: %w", err)
	}
	return failed
}

// entry copies one entry, with what is below it, to name in dir.
func (c *copier) entry(e entry, dir int, name string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(e.fd, &st); err != nil {
		return engine.Errorf(e.path, "stat: %w", err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return c.directory(e, st, dir, name)
	}
	if linked, err := c.link(e, st, dir, name); linked || err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return c.file(e, st, dir, name)
	case unix.S_IFLNK:
		return c.symlink(e, st, dir, name)
	}
	return c.special(e, st, dir, name)
}

func (c *copier) directory(e entry, st unix.Stat_t, dir int, name string) error {
	if err := unix.Mkdirat(dir, name, 0o700); err != nil {
		return c.failed(e, "mkdir", err)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return c.failed(e, "open", err)
	}
	defer unix.Close(fd)
	if err := c.made(e, fd, unix.S_IFDIR); err != nil {
		return err
	}
	if c.root < 0 {
		c.root = fd
	}
	names, err := e.list()
	if err != nil {
		return &engine.Error{Where: e.path, Err: err}
	}
	for _, child := range names {
		if err := c.child(e, child, fd); err != nil {
			return err
		}
	}
	return c.finish(e, st, fd)
}

func (c *copier) child(e entry, name string, dir int) error {
	child, err := openEntry(e.fd, name, e.childPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return changing(e.childPath(name))
	}
	if err != nil {
		return &engine.Error{Where: e.childPath(name), Err: err}
	}
	defer unix.Close(child.fd)
	if child.mount != e.mount {
		return engine.Errorf(child.path, "another file system has been mounted here since the step was planned").
			WithHint("Unmount it, then resume the run.")
	}
	return c.entry(child, dir, name)
}

// link makes a hard link where another name of the file was copied before.
func (c *copier) link(e entry, st unix.Stat_t, dir int, name string) (bool, error) {
	if st.Nlink < 2 || c.root < 0 {
		return false, nil
	}
	id := fileID{st.Dev, st.Ino}
	first := c.links[id]
	if first == nil {
		c.links[id] = &firstLink{path: e.path[len(c.from)+1:], left: uint64(st.Nlink) - 1}
		return false, nil
	}
	if first.left--; first.left == 0 {
		delete(c.links, id)
	}
	if err := unix.Linkat(c.root, first.path, dir, name, 0); err != nil {
		return true, c.failed(e, "link", err)
	}
	return true, nil
}

func (c *copier) file(e entry, st unix.Stat_t, dir int, name string) error {
	src, err := os.OpenFile(e.procPath(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return engine.Errorf(e.path, "open: %w", errors.Unwrap(err))
	}
	defer src.Close()
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return c.failed(e, "create", err)
	}
	dst := os.NewFile(uintptr(fd), name)
	err = c.data(e, src, dst, st)
	if err == nil {
		err = c.finish(e, st, fd)
	}
	if closed := dst.Close(); err == nil && closed != nil {
		err = c.failed(e, "close", closed)
	}
	return err
}

func (c *copier) symlink(e entry, st unix.Stat_t, dir int, name string) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(e.fd, "", buf)
	if err != nil {
		return engine.Errorf(e.path, "readlink: %w", err)
	}
	if err := unix.Symlinkat(string(buf[:n]), dir, name); err != nil {
		return c.failed(e, "symlink", err)
	}
	return c.finishAt(e, st, dir, name)
}

// special copies pipes, sockets and devices.
func (c *copier) special(e entry, st unix.Stat_t, dir int, name string) error {
	if err := unix.Mknodat(dir, name, st.Mode&unix.S_IFMT|0o600, int(st.Rdev)); err != nil {
		return c.failed(e, "mknod", err)
	}
	return c.finishAt(e, st, dir, name)
}

// made fails unless what is open at fd is of that kind and as it was just made.
// Who may write in the directory could have put something else there.
func (c *copier) made(e entry, fd int, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return c.failed(e, "stat", err)
	}
	if st.Mode&unix.S_IFMT != kind || int(st.Uid) != os.Geteuid() {
		return engine.Errorf(c.pathOf(e), "somebody has put something else in the place of what was just made").
			WithHint("Look who may write in that directory, then resume the run.")
	}
	return nil
}

// finishAt gives what is no file or directory its owner, mode and times.
func (c *copier) finishAt(e entry, st unix.Stat_t, dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return c.failed(e, "open", err)
	}
	defer unix.Close(fd)
	if err := c.made(e, fd, st.Mode&unix.S_IFMT); err != nil {
		return err
	}
	if err := unix.Fchownat(fd, "", int(st.Uid), int(st.Gid), unix.AT_EMPTY_PATH); err != nil {
		return c.failed(e, "chown", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(unix.AT_FDCWD, fdPath(fd), st.Mode&0o7777, 0); err != nil {
			return c.failed(e, "chmod", err)
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return c.failed(e, "setting the times", err)
	}
	return nil
}

// finish gives a complete file or directory its owner, mode, attributes and
// times. Capabilities go when the owner changes, and times when anything does.
func (c *copier) finish(e entry, st unix.Stat_t, fd int) error {
	its := rights{ids: ids{int(st.Uid), int(st.Gid)}, Mode: st.Mode & 0o7777}
	if err := its.give(fd, c.pathOf(e)); err != nil {
		return err
	}
	all, err := attributes(e.procPath(), true)
	if err != nil {
		return err
	}
	if err := setAttributes(fdPath(fd), true, all); err != nil {
		if inner := (*engine.Error)(nil); errors.As(err, &inner) {
			inner.Where = c.pathOf(e)
		}
		return err
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fdPath(fd), []unix.Timespec{st.Atim, st.Mtim}, 0); err != nil {
		return c.failed(e, "setting the times", err)
	}
	return nil
}

// pathOf is where the copy of e is made.
func (c *copier) pathOf(e entry) string { return c.to + e.path[len(c.from):] }

func (c *copier) failed(e entry, what string, err error) error {
	failure := engine.Errorf(c.pathOf(e), "%s: %w", what, err)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		failure.Hint = "Make room there, then resume the run; the copy begins afresh."
	}
	return failure
}

func changing(path string) error {
	return engine.Errorf(path, "it has changed while it was copied").
		WithHint("Stop who writes there, then resume the run; the copy begins afresh.")
}
