package view

import (
	"strings"
)

// markup is what may mean something in Markdown, inside of a line.
const markup = "\\`*_{}[]<>()#+-.!|~&:@$^="

// escaped is a text of unknown origin as one line of Markdown. Every character
// that may mean something is escaped, which renders as the character.
func escaped(text string) string {
	text = strings.Join(strings.Fields(clean(strings.ReplaceAll(text, "\n", " "))), " ")
	var b strings.Builder
	for i, r := range text {
		if strings.ContainsRune(markup, r) && !harmless(text, i, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// harmless are the marks of ordinary prose: they mean something only beside
// others that are escaped, or at the beginning of a line.
func harmless(text string, at int, r rune) bool {
	switch r {
	case '(', ')', '.', '=', '!', '^', '$':
		return true
	case ':': // of an address, which would become a link
		return !strings.HasPrefix(text[at+1:], "//")
	}
	return at > 0 && (r == '+' || r == '-')
}

// codeSpan is a text as code within a line: in more backticks than it has in a
// row. In a table a bar would end the cell.
func codeSpan(text string) string {
	text = strings.ReplaceAll(clean(strings.ReplaceAll(text, "\n", " ")), "|", `\|`)
	if text == "" {
		return ""
	}
	ticks := strings.Repeat("`", longest(text, '`')+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return ticks + text + ticks
}

// cell is a text in a table.
func cell(text string) string { return escaped(text) }

// fence is a block of text as it is, under a fence that no line of it can end,
// indented so that it belongs to the item above.
func fence(indent, kind, text string) string {
	marks := strings.Repeat("`", max(3, longest(text, '`')+1))
	lines := strings.Split(printable(strings.TrimRight(text, "\n")), "\n")
	return indent + marks + kind + "\n" + indent + strings.Join(lines, "\n"+indent) + "\n" + indent + marks
}

func longest(text string, want rune) int {
	most, n := 0, 0
	for _, r := range text {
		if n++; r != want {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// strip draws a row of the timeline with characters.
func strip(bars []bar, pauses []band) string {
	const width = 32
	marks := map[string]rune{"done": '█', "failed": '▓', "cut": '▒', "waited": '░', "undone": '▄'}
	line := []rune(strings.Repeat("·", width))
	paint := func(x, w float64, mark rune) {
		from := min(int(x*width/100), width-1)
		for i := from; i < min(max(int((x+w)*width/100+0.5), from+1), width); i++ {
			line[i] = mark
		}
	}
	for _, p := range pauses {
		paint(p.X, p.W, ' ')
	}
	for _, b := range bars {
		paint(b.X, b.W, marks[b.Kind])
	}
	return "`" + string(line) + "`"
}
