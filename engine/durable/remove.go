package durable

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// RemoveAll removes a tree of the caller's own making, durably. It may be
// absent: whoever removed or renamed it may have been killed before that was
// on disk. What somebody has mounted below it is left alone, and named.
func RemoveAll(path string) error {
	var below error
	err := At(path, func(dir int, name string) error {
		below = removeAll(dir, name, path)
		return nil
	})
	if err = cmp.Or(below, wrap(path, err)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = SyncDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nor is there a directory for it
	}
	return err
}

// removeAll removes name in dir, which is called path.
func removeAll(dir int, name, path string) error {
	err := unix.Unlinkat(dir, name, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return mounted(path)
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM):
		return wrap(path, err)
	}
	fd, notDir := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(notDir, unix.ENOTDIR) {
		return wrap(path, err)
	}
	if notDir != nil {
		return wrap(path, notDir)
	}
	if err := removeBelow(dir, os.NewFile(uintptr(fd), path)); err != nil {
		return err
	}
	if err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); errors.Is(err, unix.EBUSY) {
		return mounted(path)
	}
	return wrap(path, err)
}

// removeBelow removes what is in a directory of dir's, unless that is another mount. It
// closes the directory.
func removeBelow(dir int, f *os.File) error {
	defer f.Close() // only read from
	fd := int(f.Fd())
	outside, err := mountOf(dir)
	if err != nil {
		return err
	}
	inside, err := mountOf(fd)
	if err != nil {
		return err
	}
	if inside != outside {
		return mounted(f.Name())
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return wrap(f.Name(), err)
	}
	for _, name := range names {
		err := removeAll(fd, name, filepath.Join(f.Name(), name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func mounted(path string) error {
	return engine.Errorf(path, "something is mounted here, which isn't deleted").WithHint("Unmount it (umount %s), then do this again", path)
}

// mountOf identifies the mount that an open file is on, see proc(5). Two mounts of one
// file system differ in it.
func mountOf(fd int) (string, error) {
	path := fmt.Sprintf("/proc/self/fdinfo/%d", fd)
	info, err := os.ReadFile(path)
	if err != nil {
		return "", &engine.Error{Where: path, Err: err}
	}
	for line := range bytes.Lines(info) {
		if id, ok := bytes.CutPrefix(line, []byte("mnt_id:")); ok {
			return string(bytes.TrimSpace(id)), nil
		}
	}
	return "", engine.Errorf(path, "it doesn't tell the mount")
}
