package diagnose

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/unseen"
)

// Surroundings is what is around the files: who owns them, how much room
// there is, who uses them.
type Surroundings struct {
	FreeBytes  int64 // -1 where it can't be told
	FreeInodes int64 // likewise; file systems without a fixed number have -1 too
	Processes  []Process
	// Users are the processes that hold a lock on the database or the log; a
	// number that can't be told is 0.
	Users []int
	// Strange are the paths that belong to somebody else than they should.
	Strange []Strange
}

// Process is a running etcd or API server.
type Process struct {
	PID     int    `json:"pid"`
	Name    string `json:"name"`
	DataDir string `json:"data_dir"` // an etcd's, as its command line has it
}

// Strange is a path that etcd may not be able to use.
type Strange struct{ Path, Reason string }

// lookAround looks around a data directory.
func lookAround(o Options, walDir string) Surroundings {
	s := Surroundings{FreeBytes: -1, FreeInodes: -1}
	s.room(o.DataDir)
	if walDir != "" && o.WALDir != "" {
		s.room(walDir)
	}
	s.Processes = processes()
	s.locks(filepath.Join(o.DataDir, "member", "snap", "db"), walDir)
	s.owners(o, walDir)
	return s
}

// room takes the least of what is left.
func (s *Surroundings) room(dir string) {
	var st unix.Statfs_t
	for unix.Statfs(dir, &st) != nil {
		if dir == "/" || dir == "." {
			return
		}
		dir = filepath.Dir(dir)
	}
	free := int64(st.Bavail) * st.Bsize
	if s.FreeBytes < 0 || free < s.FreeBytes {
		s.FreeBytes = free
	}
	if st.Files > 0 && (s.FreeInodes < 0 || int64(st.Ffree) < s.FreeInodes) {
		s.FreeInodes = int64(st.Ffree)
	}
}

// processes lists those whose name says that they matter.
func processes() []Process {
	found := []Process{}
	for _, dir := range unseen.Glob("/proc/[0-9]*") {
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		name := strings.TrimSpace(string(comm))
		if err != nil || name != "etcd" && name != "kube-apiserver" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended
		found = append(found, Process{PID: pid, Name: name, DataDir: dataDir(line)})
	}
	return found
}

func dataDir(cmdline []byte) string {
	args := strings.Split(string(cmdline), "\x00")
	for i, a := range args {
		a = strings.TrimLeft(a, "-")
		if v, ok := strings.CutPrefix(a, "data-dir="); ok {
			return v
		}
		if a == "data-dir" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// locks finds out who locks the database and the log. A lock that is only
// tried keeps etcd waiting, so the kernel's list is read instead.
func (s *Surroundings) locks(db, walDir string) {
	wanted := map[string]bool{}
	for _, path := range append(unseen.Glob(filepath.Join(walDir, "*.wal")), db) {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil {
			wanted[fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)] = true
		}
		if rangeLocked(path) && len(s.Users) == 0 {
			s.Users = append(s.Users, 0)
		}
	}
	list, err := os.ReadFile("/proc/locks")
	if err != nil {
		return
	}
	s.users(lockers(list, wanted))
}

// users adds those who hold locks. One without a number is most likely one of
// those with one: open file descriptions belong to nobody.
func (s *Surroundings) users(pids map[int]bool) {
	for _, p := range s.Users {
		pids[p] = true
	}
	s.Users = slices.Sorted(maps.Keys(pids))
	if len(s.Users) > 1 {
		s.Users = slices.DeleteFunc(s.Users, func(p int) bool { return p == 0 })
	}
}

// lockers are the processes that hold locks on the wanted files, by the
// kernel's list: "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF".
func lockers(list []byte, wanted map[string]bool) map[int]bool {
	pids := map[int]bool{}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] == "->" || !wanted[f[5]] {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		if err == nil {
			pids[max(pid, 0)] = true
		}
	}
	return pids
}

// rangeLocked looks for the lock that etcd takes on its log; asking takes none.
func rangeLocked(path string) bool {
	f, err := unseen.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // only read from
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	err = syscall.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK
}

// owners looks for what belongs to somebody else than the directory should,
// and for what is closed to its owner.
func (s *Surroundings) owners(o Options, walDir string) {
	uid, gid := o.UID, o.GID
	var top unix.Stat_t
	if unix.Stat(o.DataDir, &top) != nil {
		return
	}
	if uid < 0 {
		uid, gid = int(top.Uid), int(top.Gid)
	}
	label := labelOf(o.DataDir)
	roots := []string{o.DataDir}
	if o.WALDir != "" {
		roots = append(roots, walDir)
	}
	for _, root := range roots {
		s.ownersBelow(root, uid, gid, label)
	}
}

func (s *Surroundings) ownersBelow(root string, uid, gid int, label string) {
	entries, err := unseen.ReadDir(root)
	if err != nil {
		s.strange(root, "it can't be listed: "+rootCause(err).Error())
		return
	}
	s.owner(root, uid, gid, label)
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if e.IsDir() && len(s.Strange) < maxStrange {
			s.ownersBelow(path, uid, gid, label)
			continue
		}
		s.owner(path, uid, gid, label)
	}
}

const maxStrange = 20

func (s *Surroundings) strange(path, reason string) {
	if len(s.Strange) < maxStrange {
		s.Strange = append(s.Strange, Strange{path, reason})
	}
}

func (s *Surroundings) owner(path string, uid, gid int, label string) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return
	}
	need := uint32(0o600)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		need = 0o700
	}
	switch {
	case int(st.Uid) != uid && uid != 0:
		s.strange(path, fmt.Sprintf("it belongs to user %d, and etcd runs as user %d", st.Uid, uid))
	case st.Mode&need != need && st.Mode&unix.S_IFMT != unix.S_IFLNK && uid != 0:
		s.strange(path, fmt.Sprintf("its mode %04o keeps its owner out", st.Mode&0o7777))
	case int(st.Uid) != uid || int(st.Gid) != gid && gid >= 0:
		s.strange(path, fmt.Sprintf("it belongs to user %d and group %d, and the rest to %d and %d", st.Uid, st.Gid, uid, gid))
	case label != "" && labelOf(path) != label:
		s.strange(path, fmt.Sprintf("its SELinux type is %s, and the directory's %s", labelOf(path), label))
	}
}

// labelOf is the type in a path's SELinux label; empty without SELinux.
func labelOf(path string) string {
	buf := make([]byte, 512)
	n, err := unix.Lgetxattr(path, "security.selinux", buf)
	if err != nil {
		return ""
	}
	parts := strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), ":")
	if len(parts) < 3 {
		return ""
	}
	return parts[2]
}

// mountOf is where the file system of a path is mounted.
func mountOf(path string) string {
	device := func(p string) (uint64, bool) {
		var st unix.Stat_t
		err := unix.Stat(p, &st)
		return st.Dev, err == nil
	}
	own, there := device(path)
	for !there && path != "/" && path != "." {
		path = filepath.Dir(path)
		own, there = device(path)
	}
	for path != "/" && path != "." {
		above := filepath.Dir(path)
		if dev, ok := device(above); ok && dev != own {
			return path
		}
		path = above
	}
	return path
}

// exists reports whether there is something at path that can be looked at.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// rootCause is the innermost error, without the paths around it.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
