// Package screen is a terminal's screen, for tests of what is drawn on one. It
// knows the few codes that the product uses and takes note of all others.
package screen

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/mattn/go-runewidth"
)

// A Screen shows what was written to it. Lines that scroll off its top are kept.
type Screen struct {
	mu            sync.Mutex
	width, height int
	rows          []row
	x, y          int // of the cursor; y counts from the oldest row
	code          []rune
	unknown       []string
	wraps, writes int
}

// row is a row of the screen. The second cell of a wide character holds 0.
type row struct {
	cells   []rune
	wrapped bool // the next row goes on with this one's line
}

// New returns an empty screen.
func New(width, height int) *Screen {
	return &Screen{width: width, height: height, rows: make([]row, 1)}
}

// Size returns the size in columns and rows.
func (s *Screen) Size() (width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width, s.height
}

// Wraps counts the lines that were too long for the screen.
func (s *Screen) Wraps() int { return s.wraps }

// Writes counts the calls of Write.
func (s *Screen) Writes() int { return s.writes }

// Unknown lists the codes that a terminal needn't know.
func (s *Screen) Unknown() []string { return s.unknown }

// Column is where the cursor is, from 0 on.
func (s *Screen) Column() int { return s.x }

// Write shows text. A line feed returns the cursor as well, as a terminal's
// driver has it.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for _, r := range string(text) {
		s.put(r)
	}
	return len(text), nil
}

func (s *Screen) put(r rune) {
	switch {
	case len(s.code) > 0 || r == '\x1b':
		s.escape(r)
	case r == '\r':
		s.x = 0
	case r == '\n':
		s.x = 0
		s.down()
	case r < ' ':
		s.unknown = append(s.unknown, fmt.Sprintf("%q", r))
	default:
		s.show(r)
	}
}

func (s *Screen) down() {
	s.y++
	if s.y == len(s.rows) {
		s.rows = append(s.rows, row{})
	}
}

func (s *Screen) show(r rune) {
	wide := runewidth.RuneWidth(r)
	if s.x+wide > s.width {
		s.wraps++
		s.rows[s.y].wrapped = true
		s.x = 0
		s.down()
	}
	line := &s.rows[s.y]
	for len(line.cells) < s.x+wide {
		line.cells = append(line.cells, ' ')
	}
	line.cells[s.x] = r
	for i := 1; i < wide; i++ {
		line.cells[s.x+i] = 0
	}
	s.x += wide
}

// escape collects a code and carries it out once it is complete.
func (s *Screen) escape(r rune) {
	s.code = append(s.code, r)
	if len(s.code) < 3 && (r == '\x1b' || r == '[') || strings.ContainsRune("0123456789;?", r) {
		return
	}
	code := string(s.code)
	s.code = nil
	switch n, err := strconv.Atoi(strings.Trim(code, "\x1b[A")); {
	case code == "\x1b[K":
		s.erase(s.y)
	case code == "\x1b[J":
		s.erase(s.y)
		s.rows = s.rows[:s.y+1]
	case strings.HasSuffix(code, "A") && err == nil:
		s.y = max(s.y-n, s.top())
	case strings.HasSuffix(code, "m"):
	default:
		s.unknown = append(s.unknown, fmt.Sprintf("%q", code))
	}
}

// erase empties a row from the cursor on.
func (s *Screen) erase(y int) {
	line := &s.rows[y]
	line.cells, line.wrapped = line.cells[:min(s.x, len(line.cells))], false
}

// top is the first row that is on the screen.
func (s *Screen) top() int { return max(0, len(s.rows)-s.height) }

// Resize makes the screen another size. Lines that don't fit any more are
// broken, and mended when they fit again.
func (s *Screen) Resize(width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []row
	x, y := 0, 0
	for from := 0; from < len(s.rows); {
		line, at := []rune{}, -1
		for more := true; more; from++ {
			if from == s.y {
				at = len(line) + s.x
			}
			line = append(line, s.rows[from].cells...)
			more = s.rows[from].wrapped && from+1 < len(s.rows)
		}
		if at >= 0 {
			x, y = at%width, len(rows)+at/width
		}
		rows = append(rows, broken(line, width)...)
	}
	for y >= len(rows) {
		rows = append(rows, row{})
	}
	s.width, s.height, s.rows, s.x, s.y = width, height, rows, x, y
}

func broken(line []rune, width int) []row {
	var rows []row
	for len(line) > width {
		rows = append(rows, row{cells: append([]rune{}, line[:width]...), wrapped: true})
		line = line[width:]
	}
	return append(rows, row{cells: append([]rune{}, line...)})
}

// String is everything that was shown, what has scrolled away first, without
// blanks at the ends of lines.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, r := range s.rows {
		text := strings.ReplaceAll(string(r.cells), "\x00", "")
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
