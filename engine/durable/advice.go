package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Advised adds to an error of a disk that is full, read-only or failing what
// there is to know of that disk, and what to do: then is what can be done once
// the cause is gone, such as "resume the run". Any other error stays as it is.
func Advised(err error, then string) error {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err
	}
	e := placed(err)
	if e == nil {
		return err
	}
	facts, cure := diskAdvice(number, e.Where)
	if facts == "" {
		return err
	}
	advice := facts + " " + cure + ", then " + then + "."
	if hint := engine.HintOf(err); hint != "" {
		advice = facts + " " + hint
	}
	return &engine.Error{Where: e.Where, Err: e.Err, Hint: advice, Attribute: e.Attribute}
}

// placed is err as one that has a path for its place; nil where there is none.
// What has put other words around a place, such as Pin.Named, is heard.
func placed(err error) *engine.Error {
	var e *engine.Error
	where, rest, found := strings.Cut(err.Error(), ": ")
	switch {
	case !errors.As(err, &e):
	case e.Error() == err.Error() || !found || !filepath.IsAbs(where):
		return e
	default:
		return &engine.Error{Where: where, Err: &namedError{err, rest}, Attribute: e.Attribute}
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return engine.Errorf(p.Path, "%s: %w", p.Op, p.Err)
	}
	return nil
}

func diskAdvice(number syscall.Errno, path string) (facts, cure string) {
	switch number {
	case unix.EMFILE:
		return "This process has as many files open as it may.", "Allow it more, with `ulimit -n`"
	case unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EIO:
	default:
		return "", ""
	}
	disk, dir := fileSystem(path)
	switch {
	case disk == "":
		return "", ""
	case number == unix.ENOSPC:
		return disk + " has " + room(dir) + ".", "Make room there"
	case number == unix.EDQUOT:
		return fmt.Sprintf("The quota of user %d on it is used up: %s has %s.", os.Geteuid(), lower(disk), room(dir)), "Make room there, or raise the quota"
	case number == unix.EROFS:
		return disk + " is read-only. The kernel makes it so where it meets an error; dmesg tells.", "Have it writable again"
	}
	return disk + " fails; dmesg tells more.", "Mend it"
}

func lower(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// fileSystem describes the file system that holds path, and returns the nearest
// directory on it that exists.
func fileSystem(path string) (text, dir string) {
	if !filepath.IsAbs(path) || within(path, "/dev") || within(path, "/proc") {
		return "", ""
	}
	for dir = path; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || dir == "/" {
			break
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "The file system of " + dir, dir
	}
	at, kind, device := "", "", ""
	for line := range strings.Lines(string(mounts)) {
		mount, source, found := strings.Cut(line, " - ")
		where, what := strings.Fields(mount), strings.Fields(source)
		if !found || len(where) < 5 || len(what) < 2 {
			continue
		}
		// Of two at one place the later one lies above.
		if point := unescaped(where[4]); within(dir, point) && len(point) >= len(at) {
			at, kind, device = point, what[0], what[1]
		}
	}
	return fmt.Sprintf("The file system at %s (%s on %s)", at, kind, device), dir
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// unescaped undoes the kernel's escapes in a list of mounts.
func unescaped(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

// fewFiles is how many free files may be what the failed call has given back when
// it cleared up.
const fewFiles = 16

// room tells how much a file system has left. It may have run out of files
// rather than of bytes.
func room(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "no room left"
	}
	free := st.Bavail * uint64(st.Bsize)
	text := fmt.Sprintf("%s free of %s", humanize.IBytes(free), humanize.IBytes(st.Blocks*uint64(st.Bsize)))
	switch {
	case st.Files > 0 && st.Ffree == 0:
		text += fmt.Sprintf(", but no room for one more file beside its %s", humanize.Comma(int64(st.Files)))
	case st.Files > 0 && st.Ffree < fewFiles:
		text += fmt.Sprintf(", but hardly room for one more file beside its %s", humanize.Comma(int64(st.Files)-int64(st.Ffree)))
	case free > 1<<20:
		text += "; if that is enough, then what it lies on is full, as dmesg tells"
	}
	return text
}
