// Package strace makes system calls of a process fail, and reads what calls it
// made, with strace -f -y.
package strace

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Call is a system call in a log.
type Call struct {
	At           int // its place in the log
	Thread, Name string
	Text         string // its arguments and its result
}

// Calls are those of a log, in its order.
type Calls []Call

var (
	callLine    = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedLine = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
)

// Read reads a log. A call that another thread's came between is in two parts
// in it.
func Read(log string) (Calls, error) {
	text, err := os.ReadFile(log)
	var all Calls
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := callLine.FindStringSubmatch(line); m != nil {
			all = append(all, Call{At: len(all), Thread: m[1], Name: m[2], Text: m[3]})
		} else if m := resumedLine.FindStringSubmatch(line); m != nil {
			all.resume(m[1], m[2], m[3])
		}
	}
	return all, err
}

func (all Calls) resume(thread, name, text string) {
	for i, c := range slices.Backward(all) {
		if c.Thread == thread && c.Name == name {
			all[i].Text += text
			return
		}
	}
}

// Injected are the calls that were made to fail.
func (all Calls) Injected() Calls {
	return slices.DeleteFunc(slices.Clone(all), func(c Call) bool { return !c.Injected() })
}

// Injected reports whether the call was made to fail.
func (c Call) Injected() bool { return strings.Contains(c.Text, "(INJECTED)") }

// Nth returns each thread's n-th call of those named. strace counts likewise.
func (all Calls) Nth(n int, names ...string) (found Calls) {
	seen := map[string]int{}
	for _, c := range all {
		if !slices.Contains(names, c.Name) {
			continue
		}
		if seen[c.Thread]++; seen[c.Thread] == n {
			found = append(found, c)
		}
	}
	return found
}

// Most is how many of the named calls a thread made at most.
func (all Calls) Most(names ...string) (most int) {
	made := map[string]int{}
	for _, c := range all {
		if slices.Contains(names, c.Name) {
			made[c.Thread]++
			most = max(most, made[c.Thread])
		}
	}
	return most
}

var (
	byNumber = regexp.MustCompile(`(?:^|, )\d+<([^>]*)>`)
	byName   = regexp.MustCompile(`(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"`)
)

// Paths are those that a call is about: its files, and for one that is named
// relative to a directory, that directory too.
func (c Call) Paths() (paths []string) {
	for _, m := range byName.FindAllStringSubmatch(c.Text, -1) {
		path := unescaped(m[2])
		if !filepath.IsAbs(path) {
			path = filepath.Join(unescaped(m[1]), path)
		}
		paths = append(paths, path)
	}
	for _, m := range byNumber.FindAllStringSubmatch(c.Text, -1) {
		paths = append(paths, unescaped(m[1]))
	}
	return paths
}

var escape = regexp.MustCompile(`\\[0-7]{1,3}`)

// unescaped is a path without strace's octal escapes.
func unescaped(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		b, err := strconv.ParseUint(e[1:], 8, 8)
		if err != nil {
			return e
		}
		return string([]byte{byte(b)})
	})
}

// Foreign reports whether a call is made to a pipe, a socket, a device or the
// like, behind which is no disk.
func (c Call) Foreign() bool {
	m := byNumber.FindStringSubmatch(c.Text)
	return m != nil && strings.HasPrefix(c.Text, m[0]) && (!strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "/dev/"))
}

// Talks reports whether a call is made to a socket. One that fails while the other
// end knows nothing of it happens to nobody: who waits for an answer waits for ever.
func (c Call) Talks() bool {
	m := byNumber.FindStringSubmatch(c.Text)
	return c.Foreign() && strings.HasPrefix(m[1], "socket:")
}

// Creates reports whether an openat may make a file.
func (c Call) Creates() bool { return strings.Contains(c.Text, "O_CREAT") }

// Syncs reports whether a call is to make something durable. What
// sync_file_range does is a hint.
func (c Call) Syncs() bool { return slices.Contains([]string{"fsync", "fdatasync", "syncfs"}, c.Name) }
