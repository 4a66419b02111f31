package causes

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agext/levenshtein"
)

//go:embed flags.txt
var flagsText string

// flagVersions are the versions of etcd whose flags are known, the oldest first.
var flagVersions = []string{"3.5", "3.6", "3.7"}

// knownFlags are etcd's flags, each with the versions that take it, and those
// that are worth naming.
var knownFlags = sync.OnceValue(func() map[string][]string {
	flags := map[string][]string{}
	for line := range strings.Lines(flagsText) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			flags[f[0]] = f[1:]
		}
	}
	return flags
})

var minorVersion = regexp.MustCompile(`^v?(\d+\.\d+)`)

// flagKnown reports whether an etcd of a version takes a flag. Of a version
// that isn't known here, what any of them takes counts.
func flagKnown(name, version string) bool {
	takes, known := knownFlags()[name]
	v := minorOf(version)
	return known && (v == "" || slices.Contains(takes, v))
}

// minorOf is a version without its patch, if its flags are known here.
func minorOf(version string) string {
	m := minorVersion.FindStringSubmatch(version)
	if m == nil || !slices.Contains(flagVersions, m[1]) {
		return ""
	}
	return m[1]
}

// nearestFlag is the one flag that name was most likely meant to be: what an
// older version called it, or the one that differs in the fewest letters. It is
// empty where there is none or more than one.
func nearestFlag(name, version string, used []string) string {
	if bare, was := strings.CutPrefix(name, "experimental-"); was && flagKnown(bare, version) {
		return bare
	}
	nearest, best, ties := "", max(2, len(name)/5)+1, 0
	for flag, takes := range knownFlags() {
		if !flagKnown(flag, version) || slices.Contains(takes, "ignored") || slices.Contains(used, flag) {
			continue
		}
		switch d := levenshtein.Distance(name, flag, nil); {
		case d < best:
			nearest, best, ties = flag, d, 1
		case d == best:
			ties++
		}
	}
	if ties != 1 || best >= len(name) {
		return ""
	}
	return nearest
}
