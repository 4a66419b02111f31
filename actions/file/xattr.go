package file

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// label is the attribute that the policy of the place gives a file. It is
// taken along where that is possible.
const label = "security.selinux"

// bound are attributes that speak of the very content of a file.
var bound = []string{capability, "security.ima", "security.evm"}

// attributes are the extended attributes at path, which may lead through
// /proc to an open file.
func attributes(path string, follow bool) (map[string][]byte, error) {
	list, get := unix.Llistxattr, unix.Lgetxattr
	if follow {
		list, get = unix.Listxattr, unix.Getxattr
	}
	raw, err := grow(func(buf []byte) (int, error) { return list(path, buf) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, engine.Errorf(path, "listing its extended attributes: %w", err)
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		all[name], err = grow(func(buf []byte) (int, error) { return get(path, name, buf) })
		if errors.Is(err, unix.ENODATA) || errors.Is(err, fs.ErrNotExist) {
			delete(all, name)
		} else if err != nil {
			return nil, engine.Errorf(path, "reading its extended attribute %s: %w", name, err)
		}
	}
	return all, nil
}

// grow calls read with larger and larger buffers until the value fits.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := read(buf)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// setAttributes makes the extended attributes at path those of want, but for
// the label of a place that knows none.
func setAttributes(path string, follow bool, want map[string][]byte) error {
	set, remove := unix.Lsetxattr, unix.Lremovexattr
	if follow {
		set, remove = unix.Setxattr, unix.Removexattr
	}
	have, err := attributes(path, follow)
	if err != nil {
		return err
	}
	for name := range have { // inherited from the directory
		if _, ok := want[name]; ok || name == label {
			continue
		}
		if err := remove(path, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return engine.Errorf(path, "removing the extended attribute %s: %w", name, err)
		}
	}
	for name, value := range want {
		if old, ok := have[name]; ok && string(old) == string(value) {
			continue
		}
		if err := set(path, name, value, 0); err != nil && name != label {
			return engine.Errorf(path, "setting the extended attribute %s: %w", name, err).
				WithHint("The file system there may not know it; take it off the origin (setfattr -x), or choose another place.")
		}
	}
	return nil
}

// inheritAttributes gives the new file f the attributes of the one at path
// that don't depend on its content: access lists, labels, users' own. They may
// let others read, so they are taken from nothing but the thing that was planned
// with.
func inheritAttributes(path string, old thing, f *os.File) error {
	e, err := openAt(path)
	if err != nil {
		return engine.Errorf(path, "open: %w", err)
	}
	defer unix.Close(e.fd)
	if e.thing != old {
		return replaced(path)
	}
	all, err := attributes(e.procPath(), true)
	if err != nil {
		return err
	}
	for _, name := range bound {
		delete(all, name)
	}
	return setAttributes(fdPath(int(f.Fd())), true, all)
}

// fdPath leads to an open file itself, for the calls that take no O_PATH
// descriptor.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// sameAttributes reports whether two files have the same extended attributes,
// labels aside.
func sameAttributes(a, b string) (bool, error) {
	x, err := attributes(a, false)
	if err != nil {
		return false, err
	}
	y, err := attributes(b, false)
	delete(x, label)
	delete(y, label)
	same := len(x) == len(y)
	for name := range x {
		_, ok := y[name]
		same = same && ok && slices.Equal(x[name], y[name])
	}
	return same, err
}
