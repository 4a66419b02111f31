package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// ErrExchange says that the file system can't exchange two names at once.
var ErrExchange = errors.New("the file system can't exchange two names")

// Exchange makes the two names in one directory change places, with no
// instant at which either is absent. Where the file system can't do that, it
// changes nothing and returns ErrExchange.
func Exchange(a, b string) error {
	err := at2(a, b, func(dirA int, nameA string, dirB int, nameB string) error {
		return unix.Renameat2(dirA, nameA, dirB, nameB, unix.RENAME_EXCHANGE)
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return ErrExchange
	}
	if err != nil {
		return engine.Errorf(a, "exchange with %s: %w", b, err)
	}
	return SyncParents(a, b)
}

// SyncTree makes root, everything below it and its own entry durable.
func SyncTree(root string) error {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return &engine.Error{Where: path, Err: err}
		case d.IsDir():
			return SyncDir(path)
		case d.Type().IsRegular():
			return syncFile(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(root))
}

func syncFile(path string) error {
	f, err := Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	return wrap(path, errors.Join(f.Sync(), f.Close()))
}

func unlink(path string) error {
	return At(path, func(dir int, name string) error { return unix.Unlinkat(dir, name, 0) })
}

// Give makes a tree of the caller's own making that of a user and a group, and
// then gives its root, which alone may be reached by others, the mode. What is
// in a directory changes hands before it does, so that nobody can put anything
// in the way.
func Give(root string, uid, gid int, mode uint32) error {
	pin, err := OpenPin(root)
	if err != nil {
		return err
	}
	defer pin.Close()
	tree, err := os.OpenRoot(pin.Path)
	if err != nil {
		return &engine.Error{Where: root, Err: err}
	}
	defer tree.Close()
	err = giveBelow(tree, ".", uid, gid)
	if err == nil {
		err = giveTop(tree, uid, gid, mode)
	}
	if err != nil {
		return engine.Errorf(root, "giving it to user %d and group %d with mode %04o: %w", uid, gid, mode, err)
	}
	return nil
}

// giveTop sets the mode last: a change of the owner takes special bits away.
func giveTop(tree *os.Root, uid, gid int, mode uint32) error {
	top, err := tree.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(top.Chown(uid, gid), unix.Fchmod(int(top.Fd()), mode), top.Close())
}

func giveBelow(tree *os.Root, dir string, uid, gid int) error {
	entries, err := fs.ReadDir(tree.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if err := giveBelow(tree, path, uid, gid); err != nil {
				return err
			}
		}
		if err := tree.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}
