package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

const (
	setIDs     = unix.S_ISUID | unix.S_ISGID
	capability = "security.capability"
)

// special is what the kernel clears of a file when its owner changes, and the
// digest of its content.
type special struct {
	Mode       uint32
	Capability []byte
	Sum        string // empty where it isn't known
}

// plannedSpecial is what will be special about the file f; nil where nothing
// is.
func plannedSpecial(ctx context.Context, w engine.World, f engine.PathFact) (*special, error) {
	if f.Type != engine.TypeFile || f.Mode&(0o111|setIDs) == 0 {
		return nil, nil
	}
	s := &special{Mode: f.Mode}
	now, err := w.Source(ctx, f.Path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) || errors.Is(err, fs.ErrNotExist) {
		if f.Mode&setIDs == 0 {
			s = nil // what an earlier step will have created has no capabilities that are known
		}
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if s.Capability, err = readCapability(now, unix.Lgetxattr); err != nil {
		return nil, err
	}
	if f.Mode&setIDs == 0 && s.Capability == nil {
		return nil, nil
	}
	c, err := readContent(ctx, now, 0)
	s.Sum = c.sum
	return s, err
}

func readCapability(path string, get func(string, string, []byte) (int, error)) ([]byte, error) {
	buf := make([]byte, 64) // the largest version of it takes 24
	n, err := get(path, capability, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, engine.Errorf(path, "reading its capabilities: %w", err)
	}
	return buf[:n], nil
}

// restore gives e, which belongs to whom it did, its special bits and its
// capability back, and reports whether it did. A mode that someone has changed
// otherwise meanwhile stays. Whoever the file belonged to in the meantime could
// have made another program of it, and it would be one with root's power then:
// so it has to be what it was, with nobody left who could still write to it.
func (e entry) restore(ctx context.Context, s special) (bool, error) {
	if e.mode&unix.S_IFMT != unix.S_IFREG || e.mode&0o7777&^setIDs != s.Mode&^setIDs {
		return true, nil
	}
	f, err := os.OpenFile(e.procPath(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, engine.Errorf(e.path, "open: %w", errors.Unwrap(err))
	}
	defer f.Close() // its end is that of the lease
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return false, nil // somebody has it open for writing, or nobody can tell
	}
	c, err := sumOpen(ctx, f, 0)
	if err != nil || c.sum != s.Sum {
		return false, err
	}
	if err := unix.Fchmod(int(f.Fd()), s.Mode); err != nil {
		return false, engine.Errorf(e.path, "chmod: %w", err)
	}
	return true, e.restoreCapability(s.Capability)
}

func (e entry) restoreCapability(want []byte) error {
	if want == nil {
		return nil
	}
	got, err := readCapability(e.procPath(), unix.Getxattr)
	if err != nil || bytes.Equal(got, want) {
		return err
	}
	if err := unix.Setxattr(e.procPath(), capability, want, 0); err != nil {
		return engine.Errorf(e.path, "restoring its capabilities: %w", err)
	}
	return nil
}
