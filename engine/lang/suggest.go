package lang

import (
	"fmt"

	"github.com/agext/levenshtein"
)

// suggest is the known name that was probably meant, as a sentence; empty if
// none is close.
func suggest(given string, known []string) string {
	if best := Closest(given, known); best != "" {
		return fmt.Sprintf(" Did you mean %q?", best)
	}
	return ""
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
