package power

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// replay does to a model what the calls of a trace did to the disk.
type replay struct {
	*model
	root   string // where the disk is mounted
	out    string // the file that is the screen
	screen screen
	files  map[descriptor]*opened
	leader map[int]int // the process that a thread belongs to
	exits  []exited
}

type descriptor struct{ process, fd int }

// opened is what a descriptor is open on; the inode is 0 where that isn't on
// the disk.
type opened struct {
	ino uint64
	at  int64 // where the next write goes
	end bool  // always at the end
}

// exited is up to which operation the model had come at a line of the trace.
type exited struct{ line, seq int }

func newReplay(m *model, root, out string) *replay {
	return &replay{model: m, root: root, out: out, screen: screen{}, files: map[descriptor]*opened{}, leader: map[int]int{}}
}

// step carries one call out. It reports whether the power may be cut anew
// after it: something has changed, or is durable, or is on the screen.
func (r *replay) step(c call) (changed bool, err error) {
	seq, pending, shown := r.seq, len(r.pending), r.screen.lines
	if err := r.carryOut(c); err != nil {
		return false, fmt.Errorf("%v: %w", c, err)
	}
	r.exits = append(r.exits, exited{c.exit, r.seq})
	return r.seq != seq || len(r.pending) != pending || r.screen.lines != shown, nil
}

// before is the last operation that was through when line was reached.
func (r *replay) before(line int) int {
	seq := 0
	for _, e := range r.exits {
		if e.line < line {
			seq = e.seq
		}
	}
	return seq
}

func (r *replay) carryOut(c call) error {
	switch c.name {
	case "clone", "clone3":
		if strings.Contains(strings.Join(c.args, "|"), "CLONE_THREAD") {
			r.leader[int(c.ret)] = r.process(c.tid)
		}
	case "statx", "fork", "vfork", "sync_file_range": // the last is a hint, and promises nothing
	case "close":
		n, _ := fd(c.args[0])
		delete(r.files, descriptor{r.process(c.tid), n})
	case "lseek":
		if f := r.opened(c, 0); f != nil {
			f.at = c.ret
		}
	case "openat":
		return r.open(c, r.at(c, 0, 1), c.args[2], mode(c.args, 3))
	case "openat2":
		_, how, _ := strings.Cut(c.args[2], "flags=")
		flags, _, _ := strings.Cut(strings.Trim(how, "{}"), ",")
		return r.open(c, r.at(c, 0, 1), flags, 0)
	case "write", "pwrite64":
		return r.writes(c)
	case "fsync", "fdatasync":
		if ino := r.file(c, 0); ino != 0 {
			r.fsync(ino, r.before(c.entry), c.name == "fdatasync")
		}
	case "syncfs":
		if r.file(c, 0) != 0 {
			r.syncAll(r.before(c.entry))
		}
	case "mmap":
		if strings.Contains(c.args[3], "MAP_SHARED") && strings.Contains(c.args[2], "PROT_WRITE") && r.file(c, 4) != 0 {
			return fmt.Errorf("a file is written through a mapping, which the trace doesn't show")
		}
	case "ioctl":
		if c.args[1] == "FICLONE" || c.args[1] == "FICLONERANGE" {
			return fmt.Errorf("blocks are shared, which the model doesn't know")
		}
	case "truncate":
		return r.resize(r.find(r.at(c, -1, 0), true), c.args[1])
	case "ftruncate":
		return r.resize(r.file(c, 0), c.args[1])
	case "fallocate":
		return r.allocate(c)
	case "copy_file_range":
		return r.copyRange(c)
	default:
		if done, err := r.name(c); done || err != nil {
			return err
		}
		return r.attribute(c)
	}
	return nil
}

func (r *replay) process(tid int) int {
	if p, ok := r.leader[tid]; ok {
		return p
	}
	return tid
}

// local is a path on the disk as seen from its root, or "".
func (r *replay) local(p string) string {
	if p == r.root {
		return "/"
	}
	if rest, ok := strings.CutPrefix(p, r.root+"/"); ok {
		return "/" + rest
	}
	return ""
}

// at is the path that two arguments name: a directory's descriptor, if there
// is one, and a path.
func (r *replay) at(c call, dir, name int) string {
	p := str(c.args[name])
	if f, rest := r.pinned(c, p); f != nil {
		if f.ino == 0 {
			return ""
		}
		return path.Join(r.pathOf(f.ino), rest)
	}
	if p == "" || strings.HasPrefix(p, "/") || dir < 0 {
		return r.local(path.Clean(p))
	}
	_, d := fd(c.args[dir])
	if d != "" { // whatever the directory is called by now
		if f := r.opened(c, dir); f != nil && f.ino != 0 {
			return path.Join(r.pathOf(f.ino), p)
		}
	}
	return r.local(path.Join(d, p))
}

// pinned is what a path in /proc leads to that begins with a descriptor, and
// what of the path comes behind it.
func (r *replay) pinned(c call, p string) (f *opened, rest string) {
	m := pin.FindStringSubmatch(p)
	if m == nil {
		return nil, ""
	}
	process := r.process(c.tid)
	if n, err := strconv.Atoi(m[1]); err == nil { // else it is "self"
		process = n
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return nil, ""
	}
	return r.files[descriptor{process, n}], m[3]
}

var pin = regexp.MustCompile(`^/proc/(self|\d+)/fd/(\d+)(/.*)?$`)

// pathOf is where an inode is seen.
func (r *replay) pathOf(ino uint64) (found string) {
	r.visible.walk(func(p string, i uint64, _ *inode) {
		if i == ino {
			found = p
		}
	})
	return found
}

func (r *replay) find(p string, follow bool) uint64 {
	if p == "" {
		return 0
	}
	return r.visible.find(p, follow)
}

// file is the inode that a descriptor is open on, 0 if it isn't on the disk.
func (r *replay) file(c call, arg int) uint64 {
	if f := r.opened(c, arg); f != nil {
		return f.ino
	}
	_, p := fd(c.args[arg])
	return r.find(r.local(p), false)
}

// opened is what is known of a descriptor, if the trace shows how it was opened.
func (r *replay) opened(c call, arg int) *opened {
	n, _ := fd(c.args[arg])
	return r.files[descriptor{r.process(c.tid), n}]
}

func mode(args []string, i int) uint32 {
	if len(args) <= i {
		return 0
	}
	m, err := strconv.ParseUint(args[i], 8, 32)
	if err != nil {
		return 0
	}
	return uint32(m)
}

func (r *replay) open(c call, p, flags string, perm uint32) error {
	f := &opened{end: has(flags, "O_APPEND")}
	r.files[descriptor{r.process(c.tid), int(c.ret)}] = f
	if p == "" {
		f.ino = r.find(r.local(c.retPath), false) // through a name in /proc
		return nil
	}
	if has(flags, "O_TMPFILE") || has(flags, "O_SYNC") || has(flags, "O_DSYNC") || has(flags, "O_DIRECT") {
		return fmt.Errorf("opened with %s, which the model doesn't know", flags)
	}
	ino := r.find(p, !has(flags, "O_NOFOLLOW"))
	switch {
	case ino == 0 && has(flags, "O_CREAT"):
		ino = r.add(p, &inode{kind: 'f', mode: perm &^ umask})
	case ino == 0:
		return fmt.Errorf("the model has nothing at %s", p)
	case has(flags, "O_TRUNC") && r.visible[ino].size > 0:
		r.resizeTo(ino, 0)
	}
	f.ino = ino
	return nil
}

// umask is that of the processes that are traced.
const umask = 0o022

// add makes an inode and gives it a name.
func (r *replay) add(p string, n *inode) uint64 {
	ino := r.create(n)
	r.enter(r.place(p, ino))
	return ino
}

// place is an entry in the directory of p, which is followed.
func (r *replay) place(p string, ino uint64) entry {
	return entry{dir: r.find(path.Dir(p), true), name: path.Base(p), ino: ino}
}

func (r *replay) enter(entries ...entry) { r.do(&op{kind: opEntry, entries: entries}) }

func (r *replay) writes(c call) error {
	_, p := fd(c.args[0])
	if p == r.out {
		return r.screen.show(str(c.args[1]))
	}
	ino := r.file(c, 0)
	if ino == 0 || c.ret == 0 {
		return nil
	}
	data := []byte(str(c.args[1]))
	if int64(len(data)) < c.ret {
		return fmt.Errorf("the trace holds %d bytes of %d", len(data), c.ret)
	}
	off, err := r.offset(c, ino)
	if err != nil {
		return err
	}
	r.do(&op{kind: opData, inode: ino, off: off, data: data[:c.ret]})
	return nil
}

// offset is where a write goes.
func (r *replay) offset(c call, ino uint64) (int64, error) {
	if c.name == "pwrite64" {
		return num(c.args[3])
	}
	f := r.opened(c, 0)
	switch {
	case f == nil:
		return 0, fmt.Errorf("nothing tells where in the file it goes")
	case f.end:
		f.at = r.visible[ino].size
	}
	off := f.at
	f.at += c.ret
	return off, nil
}

func (r *replay) resize(ino uint64, arg string) error {
	size, err := num(arg)
	if err != nil || ino == 0 || r.visible[ino].size == size {
		return err
	}
	r.resizeTo(ino, size)
	return nil
}

func (r *replay) resizeTo(ino uint64, size int64) {
	r.do(&op{kind: opData, inode: ino, apply: func(n *inode) { n.truncate(size); n.mtime = 0 }})
}

// allocate is fallocate, of which only a file's size is seen.
func (r *replay) allocate(c call) error {
	ino := r.file(c, 0)
	if ino == 0 {
		return nil
	}
	off, err := num(c.args[2])
	if err != nil {
		return err
	}
	length, err := num(c.args[3])
	switch {
	case err != nil || c.args[1] == "FALLOC_FL_KEEP_SIZE":
		return err
	case c.args[1] != "0":
		return fmt.Errorf("fallocate with %s, which the model doesn't know", c.args[1])
	case r.visible[ino].size < off+length:
		r.resizeTo(ino, off+length)
	}
	return nil
}

func (r *replay) copyRange(c call) error {
	from, to := r.file(c, 0), r.file(c, 2)
	if to == 0 || c.ret == 0 {
		return nil
	}
	if from == 0 {
		return fmt.Errorf("it copies from somewhere else")
	}
	in, err1 := r.rangeAt(c, 0)
	out, err2 := r.rangeAt(c, 2)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	r.do(&op{kind: opData, inode: to, off: out, data: r.visible[from].read(in, c.ret)})
	return nil
}

// rangeAt is where copy_file_range reads or writes: where it is told, or where
// the descriptor is.
func (r *replay) rangeAt(c call, arg int) (int64, error) {
	if c.args[arg+1] != "NULL" {
		at, _, _ := strings.Cut(strings.Trim(c.args[arg+1], "[]"), " ") // before and after the call
		return num(at)
	}
	f := r.opened(c, arg)
	if f == nil {
		return 0, fmt.Errorf("nothing tells where in the file it goes")
	}
	at := f.at
	f.at += c.ret
	return at, nil
}

// name carries out what changes names, and reports whether c does.
func (r *replay) name(c call) (bool, error) {
	switch c.name {
	case "renameat2", "renameat":
		return true, r.rename(c)
	case "linkat":
		from, to := r.at(c, 0, 1), r.at(c, 2, 3)
		if to != "" {
			r.enter(r.place(to, r.find(from, has(c.args[4], "AT_SYMLINK_FOLLOW"))))
		}
	case "symlinkat":
		if p := r.at(c, 1, 2); p != "" {
			r.add(p, &inode{kind: 'l', mode: 0o777, link: str(c.args[0])})
		}
	case "unlinkat":
		if p := r.at(c, 0, 1); p != "" {
			r.enter(r.place(p, 0))
		}
	case "rmdir", "unlink":
		if p := r.at(c, -1, 0); p != "" {
			r.enter(r.place(p, 0))
		}
	case "mkdirat":
		if p := r.at(c, 0, 1); p != "" {
			r.add(p, &inode{kind: 'd', mode: mode(c.args, 2) &^ umask})
		}
	default:
		return false, nil
	}
	return true, nil
}

func (r *replay) rename(c call) error {
	from, to := r.at(c, 0, 1), r.at(c, 2, 3)
	if from == "" && to == "" {
		return nil
	}
	flags := "0"
	if len(c.args) > 4 {
		flags = c.args[4]
	}
	a, b := r.find(from, false), r.find(to, false)
	switch {
	case a == 0:
		return fmt.Errorf("the model has nothing at %s", from)
	case has(flags, "RENAME_EXCHANGE"):
		r.enter(r.place(from, b), r.place(to, a))
	default:
		r.enter(r.place(to, a), r.place(from, 0))
	}
	return nil
}
