package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An Exposure is a place on the way to a file at which somebody else than root
// and who runs this could change what is found there.
type Exposure struct {
	Path string
	UID  int
	Mode uint32
}

func (e *Exposure) String() string {
	owner := "root"
	if e.UID != 0 {
		owner = fmt.Sprintf("user %d", e.UID)
	}
	return fmt.Sprintf("%s belongs to %s and has mode %04o", e.Path, owner, e.Mode)
}

// Exposed returns the first such place on the absolute path, its end included;
// nil where there is none. A directory in which everybody may make names but
// take away only their own, such as /tmp, is one only at the end. Users in also
// are no others.
func Exposed(path string, also ...int) (*Exposure, error) {
	s := scrutiny{also: also, rest: strings.Split(path, "/")}
	for s.look("/"); s.found == nil && s.err == nil && len(s.rest) > 0; {
		name := s.rest[0]
		s.rest = s.rest[1:]
		if name != "" && name != "." {
			s.look(filepath.Join(s.at, name))
		}
	}
	return s.found, s.err
}

// scrutiny is a walk along a path. What it has passed nobody else can change, so
// it may go by names.
type scrutiny struct {
	also  []int
	at    string   // how far it got
	rest  []string // what is still to go
	links int
	found *Exposure
	err   error
}

func (s *scrutiny) look(path string) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		s.err = &os.PathError{Op: "lstat", Path: path, Err: err}
		return
	}
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	switch {
	case !s.trusted(int(st.Uid)) || !link && s.writable(st):
		s.found = &Exposure{Path: path, UID: int(st.Uid), Mode: st.Mode & 0o7777}
	case link:
		s.follow(path)
	default:
		s.at = path
	}
}

func (s *scrutiny) follow(link string) {
	target, err := os.Readlink(link)
	if s.links++; err == nil && s.links > maxLinks {
		err = &os.PathError{Op: "lstat", Path: link, Err: unix.ELOOP}
	}
	if s.err = err; err != nil {
		return
	}
	s.rest = append(strings.Split(target, "/"), s.rest...)
	if filepath.IsAbs(target) {
		s.look("/")
	}
}

func (s *scrutiny) trusted(uid int) bool { return Trusted(uid) || slices.Contains(s.also, uid) }

// writable reports whether others may write. The group of root, and that of who
// runs this, are theirs.
func (s *scrutiny) writable(st unix.Stat_t) bool {
	others := st.Mode&0o002 != 0
	group := st.Mode&0o020 != 0 && st.Gid != 0 && int(st.Gid) != os.Getegid()
	if !others && !group {
		return false
	}
	last := !slices.ContainsFunc(s.rest, func(name string) bool { return name != "" && name != "." })
	return last || st.Mode&unix.S_ISVTX == 0
}
