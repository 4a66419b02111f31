// Package unseen opens files and directories without leaving a trace: not even
// the time of the last access changes, as far as the kernel grants that.
package unseen

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens path for reading. The kernel leaves the access time alone only
// for the owner and for root; for others the file is opened all the same. What
// would be below a file is as absent as what is below no directory.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOATIME|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOENT}
	}
	return f, err
}

// OpenFile is Open for libraries that want to choose flags and mode. It
// opens for reading, whatever they choose.
func OpenFile(path string, _ int, _ os.FileMode) (*os.File, error) { return Open(path) }

// ReadFile reads at most limit bytes of the file at path.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, errors.Join(err, f.Close())
}

// Glob lists what a pattern matches, as filepath.Glob does, and what it can't
// list matches nothing.
func Glob(pattern string) []string {
	found, _ := glob(pattern)
	return found
}

// Find is Glob that fails where it can't list what is there: for those who rely
// on what is not found.
func Find(pattern string) ([]string, error) {
	found, err := glob(pattern)
	return found, errors.Join(err...)
}

func glob(pattern string) (found []string, failed []error) {
	dir, base := filepath.Split(filepath.Clean(pattern))
	if dir == "" || base == "" {
		return nil, nil
	}
	dirs := []string{dir}
	if strings.ContainsAny(dir, "*?[") {
		dirs, failed = glob(dir)
	}
	for _, d := range dirs {
		entries, err := ReadDir(d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ENXIO) { // a socket is no directory either
			failed = append(failed, err)
		}
		for _, e := range entries {
			if ok, err := filepath.Match(base, e.Name()); err == nil && ok {
				found = append(found, filepath.Join(d, e.Name()))
			}
		}
	}
	return found, failed
}

// ReadDir lists a directory, in the order of the names.
func ReadDir(path string) ([]fs.DirEntry, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, errors.Join(err, f.Close())
}
