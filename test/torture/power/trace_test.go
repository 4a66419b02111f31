package power

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// traced are the system calls that change something on a file system, or make
// it durable, and those that tell which descriptor is which file. Where strace
// doesn't know one with a question mark, it can't be made on this machine.
const traced = "openat,?openat2,?open,?creat,close,lseek,write,pwrite64,writev,pwritev,?pwritev2," +
	"fsync,fdatasync,syncfs,sync,sync_file_range,msync,mmap," +
	"?rename,?renameat,renameat2,?link,linkat,?symlink,symlinkat,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?mknod,mknodat," +
	"?chmod,fchmod,fchmodat,?fchmodat2,?chown,?lchown,fchown,fchownat,?utime,?utimes,?futimesat,utimensat," +
	"truncate,ftruncate,fallocate,copy_file_range,sendfile,splice,ioctl," +
	"setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr," +
	"clone,?clone3,?fork,?vfork,?io_uring_setup"

// call is one system call that succeeded.
type call struct {
	tid         int
	name        string
	args        []string // as strace prints them
	ret         int64
	retPath     string // of the descriptor that it returned
	entry, exit int    // lines of the trace: when it began and was through
}

func (c call) String() string {
	args := make([]string, len(c.args))
	for i, a := range c.args {
		args[i] = shorten(a)
	}
	return fmt.Sprintf("%s(%s)", c.name, strings.Join(args, ", "))
}

// shorten is an argument for people to read.
func shorten(arg string) string {
	if fd, path, ok := strings.Cut(arg, "<"); ok && strings.HasSuffix(path, ">") {
		arg = fd + "<" + unhex(strings.TrimSuffix(path, ">")) + ">"
	} else if strings.HasPrefix(arg, `"`) {
		arg = strconv.Quote(str(arg))
	}
	if len(arg) > 120 {
		arg = arg[:120] + "…"
	}
	return arg
}

// readTrace reads what `strace -f -y -xx` wrote: a line for each call, or two
// where others came between.
func readTrace(path string) ([]call, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	var calls []call
	begun := map[int]call{}
	half := map[int]string{} // the text of a call that isn't through
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		tid, text, ok := ofThread(lines.Text())
		if !ok {
			continue
		}
		if rest, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			begun[tid], half[tid] = call{tid: tid, entry: n}, rest
			continue
		}
		c := call{tid: tid, entry: n}
		if rest, ok := strings.CutPrefix(text, "<... "); ok {
			_, tail, _ := strings.Cut(rest, " resumed>")
			c, text = begun[tid], half[tid]+tail
			delete(half, tid)
		}
		c.exit = n
		done, err := c.parse(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w", n, err)
		}
		if done {
			calls = append(calls, c)
		}
	}
	return calls, lines.Err()
}

// ofThread splits a line's thread off. Signals and ends of threads are no
// calls, nor is what a thread was in when its process ended.
func ofThread(line string) (tid int, text string, ok bool) {
	first, text, ok := strings.Cut(line, " ")
	tid, err := strconv.Atoi(first)
	text = strings.TrimLeft(text, " ")
	none := strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") || strings.HasSuffix(text, "<detached ...>")
	return tid, text, ok && err == nil && !none
}

// parse reads a whole call and reports whether it succeeded.
func (c *call) parse(text string) (bool, error) {
	open := strings.IndexByte(text, '(')
	if open < 0 {
		return false, fmt.Errorf("no call: %.80s", text)
	}
	c.name = text[:open]
	end := c.split(text[open+1:])
	if end < 0 {
		return false, fmt.Errorf("no end: %.80s", text)
	}
	_, result, ok := strings.Cut(text[open+1+end:], "= ")
	if !ok {
		return false, fmt.Errorf("no result: %.80s", text)
	}
	number, rest, _ := strings.Cut(result, " ")
	number, path, _ := strings.Cut(number, "<")
	c.retPath = unhex(strings.TrimSuffix(path, ">"))
	if number == "?" || strings.HasPrefix(number, "-1") {
		return false, nil
	}
	var err error
	if c.ret, err = strconv.ParseInt(number, 0, 64); err != nil && c.name != "mmap" {
		return false, fmt.Errorf("the result %q (%s): %w", number, rest, err)
	}
	return true, nil
}

// split takes the arguments apart and returns where the closing brace is.
// Texts are in hexadecimal, so there is no comma or brace in them.
func (c *call) split(text string) int {
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				c.args = append(c.args, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		case ')':
			if depth == 0 {
				if arg := strings.TrimSpace(text[from:i]); arg != "" {
					c.args = append(c.args, arg)
				}
				return i + 1
			}
			depth--
		}
	}
	return -1
}

// fd is an argument that is a descriptor, with the path that strace gives it.
func fd(arg string) (n int, path string) {
	number, path, _ := strings.Cut(arg, "<")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = -1
	}
	return n, unhex(strings.TrimSuffix(path, ">"))
}

// str is an argument that is a text.
func str(arg string) string { return unhex(strings.Trim(arg, `"`)) }

func unhex(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		return s
	}
	return string(b)
}

func num(arg string) (int64, error) { return strconv.ParseInt(strings.Fields(arg)[0], 0, 64) }

func has(flags, flag string) bool {
	for f := range strings.SplitSeq(flags, "|") {
		if f == flag {
			return true
		}
	}
	return false
}
