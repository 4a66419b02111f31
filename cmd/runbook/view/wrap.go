package view

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// colours are what paint puts around a text. They take no columns.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// columnsOf is how wide a painted text is.
func columnsOf(text string) int { return runewidth.StringWidth(colours.ReplaceAllString(text, "")) }

// wrapped is a text, painted or not, whose lines are broken at words where they
// are wider than a terminal of that width, and go on under themselves. What is to
// be typed, and a path or an address, stays whole. With a width of 0 it is left as
// it is.
func wrapped(text string, width int) string {
	if width <= 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if columnsOf(line) > width {
			lines[i] = folded(line, width, hangOf(line, width))
		}
	}
	return strings.Join(lines, "\n")
}

// spacedWord is a word and the space before it.
var spacedWord = regexp.MustCompile("([ \t]*)([^\\s`]*`[^`]+`\\S*|\\S+)")

// folded breaks a line, which goes on in a column.
func folded(line string, width, hang int) string {
	var b strings.Builder
	at := 0
	for _, p := range pieces(line, width-hang) {
		space, word := columnsOf(p[0]), columnsOf(p[1])
		if at > 0 && at+space+word > width {
			at = max(min(hang, width-word), 0)
			b.WriteString("\n" + strings.Repeat(" ", at))
			space = 0
		} else {
			b.WriteString(p[0])
		}
		b.WriteString(p[1])
		at += space + word
	}
	return b.String()
}

// pieces are the words of a line, each with the space before it. Something to be
// typed is one word where it has room.
func pieces(line string, room int) [][2]string {
	var all [][2]string
	for _, m := range spacedWord.FindAllStringSubmatch(line, -1) {
		if columnsOf(m[2]) <= room {
			all = append(all, [2]string{m[1], m[2]})
			continue
		}
		for i, word := range strings.Split(m[2], " ") {
			space := " "
			if i == 0 {
				space = m[1]
			}
			all = append(all, [2]string{space, word})
		}
	}
	return all
}

// label is a short text, a name or a number, with what is said of it behind two
// spaces or more.
var label = regexp.MustCompile(`^ *\S.*? {2,}`)

// hangOf is where a line goes on: under the text behind its mark or its label, or
// else under its beginning.
func hangOf(line string, width int) int {
	bare := colours.ReplaceAllString(line, "")
	text := strings.TrimLeft(bare, " ")
	lead := len(bare) - len(text)
	mark, n := utf8.DecodeRuneInString(text)
	if strings.HasPrefix(text[n:], " ") && !unicode.IsLetter(mark) && !unicode.IsDigit(mark) {
		return lead + runewidth.RuneWidth(mark) + 1
	}
	if l := label.FindString(bare); l != "" {
		if column := runewidth.StringWidth(l); column <= width/3 {
			return column
		}
		return lead + 4
	}
	return lead
}

// middle is a text without its middle where it is wider than that. More is left of
// its end: a path ends with the name, and a message with the reason.
func middle(text string, columns int) string {
	if runewidth.StringWidth(text) <= columns {
		return text
	}
	const gap = "…"
	switch {
	case columns <= 0:
		return ""
	case columns == 1:
		return gap
	}
	head := runewidth.Truncate(text, (columns-1)/3, "")
	rest := columns - 1 - runewidth.StringWidth(head)
	return head + gap + runewidth.TruncateLeft(text, runewidth.StringWidth(text)-rest, "")
}

// inBrief is a text on one line, without words from its middle where it is wider
// than that: it begins with what it is about and ends with the reason.
func inBrief(text string, columns int) string {
	words := strings.Fields(text)
	text = strings.Join(words, " ")
	if runewidth.StringWidth(text) <= columns || len(words) < 4 {
		return middle(text, columns)
	}
	from, to, width := 0, len(words), 3
	for {
		next := words[from]
		if from > len(words)-to {
			next = words[to-1]
		}
		if width += 1 + runewidth.StringWidth(next); width > columns || from+1 >= to {
			break
		}
		if from > len(words)-to {
			to--
		} else {
			from++
		}
	}
	return middle(strings.Join(words[:from], " ")+" … "+strings.Join(words[to:], " "), columns)
}

// brief is inBrief with words that have room on the terminal.
func (h *Human) brief(text string, columns int) string {
	if h.verbose {
		return text
	}
	return inBrief(h.fitting(text), columns)
}

// fitting is a text of which each word has room on the terminal.
func (h *Human) fitting(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		words[i] = middle(w, h.room(4))
	}
	return strings.Join(words, " ")
}

// beginning is a text on one line, without its last words where it is wider than
// that.
func beginning(text string, columns int) string {
	text = strings.Join(strings.Fields(text), " ")
	if runewidth.StringWidth(text) <= columns {
		return text
	}
	short := runewidth.Truncate(text, columns-1, "")
	if at := strings.LastIndexByte(short, ' '); at > columns/2 {
		short = short[:at]
	}
	return short + "…"
}
