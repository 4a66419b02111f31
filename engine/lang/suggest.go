package lang

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/agext/levenshtein"
)

// suggest is the known name that was probably meant, as a sentence; empty if
// none is close.
func suggest(given string, known []string) string {
	best := Closest(given, known)
	switch {
	case best == "":
		return ""
	case ascii(given) && !ascii(best): // it may look the same
		return fmt.Sprintf(" Did you mean %+q?", best)
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// Closest is the known name that is most like given, if one is like it at all.
func Closest(given string, known []string) string {
	const longest = 100 // of a name that somebody mistyped
	best, least := "", 1+max(2, len(given)/3)
	if len(given) > longest {
		return ""
	}
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		if d := levenshtein.Distance(given, k, nil); d < least {
			best, least = k, d
		}
	}
	return best
}
