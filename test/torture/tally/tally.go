// Package tally chooses which of the many ways to break a promise a test tries,
// and counts them for the table of `make torture`.
//
// In `make test` a selection is tried, the same every time; in `make torture`
// all of them.
package tally

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"
)

const (
	// FullEnv is set where everything is to be tried.
	FullEnv = "RUNBOOK_TORTURE"
	// SeedEnv holds another seed than the fixed one.
	SeedEnv = "RUNBOOK_TORTURE_SEED"
)

// Full reports whether everything is to be tried.
func Full() bool { return os.Getenv(FullEnv) != "" }

// Seed is what all chance in a test comes from.
func Seed() uint64 {
	n, err := strconv.ParseUint(os.Getenv(SeedEnv), 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// Chance is the test's own source of random numbers. It says what has to be set
// to see a failure again.
func Chance(t testing.TB) *rand.Rand {
	t.Logf("%s=%d", SeedEnv, Seed())
	return rand.New(rand.NewPCG(Seed(), hash(t.Name())))
}

// Takes reports whether to try the case with this name: each in `make torture`,
// one of every n elsewhere.
func Takes(name string, n uint64) bool {
	return Full() || n < 2 || hash(fmt.Sprint(Seed(), name))%n == 0
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// Count tells that n more of something were tried: "kill points of the shipped
// restore". A test counts what held, as it goes.
func Count(t testing.TB, what string, n int) {
	t.Helper()
	t.Logf("tally: %d %s", n, what)
}

var line = regexp.MustCompile(`tally: (\d+) (.+)$`)

// Parse reads a line that Count has written.
func Parse(text string) (what string, n int, ok bool) {
	m := line.FindStringSubmatch(text)
	if m == nil {
		return "", 0, false
	}
	n, err := strconv.Atoi(m[1])
	return m[2], n, err == nil
}
