package power

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// attribute carries out what changes owners, modes and times.
func (r *replay) attribute(c call) error {
	ino, arg, err := r.subject(c)
	if err != nil || ino == 0 {
		return err
	}
	var apply func(*inode)
	switch c.name {
	case "chmod", "fchmod", "fchmodat":
		perm := mode(c.args, arg)
		apply = func(n *inode) { n.mode = perm }
	case "chown", "lchown", "fchown", "fchownat":
		uid, err1 := num(c.args[arg])
		gid, err2 := num(c.args[arg+1])
		if err1 != nil || err2 != nil {
			return fmt.Errorf("whose is it to be?")
		}
		apply = func(n *inode) { n.own(uid, gid) }
	case "utimensat":
		at, err := modified(c.args[arg])
		if err != nil {
			return err
		}
		apply = func(n *inode) { n.mtime = at }
	default:
		return fmt.Errorf("the model doesn't know this call")
	}
	r.do(&op{kind: opAttr, inode: ino, apply: apply})
	return nil
}

// own gives the inode to somebody; -1 leaves it whose it is. Of a file the
// kernel takes the set-ID bits then.
func (n *inode) own(uid, gid int64) {
	if uid >= 0 && uid != 1<<32-1 {
		n.uid = int(uid)
	}
	if gid >= 0 && gid != 1<<32-1 {
		n.gid = int(gid)
	}
	if n.kind == 'f' {
		n.mode &^= 0o6000
	}
}

// subject is the inode whose attributes a call changes, and the number of the
// first argument that says to what.
func (r *replay) subject(c call) (ino uint64, arg int, err error) {
	switch c.name {
	case "fchmod", "fchown":
		return r.file(c, 0), 1, nil
	case "chmod", "chown":
		return r.byPath(c, -1, 0, true), 1, nil
	case "lchown":
		return r.byPath(c, -1, 0, false), 1, nil
	case "fchmodat":
		return r.byPath(c, 0, 1, true), 2, nil
	case "fchownat":
		if has(c.args[4], "AT_EMPTY_PATH") {
			return r.file(c, 0), 2, nil
		}
		return r.byPath(c, 0, 1, !has(c.args[4], "AT_SYMLINK_NOFOLLOW")), 2, nil
	case "utimensat":
		return r.byPath(c, 0, 1, !has(c.args[3], "AT_SYMLINK_NOFOLLOW")), 2, nil
	}
	if p, ok := strings.CutSuffix(c.name, "xattr"); ok && p != "" {
		return 0, 0, r.refuseXattr(c)
	}
	return 0, 0, fmt.Errorf("the model doesn't know this call")
}

func (r *replay) refuseXattr(c call) error {
	if strings.HasPrefix(c.name, "f") && r.file(c, 0) == 0 || !strings.HasPrefix(c.name, "f") && r.byPath(c, -1, 0, true) == 0 {
		return nil
	}
	return fmt.Errorf("the model knows no extended attributes")
}

// byPath is the inode that two arguments of a call name.
func (r *replay) byPath(c call, dir, name int, follow bool) uint64 {
	if f, rest := r.pinned(c, str(c.args[name])); f != nil && rest == "" {
		return f.ino // under whatever name
	}
	return r.find(r.at(c, dir, name), follow)
}

// modified is the second of the two times that utimensat is given.
func modified(arg string) (int64, error) {
	fields := strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune("[]{}=, ", r) })
	var numbers []int64
	for _, f := range fields {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) != 4 {
		return 0, fmt.Errorf("unclear times: %s", arg)
	}
	return time.Unix(numbers[2], numbers[3]).UnixNano(), nil
}
