package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Who may write in a directory can put a symbolic link there at any moment, and
// so lead the next call of root elsewhere. Every path here is therefore walked
// from one open directory to the next, and no link is followed but those that
// root, or who runs this, has made. What is done then is done relative to the
// open directory, whatever its name comes to mean.

// maxLinks is how many symbolic links the kernel follows on one path.
const maxLinks = 40

// At calls fn with the directory of path, held open, and the name of path in
// it. An error of fn is returned as it is. The directory's fd may be used for
// calls that end in "at", and no longer than fn runs.
func At(path string, fn func(dir int, name string) error) error {
	parent, name := filepath.Dir(path), filepath.Base(path)
	if name == "/" || parent+"/" == pins { // a directory that is its own way
		parent, name = path, "."
	}
	dir, err := openDir(parent)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return fn(dir, name)
}

// at2 is At for two paths.
func at2(a, b string, fn func(dirA int, nameA string, dirB int, nameB string) error) error {
	return At(a, func(dirA int, nameA string) error {
		return At(b, func(dirB int, nameB string) error { return fn(dirA, nameA, dirB, nameB) })
	})
}

// Open opens path as os.OpenFile does, and no symbolic link.
func Open(path string, flag int, perm os.FileMode) (*os.File, error) {
	fd := -1
	err := At(path, func(dir int, name string) (err error) {
		fd, err = unix.Openat(dir, name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Lstat tells of what is at path.
func Lstat(path string) (st unix.Stat_t, err error) {
	err = At(path, func(dir int, name string) error {
		return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return st, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st, nil
}

// Mkdir makes one directory.
func Mkdir(path string, perm os.FileMode) error {
	err := At(path, func(dir int, name string) error { return unix.Mkdirat(dir, name, uint32(perm.Perm())) })
	if err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// Rmdir removes one directory, which has to be empty. The error is the
// kernel's.
func Rmdir(path string) error {
	return At(path, func(dir int, name string) error { return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR) })
}

// CheckWay refuses a path on which a symbolic link would not be followed. What
// doesn't exist yet is no reason to.
func CheckWay(path string) error {
	dir, err := openDir(filepath.Dir(path))
	if err == nil {
		return unix.Close(dir)
	}
	if link := (*engine.Error)(nil); errors.As(err, &link) {
		return link
	}
	return nil
}

// pins is where the kernel has this process's open files by their numbers. It
// names the process, so that its children get there too.
var pins = fmt.Sprintf("/proc/%d/fd/", os.Getpid())

// A Pin is a directory that is held open, with a path that leads to it and to
// what is in it, for libraries that want one, whatever its own name comes to
// mean. That path is good in this process and its children, and until Close.
type Pin struct {
	Path string
	name string
	fd   int
}

// MakePin makes a directory that is nobody else's, and opens it. It fails where
// somebody puts another one in its place meanwhile.
func MakePin(path string) (*Pin, error) {
	if err := Mkdir(path, 0o700); err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	p, err := OpenPin(path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(p.fd, &st)
	if err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0) {
		err = errors.New("somebody has put another directory in the place of the one that was just made")
	}
	if err != nil {
		return nil, errors.Join(&engine.Error{Where: path, Err: err}, p.Close())
	}
	return p, nil
}

// OpenPin opens the directory at path, which must not be a symbolic link.
func OpenPin(path string) (*Pin, error) {
	p := &Pin{name: path}
	err := At(path, func(dir int, name string) (err error) {
		p.fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &engine.Error{Where: path, Err: &os.PathError{Op: "open", Path: path, Err: err}}
	}
	p.Path = fmt.Sprintf("%s%d", pins, p.fd)
	return p, nil
}

// Close lets go of the directory.
func (p *Pin) Close() error { return unix.Close(p.fd) }

// Named is err with the directory's own name in the place of Path, for people.
func (p *Pin) Named(err error) error {
	if err == nil {
		return nil
	}
	return &namedError{err, strings.NewReplacer(p.Path+"/", p.name+"/", p.Path+":", p.name+":").Replace(err.Error())}
}

type namedError struct {
	error
	text string
}

func (e *namedError) Error() string { return e.text }
func (e *namedError) Unwrap() error { return e.error }

// openDir opens the directory at path, to be used in calls that end in "at".
func openDir(path string) (int, error) {
	if rest, ok := strings.CutPrefix(path, pins); ok {
		return openPinned(rest)
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	switch {
	case errors.Is(err, unix.ELOOP): // there is a link
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // the call is unknown or forbidden here
	default:
		return fd, err
	}
	w := way{rest: strings.Split(path, "/")}
	if filepath.IsAbs(path) {
		w.from("/")
	} else {
		w.from(".")
	}
	return w.walk()
}

// openPinned opens a directory in one that a Pin holds.
func openPinned(path string) (int, error) {
	number, rest, _ := strings.Cut(path, "/")
	pin, err := unix.Open(pins+number, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil || rest == "" {
		return pin, err
	}
	w := way{at: pin, rest: strings.Split(rest, "/"), links: maxLinks} // no links in there
	return w.walk()
}

// way is a walk along a path, link by link.
type way struct {
	at    int      // the directory that was reached
	path  string   // its name, for people
	rest  []string // what is still to go
	links int      // how many were followed
	err   error
}

// from begins, or begins anew, at a directory that is nobody else's to change.
func (w *way) from(path string) {
	w.at, w.err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	w.path = path
}

func (w *way) walk() (int, error) {
	for w.err == nil && len(w.rest) > 0 {
		name := w.rest[0]
		w.rest = w.rest[1:]
		if name != "" && name != "." {
			w.step(name)
		}
	}
	return w.at, w.err
}

// step goes on to what is called name.
func (w *way) step(name string) {
	old := w.at
	defer unix.Close(old)
	next, err := unix.Openat(old, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if w.err = err; err != nil {
		return
	}
	var st unix.Stat_t
	if w.err = unix.Fstat(next, &st); w.err == nil {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			w.at, w.path = next, filepath.Join(w.path, name)
			return
		case unix.S_IFLNK:
			w.follow(next, filepath.Join(w.path, name), st)
		default:
			w.err = unix.ENOTDIR
		}
	}
	_ = unix.Close(next) // nothing was written to it
}

// follow goes where a symbolic link leads, which is at path.
func (w *way) follow(link int, path string, st unix.Stat_t) {
	if w.links++; w.links > maxLinks {
		w.err = unix.ELOOP
		return
	}
	if !Trusted(int(st.Uid)) {
		w.err = foreignLink(path, st.Uid)
		return
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", buf)
	if w.err = err; err != nil {
		return
	}
	target := string(buf[:n])
	w.rest = append(strings.Split(target, "/"), w.rest...)
	if filepath.IsAbs(target) {
		w.from("/")
		return
	}
	// The link's own directory, which is closed behind this step.
	w.at, w.err = unix.Openat(w.at, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Trusted reports whether a user may lead this process where they like: root,
// and who runs it.
func Trusted(uid int) bool { return uid == 0 || uid == os.Geteuid() }

func foreignLink(path string, uid uint32) error {
	return engine.Errorf(path, "it is a symbolic link of user %d, who could lead this anywhere", uid).
		WithHint("Write the path that is meant, without the link, or have root make the link.")
}
