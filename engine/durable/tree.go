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
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
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
	f, err := os.Open(path)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	return wrap(path, errors.Join(f.Sync(), f.Close()))
}

// RemoveAll removes a tree of the caller's own making, durably. It may be
// absent: whoever removed or renamed it may have been killed before that was
// on disk.
func RemoveAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	err := SyncDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nor is there a directory for it
	}
	return err
}
