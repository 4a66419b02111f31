package strace

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Fault is what happens to one call of each thread of a process, or from that
// call on.
type Fault struct {
	Calls   []string
	Nth     int
	Errno   string
	Lasting bool
}

// Arguments are strace's, to have it happen, and to log these calls alone.
func (f Fault) Arguments() []string {
	return append([]string{"-e", "trace=" + strings.Join(f.Calls, ",")}, f.Injection()...)
}

// Injection are strace's arguments to have it happen to calls that are traced.
func (f Fault) Injection() []string {
	when := fmt.Sprint(f.Nth)
	if f.Lasting {
		when += "+"
	}
	return []string{"-e", fmt.Sprintf("inject=%s:error=%s:when=%s", strings.Join(f.Calls, ","), f.Errno, when)}
}

func (f Fault) String() string {
	if f.Lasting {
		return fmt.Sprintf("%s from change %d on", f.Errno, f.Nth)
	}
	return fmt.Sprintf("%s at %s %d", f.Errno, f.Calls[0], f.Nth)
}

// Met are the calls of an undisturbed process that it would happen to.
func (f Fault) Met(made Calls) Calls {
	met := made.Nth(f.Nth, f.Calls...)
	for n := f.Nth + 1; f.Lasting && n <= made.Most(f.Calls...); n++ {
		met = append(met, made.Nth(n, f.Calls...)...)
	}
	return met
}

// Err is the error that the process gets.
func (f Fault) Err() error {
	return map[string]unix.Errno{
		"ENOSPC": unix.ENOSPC, "EDQUOT": unix.EDQUOT, "EIO": unix.EIO, "EROFS": unix.EROFS, "EMFILE": unix.EMFILE,
	}[f.Errno]
}

var (
	anyFault     = []string{"ENOSPC", "EDQUOT", "EIO", "EROFS"}
	noRoomNeeded = []string{"EIO", "EROFS"}
)

// answers are what the kernel answers to a call on a disk that is full, over
// its quota, failing or read-only, or where a process has too many files open.
var answers = map[string][]string{
	"fsync": anyFault, "fdatasync": anyFault, "syncfs": anyFault, "sync_file_range": {"ENOSPC", "EIO"},
	"rename": anyFault, "renameat": anyFault, "renameat2": anyFault, "link": anyFault, "linkat": anyFault, "symlinkat": anyFault,
	"unlink": noRoomNeeded, "unlinkat": noRoomNeeded, "rmdir": noRoomNeeded,
	"mkdir": anyFault, "mkdirat": anyFault, "mknodat": anyFault,
	"chown": noRoomNeeded, "lchown": noRoomNeeded, "fchown": noRoomNeeded, "fchownat": noRoomNeeded,
	"chmod": noRoomNeeded, "fchmod": noRoomNeeded, "fchmodat": noRoomNeeded,
	"setxattr": anyFault, "lsetxattr": anyFault, "fsetxattr": anyFault, "lremovexattr": noRoomNeeded,
	"truncate": noRoomNeeded, "ftruncate": noRoomNeeded, "utimensat": noRoomNeeded,
	"fallocate": anyFault, "copy_file_range": anyFault, "write": anyFault, "pwrite64": anyFault,
	"openat": append([]string{"EMFILE"}, anyFault...),
}

// lasting are faults that stay: from some call on nothing that needs room
// works, or nothing that changes anything. What is done about a failure then
// fails as well.
var lasting = map[string][]string{
	"ENOSPC": {
		"write", "pwrite64", "copy_file_range", "fallocate", "fsync", "fdatasync", "syncfs",
		"mkdir", "mkdirat", "mknodat", "link", "linkat", "symlinkat", "setxattr", "lsetxattr", "fsetxattr",
	},
	"EROFS": Changing(),
}

// Changing lists the calls that a disk can fail, but for openat.
func Changing() []string {
	var all []string
	for name := range answers {
		if name != "openat" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Traced are the arguments with which strace logs all that Faults looks at.
func Traced() []string { return []string{"-e", "trace=openat," + strings.Join(Changing(), ",")} }

// Faults lists what can happen to an undisturbed process's calls, as far as
// they concern.
func Faults(made Calls, concern func(Call) bool) (all []Fault) {
	mine := func(c Call) bool { return !c.Foreign() && concern(c) }
	for name, errnos := range answers {
		for n := 1; n <= made.Most(name); n++ {
			met := made.Nth(n, name)
			for _, errno := range errnos {
				reads := func(c Call) bool { return name == "openat" && errno != "EMFILE" && !c.Creates() }
				if slices.ContainsFunc(met, func(c Call) bool { return mine(c) && !reads(c) }) {
					all = append(all, Fault{Calls: []string{name}, Nth: n, Errno: errno})
				}
			}
		}
	}
	for errno, names := range lasting {
		for n := 1; n <= made.Most(names...); n++ {
			if slices.ContainsFunc(made.Nth(n, names...), mine) {
				all = append(all, Fault{Calls: names, Nth: n, Errno: errno, Lasting: true})
			}
		}
	}
	slices.SortFunc(all, func(a, b Fault) int { return strings.Compare(a.String(), b.String()) })
	return all
}
