package power

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// private gives the calling goroutine mounts of its own, for good: its thread
// ends with it. What it starts has the same.
func private(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	must(t, "own mounts, which takes root", unix.Unshare(unix.CLONE_NEWNS))
	must(t, "own mounts", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	unix.Umask(umask)
}

// mount puts an empty disk at root. It is a tmpfs: that numbers its inodes one
// after the other as they are made, so that a tree can be laid out with the
// numbers that it had, by which the product knows things again.
func mount(t testing.TB, root string) {
	t.Helper()
	if err := unix.Unmount(root, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		t.Fatalf("unmount: %v", err)
	}
	must(t, "mount", unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"))
}

// layOut makes a directory tree of what of d can be reached, on an empty disk
// at root. Whatever is made afterwards has the number next or a later one.
func (d disk) layOut(t testing.TB, root string, next uint64) {
	t.Helper()
	names := map[uint64][]string{}
	d.walk(func(path string, ino uint64, _ *inode) { names[ino] = append(names[ino], path) })
	made := func(ino uint64) string { return filepath.Join(root, fmt.Sprintf(".inode-%d", ino)) }
	for ino := uint64(rootInode + 1); ino < next; ino++ {
		if names[ino] == nil { // somebody else had the number
			must(t, "passing a number over", unix.Mknod(made(ino), unix.S_IFREG|0o600, 0))
			must(t, "passing a number over", unix.Unlink(made(ino)))
			continue
		}
		must(t, "laying out "+names[ino][0], d[ino].make(made(ino)))
	}
	// Parents come before what is in them.
	d.walk(func(path string, ino uint64, _ *inode) {
		if ino == rootInode {
			return
		}
		if len(names[ino]) == 1 {
			must(t, "naming", os.Rename(made(ino), root+path))
			return
		}
		must(t, "naming", os.Link(made(ino), root+path))
	})
	for ino, all := range names {
		if len(all) > 1 {
			must(t, "naming", os.Remove(made(ino)))
		}
	}
	d.walk(func(path string, ino uint64, n *inode) {
		if n.mtime != 0 {
			at := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(n.mtime)}
			must(t, "time of "+path, unix.UtimesNanoAt(unix.AT_FDCWD, root+path, at, unix.AT_SYMLINK_NOFOLLOW))
		}
		if got, err := inodeOf(root + path); err != nil || got != ino {
			t.Fatalf("%s was laid out as inode %d, not %d: %v", path, got, ino, err)
		}
	})
}

func (n *inode) make(path string) error {
	var err error
	switch n.kind {
	case 'd':
		err = os.Mkdir(path, 0o700)
	case 'l':
		return errors.Join(os.Symlink(n.link, path), os.Lchown(path, n.uid, n.gid))
	case 'f':
		err = n.fill(path)
	}
	return errors.Join(err, os.Lchown(path, n.uid, n.gid), unix.Chmod(path, n.mode))
}

func (n *inode) fill(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(n.size)
	for number, b := range n.blocks {
		at := number * blockSize
		_, werr := f.WriteAt(b[:min(blockSize, n.size-at)], at)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, f.Close())
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// readDisk reads the tree at root. Times from since on are left out: what is
// written again has another one.
func readDisk(t testing.TB, root string, since time.Time) disk {
	t.Helper()
	d := disk{}
	must(t, "reading the disk", filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		if path != root {
			parent, err := inodeOf(filepath.Dir(path))
			if err != nil {
				return err
			}
			d.change(parent, func(n *inode) { n.set(filepath.Base(path), st.Ino) })
		}
		if d[st.Ino] == nil {
			d[st.Ino], err = readInode(path, info, st, since)
		}
		return err
	}))
	return d
}

func readInode(path string, info fs.FileInfo, st *syscall.Stat_t, since time.Time) (*inode, error) {
	n := &inode{mode: st.Mode & 0o7777, uid: int(st.Uid), gid: int(st.Gid)}
	if info.ModTime().Before(since) {
		n.mtime = info.ModTime().UnixNano()
	}
	var err error
	switch info.Mode().Type() {
	case fs.ModeDir:
		n.kind = 'd'
	case fs.ModeSymlink:
		n.kind = 'l'
		n.link, err = os.Readlink(path)
	case 0:
		n.kind = 'f'
		err = n.readBlocks(path)
	default:
		err = fmt.Errorf("%s is a %v, which the model doesn't know", path, info.Mode())
	}
	return n, err
}

func (n *inode) readBlocks(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n.size, n.blocks = int64(len(data)), map[int64][]byte{}
	for at := int64(0); at < n.size; at += blockSize {
		b := data[at:min(at+blockSize, n.size)]
		if !bytes.Equal(b, zeros[:len(b)]) {
			full := make([]byte, blockSize)
			copy(full, b)
			n.blocks[at/blockSize] = full
		}
	}
	return nil
}

// nextInode is the number of what is made next on the disk at root.
func nextInode(t testing.TB, root string) uint64 {
	t.Helper()
	probe := filepath.Join(root, ".probe")
	must(t, "probe", unix.Mknod(probe, unix.S_IFREG|0o600, 0))
	ino, err := inodeOf(probe)
	must(t, "probe", errors.Join(err, unix.Unlink(probe)))
	return ino + 1
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
