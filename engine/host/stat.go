package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// lstat reads the facts of path as it is now.
func lstat(path string) (engine.PathFact, error) {
	fact := engine.PathFact{Path: path}
	free, err := freeBytes(path)
	if err != nil {
		return fact, err
	}
	fact.Free = free
	info, err := os.Lstat(path)
	if absent(err) {
		return fact, nil
	}
	if err != nil {
		return fact, &engine.Error{Where: path, Err: err}
	}
	return fill(fact, info)
}

// absent reports whether err says that nothing is at a path; a parent that
// isn't a directory says so too.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

func fill(fact engine.PathFact, info fs.FileInfo) (engine.PathFact, error) {
	st := info.Sys().(*syscall.Stat_t)
	fact.Exists = true
	fact.UID, fact.GID = int(st.Uid), int(st.Gid)
	fact.Owner, fact.Group = userName(fact.UID), groupName(fact.GID)
	fact.Mode = st.Mode & 0o7777
	fact.Size = st.Size
	fact.Device, fact.Inode = st.Dev, st.Ino
	fact.ModTime = info.ModTime()
	switch info.Mode().Type() {
	case 0:
		fact.Type = engine.TypeFile
	case fs.ModeDir:
		fact.Type = engine.TypeDirectory
	case fs.ModeSymlink:
		fact.Type = engine.TypeSymlink
		link, err := os.Readlink(fact.Path)
		if err != nil {
			return fact, &engine.Error{Where: fact.Path, Err: err}
		}
		fact.Link = link
	default:
		fact.Type = engine.TypeOther
	}
	return fact, nil
}

// freeBytes is the space left on the file system of path or its nearest
// existing parent.
func freeBytes(path string) (int64, error) {
	for p := path; ; p = filepath.Dir(p) {
		var st unix.Statfs_t
		err := unix.Statfs(p, &st)
		if err == nil {
			return int64(st.Bavail) * st.Bsize, nil
		}
		if !absent(err) || p == filepath.Dir(p) {
			return 0, engine.Errorf(p, "statfs: %w", err)
		}
	}
}

// mountID identifies the mount that path itself is in.
func mountID(path string) (uint64, error) {
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_MNT_ID, &st); err != nil {
		return 0, engine.Errorf(path, "statx: %w", err)
	}
	return st.Mnt_id, nil
}

// names remembers user and group names: a walk asks for the same few again
// and again. An entry lives as long as the process, which a rename of a user
// in the middle of a recovery does not justify to shorten.
var names sync.Map

func userName(uid int) string {
	return cachedName("u", uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func groupName(gid int) string {
	return cachedName("g", gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// cachedName is the name that lookup finds, or the number where it finds none.
func cachedName(kind string, num int, lookup func(string) (string, error)) string {
	id := strconv.Itoa(num)
	if name, ok := names.Load(kind + id); ok {
		return name.(string)
	}
	name, err := lookup(id)
	if err != nil {
		name = id
	}
	names.Store(kind+id, name)
	return name
}

func sha256File(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &engine.Error{Where: path, Err: err}
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", &engine.Error{Where: path, Err: err}
		}
	}
	return "", ctx.Err()
}
