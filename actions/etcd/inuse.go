package etcd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// refuseInUse fails where a process has the directory "member" open: etcd
// holds a lock on its database and on its log. The locks are only tried, on
// files opened for reading. walDir is where the log is, empty for its place
// in member.
func refuseInUse(member, walDir string) error {
	if walDir == "" {
		walDir = filepath.Join(member, "wal")
	}
	used, err := locked(filepath.Join(member, "snap", "db"), flocked)
	if err != nil {
		return err
	}
	logs, err := unseen.Find(filepath.Join(walDir, "*.wal"))
	if err != nil {
		return engine.Errorf(walDir, "listing the log: %w", err)
	}
	for _, path := range logs {
		if used {
			break
		}
		if used, err = locked(path, rangeLocked); err != nil {
			return err
		}
	}
	if used {
		return engine.Errorf(member, "the data directory is in use: a process, probably etcd, holds its lock").
			WithHint("Stop etcd and whatever starts it again (a unit, or the static pod's manifest), then try again.")
	}
	return nil
}

// locked opens the file and asks test whether another process locks it. An
// absent file isn't locked.
func locked(path string, test func(*os.File) (bool, error)) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, &engine.Error{Where: path, Err: err}
	}
	used, err := test(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, engine.Errorf(path, "looking for a lock: %w", err)
	}
	return used, nil
}

// flocked looks for the lock that bbolt takes. Closing the file gives ours up.
func flocked(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// rangeLocked looks for the lock that etcd takes on its log.
func rangeLocked(f *os.File) (bool, error) {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	err := syscall.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK, err
}
