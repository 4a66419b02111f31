package kill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"runbook/test/torture/tally"
)

// A kill is a point of a stage. In some series the two processes that follow
// are killed too.
type kill struct {
	stage int
	point
	next [2]point
}

func (k kill) String() string {
	text := fmt.Sprintf("%s of stage %d", k.point, k.stage)
	if k.next[0].nth > 0 {
		text += fmt.Sprintf(", then at %s, then at %s", k.next[0], k.next[1])
	}
	return text
}

// chooser chooses by chance.
type chooser struct{ *rand.Rand }

// some returns a number of kills: the first number in make test, the second in
// make torture.
func (c chooser) some(from []kill, quick, full int) []kill {
	n := quick
	if tally.Full() {
		n = full
	}
	from = slices.Clone(from)
	c.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:min(n, len(from))]
}

// with gives each kill two more: early ones, as what goes on after a kill may be
// short.
func (c chooser) with(from, kills []kill) []kill {
	from = slices.DeleteFunc(slices.Clone(from), func(k kill) bool {
		return !slices.Contains(changing, k.call) // some forms of the others come late
	})
	for i := range kills {
		for j := range kills[i].next {
			p := from[c.IntN(len(from))].point
			kills[i].next[j] = point{p.call, 1 + c.IntN(min(p.nth, 8))}
		}
	}
	return kills
}

// each tries every one of kills, in n scenes at once. A scene is made for each
// subtest.
func each[S any](h *host, name string, n int, kills []kill, scene func(h *host, i int) S, try func(S, kill)) {
	h.Helper()
	var next atomic.Int64
	take := func() (k kill, ok bool) {
		i := int(next.Add(1) - 1)
		if ok = i < len(kills); ok {
			k = kills[i]
		}
		return k, ok
	}
	ok := h.Run(name, func(t *testing.T) {
		for i := range min(n, len(kills)) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				s := scene(h.in(t), i)
				k, ok := take()
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("killed at %s", k)
						next.Store(int64(len(kills))) // the others need not go on
					}
				})
				for ok {
					if try(s, k); t.Failed() {
						return
					}
					k, ok = take()
				}
			})
		}
	})
	if !ok {
		h.FailNow()
	}
}

// held counts what was tried, where it held.
func (h *host) held(what string) {
	h.Helper()
	h.heldIf(true, what)
}

func (h *host) heldIf(tried bool, what string) {
	h.Helper()
	if tried && !h.Failed() {
		tally.Count(h, what, 1)
	}
}

func (h *host) equal(what, got, want string) {
	h.Helper()
	if got != want {
		h.Errorf("%s (- is, + should be):\n%s", what, difference(got, want))
	}
}

// difference is what two texts have each for itself, line by line.
func difference(got, want string) string {
	var out strings.Builder
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			out.WriteString("- " + line + "\n")
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out.WriteString("+ " + line + "\n")
		}
	}
	if out.Len() == 0 {
		return "in another order, or another number of times:\n" + got + "\nshould be:\n" + want
	}
	return out.String()
}
