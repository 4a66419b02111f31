// Package durable changes a file system so that what it reports done is on
// disk. Everything runs on the calling goroutine. A failed sync is final and
// never tried again: the kernel may have dropped the pages meanwhile.
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

// WriteFile writes a new file and syncs it. Its directory is left to the
// caller to sync, who usually has more to put there.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return failed(path, err)
	}
	_, err = f.Write(data)
	return errors.Join(failed(path, err), syncAndClose(f))
}

// Sync syncs the file or directory at path.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return failed(path, err)
	}
	return syncAndClose(f)
}

func syncAndClose(f *os.File) error {
	err := f.Sync()
	return errors.Join(failed(f.Name(), err), failed(f.Name(), f.Close()))
}

// SyncTree syncs root, everything below it, and the directory it is in.
func SyncTree(root string) error {
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return failed(path, err)
		}
		if d.IsDir() || d.Type().IsRegular() {
			return Sync(path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return Sync(filepath.Dir(root))
}

// Rename gives what is at from the name to, which must be free and in the
// same directory. It fails with an error that Is fs.ErrExist where it isn't.
func Rename(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if unsupported(err) {
		err = renameIfFree(from, to)
	}
	if err != nil {
		return failed(from, &os.LinkError{Op: "rename", Old: from, New: to, Err: err})
	}
	return Sync(filepath.Dir(to))
}

// renameIfFree is for file systems without RENAME_NOREPLACE.
func renameIfFree(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return unix.Rename(from, to)
}

// Exchange makes the two names in one directory change places, with no
// instant at which either is absent. Where the file system can't do that, it
// changes nothing and returns ErrExchange.
func Exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if unsupported(err) {
		return ErrExchange
	}
	if err != nil {
		return failed(a, &os.LinkError{Op: "exchange", Old: a, New: b, Err: err})
	}
	return Sync(filepath.Dir(a))
}

func unsupported(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP)
}

// RemoveAll removes a tree of runbook's own making.
func RemoveAll(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return failed(path, err)
	}
	return Sync(filepath.Dir(path))
}

func failed(path string, err error) error {
	if err == nil {
		return nil
	}
	return &engine.Error{Where: path, Err: err}
}
