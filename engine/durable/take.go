package durable

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Take gives a tree that somebody else has made to a user and a group, and its
// root the mode. A directory changes hands before what is in it, so that its
// owner can't put anything in the way; a file changes hands only if it has no
// other name, under which it may be somebody else's. Anything but files and
// directories is refused.
func Take(root string, uid, gid int, mode uint32) error {
	pin, err := OpenPin(root)
	if err != nil {
		return err
	}
	defer pin.Close()
	t := taking{uid: uid, gid: gid}
	err = t.directory(pin.fd, ".", root)
	if err == nil {
		err = unix.Fchmodat(pin.fd, ".", mode, 0)
	}
	if err != nil {
		return engine.Errorf(root, "giving it to user %d and group %d with mode %04o: %w", uid, gid, mode, err)
	}
	return nil
}

type taking struct{ uid, gid int }

// directory takes the directory called name in another one.
func (t taking) directory(parent int, name, path string) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close() // only read from
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (int(st.Uid) != t.uid || int(st.Gid) != t.gid) {
		err = unix.Fchown(fd, t.uid, t.gid)
	}
	if closed := st.Mode &^ 0o022 & 0o7777; err == nil && closed != st.Mode&0o7777 {
		err = unix.Fchmod(fd, closed)
	}
	if err != nil {
		return &os.PathError{Op: "chown", Path: path, Err: err}
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.entry(fd, name, filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// entry takes what is called name in a directory.
func (t taking) entry(dir int, name, path string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return t.directory(dir, name, path)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is neither a file nor a directory", path)
	case st.Nlink != 1:
		return fmt.Errorf("%s has %d names, and may be somebody else's under another one", path, st.Nlink)
	case int(st.Uid) == t.uid && int(st.Gid) == t.gid:
		return nil
	}
	if err := unix.Fchownat(fd, "", t.uid, t.gid, unix.AT_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "chown", Path: path, Err: err}
	}
	return nil
}
