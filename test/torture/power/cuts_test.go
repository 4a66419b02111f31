package power

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
)

// cut is what a disk holds after a power cut, and what the screen had said.
type cut struct {
	disk   disk
	screen screen
	at     string // after which call
	what   string // which of the pending operations were spared
}

// cuts gathers the states that power cuts leave behind, each once. Of those
// that are equal the last is kept: the screen had said the most by then.
type cuts struct {
	states map[[32]byte]*cut
	order  []*cut
	points int
	chance *rand.Rand
}

func newCuts(chance *rand.Rand) *cuts {
	return &cuts{states: map[[32]byte]*cut{}, chance: chance}
}

const (
	mixes     = 4  // by chance, for each point
	mostAlone = 60 // of the operations that are pending at one point
)

// add adds what a power cut may leave behind now.
func (s *cuts) add(m *model, shown screen, at string) {
	s.points++
	try := func(what string, choice map[*op]part) {
		s.keep(&cut{disk: m.after(choice), screen: shown, at: at, what: what})
	}
	try("nothing that was pending", nil)
	all := map[*op]part{}
	for _, o := range m.pending {
		all[o] = whole
	}
	try("all that was pending", all)
	for _, i := range s.some(len(m.pending), mostAlone) {
		o := m.pending[i]
		try("of all that was pending only "+o.String(), map[*op]part{o: whole})
		without := map[*op]part{}
		for _, other := range m.pending {
			if other != o && !other.needs(o) {
				without[other] = whole
			}
		}
		try("all that was pending but "+o.String(), without)
		for _, w := range s.torn(o) {
			try(o.String()+" "+w.what+", nothing else", map[*op]part{o: w.part})
			without[o] = w.part
			try(o.String()+" "+w.what+", all else", without)
		}
	}
	for range mixes {
		what, choice := s.mix(m.pending)
		try(what, choice)
	}
}

// some are numbers up to n, all or at most the given number by chance.
func (s *cuts) some(n, most int) []int {
	all := s.chance.Perm(n)
	return all[:min(n, most)]
}

// way is how a write is there in part.
type way struct {
	what string
	part part
}

// torn are the ways in which a write may be there in part.
func (s *cuts) torn(o *op) []way {
	if o.data == nil {
		return nil
	}
	n := o.sectors()
	ways := []way{{"as zeros", part{sectors: make([]bool, n), size: true}}}
	if n == 1 {
		return ways
	}
	first, last, some := make([]bool, n), make([]bool, n), make([]bool, n)
	first[0], last[n-1] = true, true
	for i := range some {
		some[i] = s.chance.IntN(2) == 0
	}
	begun := 1 + s.chance.IntN(n-1)
	until := slices.Concat(slices.Repeat([]bool{true}, begun), make([]bool, n-begun))
	return append(ways,
		way{"torn behind its first sector", part{sectors: first}},
		way{"torn in front of its last sector", part{sectors: last}},
		way{fmt.Sprintf("torn behind sector %d", begun), part{sectors: until}},
		way{"in some sectors", part{sectors: some, size: true}})
}

// mix spares each operation by chance, and writes in some of their sectors.
func (s *cuts) mix(pending []*op) (what string, choice map[*op]part) {
	choice = map[*op]part{}
	what = "by chance"
	for i, o := range pending {
		switch ways := s.torn(o); s.chance.IntN(3) {
		case 0:
			choice[o] = whole
			what += fmt.Sprintf(" %d", i)
		case 1:
			if len(ways) > 0 {
				w := ways[len(ways)-1]
				choice[o] = w.part
				what += fmt.Sprintf(" %d %s", i, w.what)
			}
		}
	}
	return what, choice
}

func (s *cuts) keep(c *cut) {
	key := sha256.Sum256([]byte(c.disk.text("/", true)))
	if was := s.states[key]; was != nil {
		was.screen = c.screen
		return
	}
	s.states[key] = c
	s.order = append(s.order, c)
}

// draw leaves some of the states, by chance.
func (s *cuts) draw(some int) {
	s.chance.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
	s.order = s.order[:min(len(s.order), some)]
}
