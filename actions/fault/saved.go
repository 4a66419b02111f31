package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// A wound is damage to one file: what is from Offset on, up to Length bytes of
// it, is saved in the file Kept before it is overwritten or cut off.
type wound struct {
	Path    string    `json:"path"`
	Inode   uint64    `json:"inode"`
	Offset  int64     `json:"offset"`
	Length  int64     `json:"length"` // at most; in bytes
	ModTime time.Time `json:"mod_time"`
	Kept    string    `json:"kept"`
}

// damage is the record of a step that damages files: all of them are saved
// before the first is touched.
type damage struct {
	Dir    string  `json:"dir"` // holds the saved bytes
	Wounds []wound `json:"wounds"`
}

// save saves what is about to be destroyed. What a crash left half saved is
// saved again: nothing has been damaged by then.
func (d damage) save() error {
	if err := durable.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	for _, w := range d.Wounds {
		if err := w.save(); err != nil {
			return err
		}
	}
	return nil
}

func (w wound) save() error {
	if _, err := os.Lstat(w.Kept); !errors.Is(err, fs.ErrNotExist) {
		return durable.SyncDir(filepath.Dir(w.Kept))
	}
	from, err := w.openWhole(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close() // only read
	half := w.Kept + ".half"
	if err := durable.RemoveAll(half); err != nil {
		return err
	}
	err = durable.Create(half, func(to *os.File) error {
		_, err := io.Copy(to, io.NewSectionReader(from, w.Offset, w.Length))
		return err
	})
	if err != nil {
		return engine.Errorf(w.Path, "saving it before it is damaged: %w", err).
			WithHint("Nothing has been damaged. Make room in %s or choose another keep_in, then resume.", filepath.Dir(w.Kept))
	}
	return durable.Rename(half, w.Kept)
}

// open opens the file that was planned with, and no other.
func (w wound) open(flag int) (*os.File, error) {
	f, err := durable.Open(w.Path, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, engine.Errorf(w.Path, "open: %w", err).WithHint("Something has moved or deleted it since the step was planned; find it before going on.")
	}
	info, err := f.Stat()
	if err == nil && info.Sys().(*syscall.Stat_t).Ino != w.Inode {
		err = engine.Errorf(w.Path, "it is another file than when the step was planned").WithHint("Look who has replaced it, then plan again.")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openWhole is open before the damage is done: to a file of no other name. One
// that has several may have been made by who could never damage it themselves.
func (w wound) openWhole(flag int) (*os.File, error) {
	f, err := w.open(flag)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && st.Nlink > 1 {
		err = otherNames(w.Path, st.Ino)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// oneName refuses a file of several names while planning. What an earlier step
// makes has one.
func oneName(ctx context.Context, w engine.World, path string) error {
	now, err := w.Source(ctx, path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := durable.Lstat(now)
	if err == nil && st.Nlink > 1 {
		return otherNames(path, st.Ino)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func otherNames(path string, inode uint64) error {
	return engine.Errorf(path, "it has another name too (it is a hard link), and would be damaged there as well").
		WithHint("Find its names with: find / -xdev -inum %d. Put a copy of its own here (cp -a), or damage another file.", inode).WithAttribute("path")
}

// inflict changes each file with do, durably.
func (d damage) inflict(do func(wound, *os.File) error) error {
	for _, w := range d.Wounds {
		f, err := w.openWhole(os.O_WRONLY)
		if err != nil {
			return err
		}
		err = do(w, f)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return engine.Errorf(w.Path, "damaging it: %w", err).WithHint("Resume the drill, or roll it back.")
		}
	}
	return nil
}

// heal writes back what was saved, and then lets go of it. Where nothing was
// saved, nothing was damaged.
func (d damage) heal() error {
	for _, w := range d.Wounds {
		if err := w.heal(); err != nil {
			return err
		}
	}
	return durable.RemoveAll(d.Dir)
}

// setTime sets the time of the file's last change to what it was.
func (w wound) setTime(f *os.File) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(w.ModTime.UnixNano())}
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0)
}

func (w wound) heal() error {
	kept, err := os.Open(w.Kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return engine.Errorf(w.Kept, "open: %w", err)
	}
	defer kept.Close() // only read
	f, err := w.open(os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, w.Offset), kept)
	if err = errors.Join(err, f.Sync(), w.setTime(f), f.Close()); err != nil {
		return engine.Errorf(w.Path, "bringing it back: %w", err).WithHint("What was destroyed is saved in %s. Put right what keeps it from being written, then roll back again.", w.Kept)
	}
	return nil
}
