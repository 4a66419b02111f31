package host

import (
	"path/filepath"
	"sort"
	"sync"

	"runbook/engine"
)

// history is a list of effects with an index by the paths that they speak of:
// a runbook of thousands of steps asks about thousands of paths.
type history struct {
	effects  []engine.Effect
	byPath   map[string][]int // in ascending order
	units    map[string]int   // the newest
	anything []int
	moves    []int
	taken    int64 // how much space the effects use
}

// add takes in the effects that have come since.
func (h *history) add(effects []engine.Effect) {
	if h.byPath == nil {
		h.byPath, h.units = map[string][]int{}, map[string]int{}
	}
	for i := len(h.effects); i < len(effects); i++ {
		h.index(i, effects[i])
	}
	h.effects = effects
}

func (h *history) index(i int, e engine.Effect) {
	speaks := func(paths ...string) {
		for _, p := range paths {
			p = filepath.Clean(p)
			h.byPath[p] = append(h.byPath[p], i)
		}
	}
	switch {
	case e.Anything:
		h.anything = append(h.anything, i)
	case e.Moved != nil:
		speaks(e.Moved.From, e.Moved.To)
		h.moves = append(h.moves, i)
	case e.Copied != nil:
		speaks(e.Copied.To)
		h.taken += e.Copied.Bytes
	case e.Removed != nil:
		speaks(e.Removed.Path)
	case e.Created != nil:
		speaks(e.Created.Fact.Path)
		h.taken += e.Created.Bytes
	case e.Owned != nil:
		speaks(e.Owned.Path)
	case e.Unit != nil:
		h.units[e.Unit.Name] = i
	}
}

// before returns the newest effect older than i that may concern path: it
// speaks of path or of a directory that path is in, or may be anything. It is
// -1 if there is none.
func (h *history) before(i int, path string) int {
	best := newest(h.anything, i)
	for {
		best = max(best, newest(h.byPath[path], i))
		parent := filepath.Dir(path)
		if parent == path {
			return best
		}
		path = parent
	}
}

// newest is the largest of the ascending all below i, or -1.
func newest(all []int, i int) int {
	n := sort.SearchInts(all, i)
	if n == 0 {
		return -1
	}
	return all[n-1]
}

// histories keeps the index of the last list of effects. A planner adds to its
// list step by step, and asks after each.
type histories struct {
	mu   sync.Mutex
	last *history
}

// forget drops the index and the effects in it: of a long plan they take
// megabytes, and a run asks for none.
func (c *histories) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = nil
}

// of returns the index of effects, which nobody may change afterwards.
func (c *histories) of(effects []engine.Effect) *history {
	if len(effects) == 0 {
		return &history{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	grown := c.last != nil && len(effects) >= len(c.last.effects) && &effects[0] == &c.last.effects[0]
	if !grown {
		c.last = &history{}
	}
	if len(effects) > len(c.last.effects) {
		c.last.add(effects)
	}
	return c.last
}
