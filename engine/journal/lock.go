package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// Holder tells who holds a lock.
type Holder struct {
	PID   int       `json:"pid"`
	Run   string    `json:"run"`
	Doing string    `json:"doing"` // the command: run, resume, rollback
	Since time.Time `json:"since"`
}

// LockedError says that somebody else holds the lock.
type LockedError struct {
	Path   string
	Holder Holder // zero where the holder has not yet written who it is
}

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s: another runbook process has just taken the lock", e.Path)
	}
	return fmt.Sprintf("%s: locked since %s by process %d (runbook %s, run %s)",
		e.Path, e.Holder.Since.Local().Format(time.DateTime), e.Holder.PID, e.Holder.Doing, e.Holder.Run)
}

// Lock is a lock that the kernel holds for this process and drops when it
// ends, however it ends.
type Lock struct{ file *os.File }

// Acquire takes the lock at path for h, or fails at once with a *LockedError.
// The file stays when the lock is dropped; what it says then means nothing.
func Acquire(path string, h Holder) (*Lock, error) {
	f, err := durable.Open(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		locked := &LockedError{Path: path, Holder: holder(f)}
		return nil, errors.Join(locked, f.Close())
	}
	if err != nil {
		return nil, errors.Join(engine.Errorf(path, "lock: %w", err), f.Close())
	}
	l := &Lock{file: f}
	if err := l.Describe(h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// Describe tells those who come second who holds the lock.
func (l *Lock) Describe(h Holder) error {
	text, err := json.Marshal(h)
	if err != nil {
		return &engine.Error{Where: l.file.Name(), Err: err}
	}
	if err := l.file.Truncate(0); err != nil {
		return &engine.Error{Where: l.file.Name(), Err: err}
	}
	if _, err := l.file.WriteAt(append(text, '\n'), 0); err != nil {
		return &engine.Error{Where: l.file.Name(), Err: err}
	}
	return nil
}

// Release drops the lock.
func (l *Lock) Release() error { return l.file.Close() }

// holder reads who holds a lock; it is zero where that can't be read, since
// the holder may be writing it at this moment.
func holder(f *os.File) Holder {
	var h Holder
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}
