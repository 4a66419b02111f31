package view

import (
	"io"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
)

// region is the lines at the bottom of a terminal that are drawn anew over
// themselves. It needs no more of a terminal than to move the cursor up and to
// erase. The cursor rests at the start of the last line: what a key echoes there
// doesn't make the line wrap.
type region struct {
	out   io.Writer
	size  func() (width, height int)
	drawn []statusLine
	width int // at which drawn was
}

// statusLine is a line that is no wider than the terminal.
type statusLine struct {
	text  string // with colours
	width int    // in columns
}

const (
	eraseLine  = "\x1b[K" // to its end
	eraseBelow = "\x1b[J" // from the cursor on
)

// draw replaces what was drawn by lines.
func (r *region) draw(lines []statusLine) {
	width, _ := r.size()
	if len(lines) == 0 && len(r.drawn) == 0 || width == r.width && same(lines, r.drawn) {
		return
	}
	var b strings.Builder
	b.WriteString(r.toTop(width))
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l.text + eraseLine)
	}
	b.WriteString(eraseBelow)
	if len(lines) > 0 {
		b.WriteByte('\r')
	}
	_, _ = io.WriteString(r.out, b.String()) // as with Human's lines
	r.drawn, r.width = lines, width
}

// erase takes away what was drawn and leaves the cursor where it began.
func (r *region) erase() {
	r.draw(nil)
}

// toTop moves the cursor to the start of what was drawn. A terminal that became
// narrower since has broken the lines that no longer fit, and they take more
// rows now.
func (r *region) toTop(width int) string {
	up := 0
	for i, l := range r.drawn {
		if i < len(r.drawn)-1 {
			up += max(1, (l.width+width-1)/width)
		}
	}
	if up == 0 {
		return "\r"
	}
	return "\r\x1b[" + strconv.Itoa(up) + "A"
}

func same(a, b []statusLine) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// fit shortens a text to a number of columns, and takes out what would move the
// cursor.
func fit(text string, columns int) string {
	text = clean(strings.Join(strings.Fields(text), " "))
	return runewidth.Truncate(text, columns, "…")
}
