package durable

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Rewrite puts data in place of the file at path, as WriteFile does, and leaves
// the file's mode and owner as they were. Where path is a symbolic link, what
// it leads to is rewritten and the link stays.
func Rewrite(path string, data []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	info, err := os.Stat(real)
	if err != nil {
		return &engine.Error{Where: real, Err: err}
	}
	tmp := filepath.Join(filepath.Dir(real), "."+filepath.Base(real)+".tmp")
	if err := unlink(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return &engine.Error{Where: tmp, Err: err}
	}
	err = fillSynced(tmp, info.Mode().Perm(), func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return &engine.Error{Where: tmp, Err: err}
		}
		return giveTo(f, info)
	})
	if err != nil {
		_ = unlink(tmp) // it is of no use to anybody
		return err
	}
	return Replace(tmp, real)
}

// giveTo gives a new file to the owner that info names, with its mode.
func giveTo(f *os.File, info os.FileInfo) error {
	want, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	var now unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &now)
	if err == nil && (now.Uid != want.Uid || now.Gid != want.Gid) {
		err = f.Chown(int(want.Uid), int(want.Gid))
	}
	if err == nil {
		err = f.Chmod(info.Mode().Perm()) // the umask has had its say
	}
	if err != nil {
		return engine.Errorf(f.Name(), "keeping the file's owner and mode: %w", err)
	}
	return nil
}
