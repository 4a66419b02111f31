package command

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"unicode"

	"runbook/engine"
)

// tailSize is how much of a program's output is kept.
const tailSize = 64 << 10

// lineSize is how much of a line is shown while the program runs.
const lineSize = 500

// relay keeps the end of what is written to it, and passes whole lines on for
// as long as somebody takes them. Both are without secrets: what is cut is cut
// so that none is cut through.
type relay struct {
	mu      sync.Mutex
	to      io.Writer
	secrets engine.Secrets
	tail    []byte
	line    []byte
}

// Write implements io.Writer. It never fails: a program doesn't end because
// nobody listens.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tail = append(r.tail, p...)
	if most := tailSize + r.secrets.Longest(); len(r.tail) > 2*most { // now and then, rather than each time
		r.tail = append([]byte(nil), r.tail[len(r.tail)-most:]...)
	}
	for rest := p; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		r.line = append(r.line, part[:min(len(part), lineSize+r.secrets.Longest()-len(r.line))]...)
		if ended {
			r.pass()
		}
		rest = after
	}
	return len(p), nil
}

// pass hands the line on without what would move a terminal's cursor.
func (r *relay) pass() {
	line, _ := r.secrets.Cut(string(r.line), lineSize)
	line = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(r.secrets.Hide(line), "?"))
	r.line = r.line[:0]
	if line = strings.TrimSpace(line); line != "" {
		_, _ = io.WriteString(r.to, line+"\n") // nobody may listen any more
	}
}

// text is the end of what was written.
func (r *relay) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.ToValidUTF8(r.secrets.Hide(r.secrets.CutHead(string(r.tail), tailSize)), "?")
}

// lastLines is the end of a text that may be long.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
