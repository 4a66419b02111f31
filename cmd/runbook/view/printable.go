package view

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/zclconf/go-cty/cty"
)

// Names, values and messages come from files, hosts and programs. A terminal
// obeys what is in them: it moves, hides, renames, and some answer as if somebody
// had typed. So nothing reaches it but what was painted here or is printable.

// paint is a colour for texts of whatever origin.
type paint struct{ *color.Color }

// painted is a text that may be shown as it is.
type painted string

// Sprint paints a text.
func (p paint) Sprint(text string) painted { return painted(p.Color.Sprint(printable(text))) }

// Sprintf paints a text made of others.
func (p paint) Sprintf(format string, args ...any) painted {
	return painted(p.Color.Sprint(sprintf(format, args...)))
}

// sprintf is fmt.Sprintf with what is printable of args.
func sprintf(format string, args ...any) string {
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = printableArg(a)
	}
	return fmt.Sprintf(format, safe...)
}

func printableArg(a any) any {
	switch a := a.(type) {
	case painted:
		return string(a)
	case string:
		return printable(a)
	case error:
		return printable(a.Error())
	case fmt.Stringer:
		return printable(a.String())
	}
	if v := reflect.ValueOf(a); v.IsValid() && v.Kind() == reflect.String {
		return printable(v.String())
	}
	return a
}

// printable is a text of unknown origin, of one line or several, without what a
// terminal would obey, and without what would turn the order of its letters
// round.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || !obeyed(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ReplaceAll(text, "\r\n", "\n"))
}

// clean is printable for a text that has to stay on one line.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if obeyed(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func obeyed(r rune) bool {
	return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

// oneWord is the name of something, quoted where it isn't what it seems: a name
// with an end of line in it could pass for a line of its own.
func oneWord(name string) string {
	if utf8.ValidString(name) && clean(name) == name {
		return name
	}
	return strconv.Quote(name)
}

// textOf is a value that is a text.
func textOf(v cty.Value) string {
	if v, _ = v.Unmark(); v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		return v.AsString()
	}
	return ""
}
