package file

import (
	"os"
	"strconv"
	"strings"

	"runbook/engine"
)

// refuseMounts refuses to copy a tree with something mounted in it: a copy
// that lacks a part without a word is worse than none. The tree is at real
// now.
func refuseMounts(path, real string) error {
	mounts, err := mountPoints()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if below(m, real) {
			return engine.Errorf(path, "another file system is mounted inside, at %s", m).
				WithHint("Unmount it, or copy its content and the rest in steps of their own.").WithAttribute("from")
		}
	}
	return nil
}

func mountPoints() ([]string, error) {
	const table = "/proc/self/mountinfo"
	data, err := os.ReadFile(table)
	if err != nil {
		return nil, &engine.Error{Where: table, Err: err}
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 {
			points = append(points, unescaped(f[4]))
		}
	}
	return points, nil
}

// unescaped is a path of the table with its blanks, which are in it as octal
// numbers.
func unescaped(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			return b.String() + s
		}
		b.WriteString(s[:i])
		if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			b.WriteByte(byte(n))
		}
		s = s[i+4:]
	}
}
