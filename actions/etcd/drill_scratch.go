package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
	"runbook/engine/durable"
)

// scratchName is the drill's directory. It always has the same name: what a
// killed drill left is found, and there is one drill at a time.
const scratchName = "runbook-drill"

// scratchPID is the file in it that tells whose it is. The directory's lock
// decides; the file is for people.
const scratchPID = "pid"

// scratchWait is how long to wait for another drill's end: the child of a
// killed one takes a moment to notice.
const scratchWait = 10 * time.Second

// place returns the directory that scratch names, links resolved, and refuses
// one in which, or around which, etcd has its data.
func (a *drill) place(ctx context.Context, w engine.World) (string, error) {
	dir, err := resolveLink(ctx, w, a.Scratch, "scratch")
	if err != nil {
		return "", err
	}
	fact, err := w.Stat(ctx, dir)
	if err != nil {
		return "", err
	}
	if !fact.Exists {
		return "", engine.Errorf(dir, "there is no such directory").
			WithHint("Create it, or set scratch to a directory on a disk with room.").WithAttribute("scratch")
	}
	at, err := a.dataNear(ctx, w, dir)
	if err != nil {
		return "", err
	}
	if at == "" {
		return dir, refuseExposed(dir)
	}
	return "", engine.Errorf(dir, "etcd's data directory %s is too near: a drill doesn't work in or above one", at).
		WithHint("Set scratch to a directory that holds nothing of etcd's, such as /var/tmp.").WithAttribute("scratch")
}

// refuseExposed refuses a place where somebody else could put another directory
// in that of the drill's.
func refuseExposed(dir string) error {
	path := filepath.Join(dir, scratchName)
	e, err := durable.Exposed(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (e == nil || e.Path == path) {
		return nil
	}
	if err != nil {
		return &engine.Error{Where: dir, Err: err}
	}
	return engine.Errorf(dir, "a drill doesn't work where others could reach into it: %s", e).
		WithHint("Set scratch to a directory that only root can change, or to one like /var/tmp.").WithAttribute("scratch")
}

// dataNear returns a data directory that dir is, or is in, or is above; empty
// if there is none. Those above and a few levels below are noticed by what is
// in them.
func (a *drill) dataNear(ctx context.Context, w engine.World, dir string) (string, error) {
	if data := deref(a.DataDir); data != "" {
		data = realPath(data)
		_, in := below(dir, data)
		_, above := below(data, dir)
		if in || above || dir == data {
			return data, nil
		}
	}
	for at := realPath(dir); ; at = filepath.Dir(at) {
		fact, err := w.Stat(ctx, filepath.Join(at, "member", "snap"))
		if err != nil || fact.Exists {
			return at, err
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	for _, pattern := range []string{"*", "*/*", "*/*/*"} {
		found, err := unseen.Find(filepath.Join(escapeGlob(dir), pattern, "member", "snap"))
		if err != nil {
			return "", engine.Errorf(dir, "looking for etcd's data in it: %w", err)
		}
		for _, path := range found {
			if !strings.HasPrefix(path, filepath.Join(dir, scratchName)+"/") {
				return filepath.Dir(filepath.Dir(path)), nil
			}
		}
	}
	return "", nil
}

// realPath resolves the links in path as far as it exists.
func realPath(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		return p
	}
	return filepath.Clean(path)
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// drillSpace is how much a drill takes of the disk, in bytes, for a snapshot
// of size bytes.
func drillSpace(size int64) int64 { return space(inspect.Info{Size: size}) }

// checkRoom refuses a drill that would take too much of the disk.
func (a *drill) checkRoom(ctx context.Context, w engine.World, size int64) error {
	fact, err := w.Stat(ctx, a.Scratch)
	if err != nil {
		return err
	}
	need, most, which := drillSpace(size), fact.Free/2, "half of what is free"
	if a.MaxBytes != nil {
		most, which = *a.MaxBytes, "max_bytes"
		if fact.Free < most {
			most, which = fact.Free, "what is free"
		}
	}
	if need <= most {
		return nil
	}
	return engine.Errorf(a.Scratch, "the drill needs %s, and may take %s: %s",
		humanize.IBytes(uint64(need)), humanize.IBytes(uint64(max(most, 0))), which).
		WithHint("Make room, set scratch to a directory on another disk, or set max_bytes to at least %d.", need).WithAttribute("max_bytes")
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // the verification says so
	}
	if err != nil {
		return 0, &engine.Error{Where: path, Err: err}
	}
	return info.Size(), nil
}

// scratch is the directory of one drill. It is this process's as long as dir
// is open and locked, in this process or in a child that inherited it.
type scratch struct {
	path string
	dir  *os.File
}

// openScratch makes the drill's directory below parent, or takes over what a
// killed drill left, and empties it.
func openScratch(ctx context.Context, parent string) (*scratch, error) {
	path := filepath.Join(parent, scratchName)
	ctx, cancel := context.WithTimeout(ctx, scratchWait)
	defer cancel()
	for {
		s, err := lockScratch(path)
		if err != nil {
			return nil, err
		}
		if s != nil {
			return s, s.begin()
		}
		select {
		case <-ctx.Done():
			return nil, busyScratch(path)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func busyScratch(path string) error {
	pid, _ := os.ReadFile(filepath.Join(path, scratchPID)) // it is only told
	return engine.Errorf(path, "another drill is at work, process %s", strings.TrimSpace(string(pid))).
		WithHint("Wait for its end, or set scratch to another directory.").WithAttribute("scratch")
}

// lockScratch returns nil where somebody else has the directory, or has just
// removed it.
func lockScratch(path string) (*scratch, error) {
	if err := durable.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &engine.Error{Where: path, Err: err}
	}
	dir, err := durable.Open(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, notOurs(path, err)
	}
	ours, err := takeScratch(path, dir)
	if err != nil || !ours {
		return nil, errors.Join(err, dir.Close())
	}
	return &scratch{path: path, dir: dir}, nil
}

// takeScratch locks the open directory. In a place where everybody may write
// it could be another user's.
func takeScratch(path string, dir *os.File) (bool, error) {
	opened, err := dir.Stat()
	if err != nil {
		return false, &engine.Error{Where: path, Err: err}
	}
	if uid := opened.Sys().(*syscall.Stat_t).Uid; uid != uint32(os.Geteuid()) || opened.Mode().Perm() != 0o700 {
		return false, notOurs(path, fmt.Errorf("it belongs to user %d and has the mode %v", uid, opened.Mode().Perm()))
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return false, engine.Errorf(path, "locking it: %w", err)
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, there), nil
}

func notOurs(path string, err error) error {
	return engine.Errorf(path, "it is not a directory that a drill has made: %w", err).
		WithHint("Look what it is and move it away, or set scratch to another directory.").WithAttribute("scratch")
}

// begin empties the directory and says whose it is now.
func (s *scratch) begin() error {
	entries, err := os.ReadDir(s.path)
	for _, e := range entries {
		err = errors.Join(err, durable.RemoveAll(filepath.Join(s.path, e.Name())))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(s.path, scratchPID), fmt.Appendln(nil, os.Getpid()), 0o600)
	}
	if err != nil {
		return errors.Join(err, s.remove())
	}
	return nil
}

// remove leaves nothing behind and gives the lock up.
func (s *scratch) remove() error { return errors.Join(durable.RemoveAll(s.path), s.dir.Close()) }

// clearScratch removes what a killed drill left below parent. One that is
// still at work clears up after itself.
func clearScratch(ctx context.Context, parent string) error {
	if _, err := os.Lstat(filepath.Join(parent, scratchName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s, err := openScratch(ctx, parent)
	var e *engine.Error
	if errors.As(err, &e) && e.Attribute == "scratch" {
		return nil // another's
	}
	if err != nil {
		return err
	}
	return s.remove()
}
