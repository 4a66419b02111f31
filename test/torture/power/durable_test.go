package power

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// example is a model of a disk with a directory and a file in it.
func example() *model {
	return newModel(disk{
		1: {kind: 'd', mode: 0o755, entries: map[string]uint64{"work": 2}},
		2: {kind: 'd', mode: 0o755, entries: map[string]uint64{"old": 3}},
		3: {kind: 'f', mode: 0o644},
	}, 4)
}

func (m *model) write(ino uint64, text string) {
	m.do(&op{kind: opData, inode: ino, off: m.visible[ino].size, data: []byte(text)})
}

func (m *model) enter(entries ...entry) { m.do(&op{kind: opEntry, entries: entries}) }

// What is durable survives in every state, and what isn't may be gone or torn.
func TestModel(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 100)
	for name, c := range map[string]struct {
		do    func(*model)
		sure  string   // names and contents below /work that are in each state
		maybe []string // that are in some state and not in all
	}{
		"an unsynced write": {
			do:    func(m *model) { m.write(3, long) },
			sure:  "old=",
			maybe: []string{"old=" + long, "old=" + strings.Repeat("\x00", len(long)), "old=" + long[:512]},
		},
		"a synced write": {
			do:   func(m *model) { m.write(3, long); m.fsync(3, m.seq, true) },
			sure: "old=" + long,
		},
		"a synced file without a synced name": {
			do: func(m *model) {
				ino := m.create(&inode{kind: 'f', mode: 0o600})
				m.enter(entry{2, "new", ino})
				m.write(ino, "text")
				m.fsync(ino, m.seq, false)
			},
			maybe: []string{"new=text"},
		},
		"a synced name of an unsynced file": {
			do: func(m *model) {
				ino := m.create(&inode{kind: 'f', mode: 0o600})
				m.enter(entry{2, "new", ino})
				m.write(ino, "text")
				m.fsync(2, m.seq, false)
			},
			sure:  "new=",
			maybe: []string{"new=text", "new=\x00\x00\x00\x00"},
		},
		"a rename is there or not": {
			do:    func(m *model) { m.enter(entry{2, "new", 3}, entry{2, "old", 0}) },
			maybe: []string{"old=", "new="},
		},
		"a name that was given away and taken again": {
			do: func(m *model) {
				ino := m.create(&inode{kind: 'f'})
				m.enter(entry{2, "new", ino})
				m.write(ino, "text")
				m.syncAll(m.seq)
				m.enter(entry{2, "new", 3}, entry{2, "old", ino}) // exchanged
				m.enter(entry{2, "kept", 3}, entry{2, "new", 0})
			},
			maybe: []string{"new=text", "old=text", "kept="},
		},
		"what was written after a sync began": {
			do: func(m *model) {
				m.write(3, "a")
				begun := m.seq
				m.write(3, "b")
				m.fsync(3, begun, false)
			},
			sure:  "old=a",
			maybe: []string{"old=ab"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := example()
			c.do(m)
			s := newCuts(rand.New(rand.NewPCG(1, 1)))
			s.add(m, screen{}, name)
			seen := map[string]int{}
			for _, cut := range s.order {
				for _, line := range linesOf(cut.disk) {
					seen[line]++
				}
				if !slices.ContainsFunc(linesOf(cut.disk), func(line string) bool { return strings.HasPrefix(line, c.sure) }) {
					t.Errorf("%s leaves\n%s", cut.what, cut.disk.text("/", true))
				}
			}
			for _, line := range c.maybe {
				if n := seen[line]; n == 0 || n == len(s.order) {
					t.Errorf("%.60q is in %d states of %d", line, n, len(s.order))
				}
			}
		})
	}
}

func linesOf(d disk) (lines []string) {
	for name, ino := range d[2].entries {
		lines = append(lines, name+"="+string(d[ino].read(0, d[ino].size)))
	}
	return lines
}

// A file is lost where its content is under no name any more.
func TestLost(t *testing.T) {
	m := example()
	m.write(3, "old content")
	m.syncAll(m.seq)
	tr := &trial{before: m.visible}
	for name, c := range map[string]struct {
		entries []entry
		lost    string
	}{
		"renamed":  {entries: []entry{{2, "kept", 3}, {2, "old", 0}}},
		"replaced": {entries: []entry{{2, "old", m.create(&inode{kind: 'f'})}}, lost: workDir + "/old"},
	} {
		now := m.clone()
		now.enter(c.entries...)
		if lost := tr.lost(now.visible); lost != c.lost {
			t.Errorf("%s: %q is lost, not %q", name, lost, c.lost)
		}
	}
}
