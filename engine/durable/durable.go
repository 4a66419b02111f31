// Package durable is the one place from which names and small files reach the
// disk for good: write, fsync, rename, fsync the directory.
//
// A failed fsync is final. The kernel may have dropped the pages it could not
// write, so a second fsync that succeeds proves nothing; no caller may retry.
package durable

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Rename moves from to to, which must not exist, and returns once both
// directories are on disk. The error Is fs.ErrExist where to exists.
func Rename(from, to string) error {
	return rename(from, to, unix.RENAME_NOREPLACE)
}

// Replace moves from to to, in place of what may be there, and returns once
// both directories are on disk.
func Replace(from, to string) error { return rename(from, to, 0) }

func rename(from, to string, flags uint) error {
	err := at2(from, to, func(fromDir int, fromName string, toDir int, toName string) error {
		return unix.Renameat2(fromDir, fromName, toDir, toName, flags)
	})
	if err != nil {
		return renameError(from, to, err)
	}
	return SyncParents(from, to)
}

func renameError(from, to string, err error) error {
	e := engine.Errorf(from, "rename to %s: %w", to, err)
	switch {
	case errors.Is(err, unix.EXDEV):
		e.Hint = "Both have to be on one file system, in one mount."
	case errors.Is(err, unix.EBUSY):
		e.Hint = "It is a mount point or in use as one; see findmnt."
	case errors.Is(err, unix.EINVAL):
		e.Hint = "The file system may not know how to rename without replacing."
	}
	return e
}

// SyncParents makes the entries of both paths in their directories durable.
// It also completes a Rename that a crash cut off after its rename.
func SyncParents(a, b string) error {
	if err := SyncDir(filepath.Dir(a)); err != nil {
		return err
	}
	if filepath.Dir(a) == filepath.Dir(b) {
		return nil
	}
	return SyncDir(filepath.Dir(b))
}

// SyncDir makes the entries of directory dir durable.
func SyncDir(dir string) error {
	at, err := openDir(dir)
	if err != nil {
		return &engine.Error{Where: dir, Err: &os.PathError{Op: "open", Path: dir, Err: err}}
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &engine.Error{Where: dir, Err: &os.PathError{Op: "open", Path: dir, Err: err}}
	}
	f := os.NewFile(uintptr(fd), dir)
	return wrap(dir, errors.Join(f.Sync(), f.Close()))
}

// MkdirAll makes the directory dir, and what of its parents is missing, and
// returns once its name is on disk. It syncs where dir exists already too: a
// crash may have come between.
func MkdirAll(dir string, perm os.FileMode) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	made := Mkdir(dir, perm)
	if made != nil && !errors.Is(made, os.ErrExist) {
		return &engine.Error{Where: dir, Err: made}
	}
	err := SyncDir(parent)
	if made != nil && errors.Is(err, os.ErrPermission) {
		return nil // who may not even read the parent has not made dir in it
	}
	return err
}

// SyncFS makes everything on the file system of path durable, which is one
// wait where a whole tree has changed.
func SyncFS(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) {
		return SyncFS(filepath.Dir(path))
	}
	if err != nil {
		return engine.Errorf(path, "open: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Syncfs(fd); err != nil {
		return engine.Errorf(path, "syncfs: %w", err)
	}
	return nil
}

// WriteFile puts data at path, so that after a crash the file holds either
// all of data or what was there before. What an earlier crash left of the
// temporary file is overwritten.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := writeSynced(tmp, data, perm); err != nil {
		return err
	}
	return Replace(tmp, path)
}

func writeSynced(path string, data []byte, perm os.FileMode) error {
	if err := unlink(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &engine.Error{Where: path, Err: err}
	}
	return fillSynced(path, perm, func(f *os.File) error {
		_, err := f.Write(data)
		if err == nil {
			err = f.Chmod(perm) // the umask has had its say
		}
		return wrap(path, err)
	})
}

// Create makes a new file that only its owner can read, has fill complete it,
// and returns once the file and its name are on disk.
func Create(path string, fill func(*os.File) error) error {
	if err := fillSynced(path, 0o600, fill); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

func fillSynced(path string, perm os.FileMode, fill func(*os.File) error) error {
	f, err := Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	return wrap(path, errors.Join(f.Sync(), f.Close()))
}

func wrap(where string, err error) error {
	if err == nil {
		return nil
	}
	return &engine.Error{Where: where, Err: err}
}
