package staticpod

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
)

// wordsTold is how many lines of a container an error tells.
const wordsTold = 5

// lastWords are the lines of a container's log that say why it ended. They only
// add to an error, so where there are none they are empty.
func (r *runtime) lastWords(ctx context.Context, id string) string {
	s, _, err := r.status(ctx, id)
	if err != nil || s == nil || s.LogPath == "" {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(tail(s.LogPath)), "\n")
	for i, line := range lines {
		if parts := strings.SplitN(line, " ", 4); len(parts) == 4 { // time, stream, whether it is whole
			lines[i] = parts[3]
		}
	}
	return strings.ToValidUTF8(strings.Join(telling(lines), "\n"), "?")
}

// final is what a server says when it can't go on: etcd, Go's runtime, klog, and
// what reads flags.
var final = regexp.MustCompile(`"level":"(fatal|panic|dpanic)"|^(panic|fatal error|Error): |^F\d{4} |command failed|failed to verify flags|flag provided but not defined`)

// telling are the lines that tell why a program ended. What matters is the first
// that is final: behind it come stacks and usage texts.
func telling(lines []string) []string {
	for _, line := range lines {
		if final.MatchString(line) {
			return []string{line}
		}
	}
	return lines[max(0, len(lines)-wordsTold):]
}

// tail is the end of a file, as far as it can be read.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	end := make([]byte, min(info.Size(), 64<<10))
	n, err := f.ReadAt(end, info.Size()-int64(len(end)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(end[:n])
}
