package etcd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// thisHost is the host as it is, for what a drill has to look at outside of a
// plan. The rest of engine.World isn't there: nothing that is rehearsed looks
// at units or walks trees.
type thisHost struct{ engine.World }

// Stat implements engine.World.
func (thisHost) Stat(_ context.Context, path string) (engine.PathFact, error) {
	fact := engine.PathFact{Path: path, Free: freeAt(path)}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return fact, nil
	}
	if err != nil {
		return fact, &engine.Error{Where: path, Err: err}
	}
	st := info.Sys().(*syscall.Stat_t)
	fact.Exists, fact.Type = true, engine.TypeOther
	fact.UID, fact.GID, fact.Mode = int(st.Uid), int(st.Gid), st.Mode&0o7777
	fact.Size, fact.Inode, fact.ModTime = info.Size(), st.Ino, info.ModTime()
	switch {
	case info.IsDir():
		fact.Type = engine.TypeDirectory
	case info.Mode().IsRegular():
		fact.Type = engine.TypeFile
	case info.Mode()&fs.ModeSymlink != 0:
		fact.Type = engine.TypeSymlink
		fact.Link, err = os.Readlink(path)
	}
	return fact, err
}

// freeAt is the space that is left at path, or at its nearest parent.
func freeAt(path string) int64 {
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err == nil {
			return int64(st.Bavail) * st.Bsize
		}
		if path == filepath.Dir(path) {
			return 0
		}
		path = filepath.Dir(path)
	}
}

// Source implements engine.World.
func (thisHost) Source(_ context.Context, path string) (string, error) {
	if _, err := os.Lstat(path); err != nil {
		return "", &engine.Error{Where: path, Err: err}
	}
	return path, nil
}

// Run implements engine.World. The name makes the drill's token another than
// that of any recovery.
func (thisHost) Run() engine.RunInfo { return engine.RunInfo{ID: "drill", Runbook: "runbook"} }
