package staticpod

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// place moves one manifest, however far an earlier call got. It is known by its
// content, since on another file system it is another file.
func (m moved) place(p movedPod) error {
	from, to := filepath.Join(m.From, p.File), filepath.Join(m.To, p.File)
	if p.SHA256 == "" {
		return engine.Errorf(from, "the step was planned before an earlier one wrote this").
			WithHint("Plan it again now that the earlier step is done.")
	}
	here, err := digestAt(from)
	if err != nil {
		return err
	}
	there, err := digestAt(to)
	if err != nil {
		return err
	}
	staging := filepath.Join(m.To, p.Staging)
	switch {
	case here == "" && there == p.SHA256:
		return syncParents(from, to)
	case here == p.SHA256 && there == p.SHA256: // copied, not removed yet
		return durable.RemoveAll(from)
	case here == p.SHA256 && there == "":
		return moveFile(from, staging, to)
	case there != "" && there != p.SHA256:
		return engine.Errorf(to, "something has appeared here since the step was planned").
			WithHint("Move it aside, then resume the run.")
	}
	return engine.Errorf(from, "something else is here than when the step was planned").
		WithHint("Look who has changed it, then plan again.")
}

// syncParents completes a move that a crash cut off. The directory that the
// manifest was in may be gone by now.
func syncParents(from, to string) error {
	if err := durable.SyncDir(filepath.Dir(from)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(to))
}

func digestAt(path string) (string, error) {
	data, _, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return digest(data), err
}

// readFile reads the regular file at path itself, and tells whose it is. Who may
// write in its directory could put a link to another's file in its place, or a
// pipe.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := durable.Open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &engine.Error{Where: path, Err: err}
	}
	return readRegular(f)
}

// readRegular reads an open file and closes it. Of a pipe nobody may ever come to
// the end, so it has to be opened with O_NONBLOCK, and isn't read.
func readRegular(f *os.File) (data []byte, info fs.FileInfo, err error) {
	defer f.Close() // only read from
	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	if err == nil {
		data, err = io.ReadAll(f)
	}
	if err != nil {
		return nil, nil, &engine.Error{Where: f.Name(), Err: err}
	}
	return data, info, nil
}

// readLinked is readFile where a link may be followed: while planning.
func readLinked(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	data, _, err := readRegular(f)
	return data, err
}

// moveFile renames a file, or copies it to staging, puts the copy in place and
// removes the file. The name of staging has to begin with a dot, so that
// kubelet passes it over.
func moveFile(from, staging, to string) error {
	err := durable.RemoveAll(staging)
	if err != nil {
		return err
	}
	if err = durable.Rename(from, to); !errors.Is(err, unix.EXDEV) {
		return err
	}
	if err := copyFile(from, staging); err != nil {
		return err
	}
	if err := durable.Rename(staging, to); err != nil {
		return err
	}
	return durable.RemoveAll(from)
}

// copyFile makes a new file with the content, the owner, the mode and the time
// of another one.
func copyFile(from, to string) error {
	data, info, err := readFile(from)
	if err != nil {
		return err
	}
	return writeLike(info, to, data, true)
}

// writeLike makes a new file with the owner and the mode of another one, and
// where keepTime is set its time.
func writeLike(like fs.FileInfo, path string, data []byte, keepTime bool) error {
	return durable.Create(path, func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return &engine.Error{Where: path, Err: err}
		}
		owner := like.Sys().(*syscall.Stat_t)
		err := f.Chown(int(owner.Uid), int(owner.Gid))
		if err == nil {
			err = f.Chmod(like.Mode())
		}
		if err == nil && keepTime {
			at := unix.NsecToTimespec(like.ModTime().UnixNano())
			err = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{at, at}, 0)
		}
		if err != nil {
			return engine.Errorf(path, "giving it owner, mode and time of %s: %w", like.Name(), err)
		}
		return nil
	})
}
