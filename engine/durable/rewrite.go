package durable

import (
	"os"
	"path/filepath"
	"syscall"

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
	if err := writeSynced(tmp, data, info.Mode().Perm()); err != nil {
		return err
	}
	if err := giveTo(tmp, info); err != nil {
		return err
	}
	return Replace(tmp, real)
}

// giveTo gives the file at path to the owner that info names.
func giveTo(path string, info os.FileInfo) error {
	want, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := os.Stat(path)
	if err != nil {
		return &engine.Error{Where: path, Err: err}
	}
	if st, ok := now.Sys().(*syscall.Stat_t); ok && st.Uid == want.Uid && st.Gid == want.Gid {
		return nil
	}
	if err := os.Lchown(path, int(want.Uid), int(want.Gid)); err != nil {
		_ = os.Remove(path) // it is of no use to anybody
		return engine.Errorf(path, "keeping the file's owner: %w", err)
	}
	return nil
}
