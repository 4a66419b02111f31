// Package power cuts the power at every moment of a run, and sees how it goes
// on from whatever the disk may hold then.
//
// A run is recorded with strace, call by call, and replayed into a model of a
// file system. What POSIX promises to be durable is that: the content of a file,
// its owner, mode and times after an fsync of the file; a name after an fsync of
// its directory, and not of what it names; everything after a syncfs. All else
// that was done may be on the disk or not, each on its own and in any order, and
// writes in any of their sectors. Two things are taken as given, as they are on
// every file system with a journal: a rename is there as a whole or not at all,
// even if it is from one directory into another, and the same name in a
// directory goes from one state to the next. Calls that succeed tell the truth:
// disks that lie are no part of this.
package power

import (
	"fmt"
	"maps"
	"slices"
)

// model is a file system as a sequence of operations leaves it: what who looks
// at it sees, and what of that is sure to be there after a power cut.
type model struct {
	visible, durable disk
	pending          []*op // what isn't durable yet, in its order
	next             uint64
	seq              int
}

// op is one change that a power cut may undo.
type op struct {
	seq  int
	kind opKind
	// inode is what it changes: a file's data or size, or something's owner,
	// mode or times.
	inode uint64
	apply func(*inode)
	// A write, which may be torn.
	off  int64
	data []byte
	// Entries of directories that change together: a rename is one change.
	entries []entry
}

type opKind byte

const (
	opData opKind = iota // a write, or a change of size
	opAttr               // owner, mode, times
	opEntry
)

type entry struct {
	dir  uint64
	name string
	ino  uint64 // 0 for no entry
}

func newModel(d disk, next uint64) *model {
	return &model{visible: maps.Clone(d), durable: maps.Clone(d), next: next}
}

func (m *model) clone() *model {
	c := *m
	c.visible, c.durable, c.pending = maps.Clone(m.visible), maps.Clone(m.durable), slices.Clone(m.pending)
	return &c
}

// do carries an operation out where it is seen.
func (m *model) do(o *op) {
	m.seq++
	o.seq = m.seq
	o.on(m.visible, whole)
	m.pending = append(m.pending, o)
}

// create makes an inode. A power cut doesn't undo that, but as long as no
// entry of a directory is durable, nobody finds it.
func (m *model) create(n *inode) uint64 {
	ino := m.next
	m.next++
	m.visible[ino], m.durable[ino] = n, n
	return ino
}

// part is how much of an operation reaches the disk.
type part struct {
	none bool
	// sectors says which sectors of a write are there, nil for all; size
	// whether the file is as long as if all were.
	sectors []bool
	size    bool
}

var whole = part{}

// on does to d what of the operation reaches the disk.
func (o *op) on(d disk, p part) {
	switch {
	case p.none:
	case o.kind == opEntry:
		for _, e := range o.entries {
			d.change(e.dir, func(n *inode) { n.set(e.name, e.ino); n.mtime = 0 })
		}
	case o.data != nil:
		d.change(o.inode, func(n *inode) { o.write(n, p) })
	default:
		d.change(o.inode, o.apply)
	}
}

func (o *op) write(n *inode, p part) {
	n.mtime = 0
	if p.sectors == nil {
		n.write(o.off, o.data)
		return
	}
	if p.size {
		n.size = max(n.size, o.off+int64(len(o.data)))
	}
	for i, there := range p.sectors {
		from, to := o.sector(i)
		if there {
			n.write(from, o.data[from-o.off:to-o.off])
		}
	}
}

// sector is where the i-th sector that a write touches begins and ends.
func (o *op) sector(i int) (from, to int64) {
	first := o.off / sectorSize
	from, to = (first+int64(i))*sectorSize, (first+int64(i)+1)*sectorSize
	return max(from, o.off), min(to, o.off+int64(len(o.data)))
}

func (o *op) sectors() int {
	return int((o.off+int64(len(o.data))-1)/sectorSize - o.off/sectorSize + 1)
}

// needs reports whether o can't be on disk without an earlier operation: the
// entry of one name goes from one state to the next, and a name that was given
// away and taken again doesn't skip one.
func (o *op) needs(earlier *op) bool {
	for _, e := range o.entries {
		for _, f := range earlier.entries {
			if e.dir == f.dir && e.name == f.name {
				return true
			}
		}
	}
	return false
}

// sync makes durable what of the operations up to number last is chosen, and
// what that needs.
func (m *model) sync(last int, chosen func(*op) bool) {
	sure := map[*op]bool{}
	for _, o := range m.pending {
		if o.seq <= last && chosen(o) {
			sure[o] = true
		}
	}
	m.close(sure)
	rest := m.pending[:0:0]
	for _, o := range m.pending {
		if sure[o] {
			o.on(m.durable, whole)
		} else {
			rest = append(rest, o)
		}
	}
	m.pending = rest
}

// close adds what the chosen operations need.
func (m *model) close(chosen map[*op]bool) {
	for i := len(m.pending) - 1; i >= 0; i-- {
		if !chosen[m.pending[i]] {
			continue
		}
		for _, earlier := range m.pending[:i] {
			if m.pending[i].needs(earlier) {
				chosen[earlier] = true
			}
		}
	}
}

// fsync makes one inode durable: a file's content, owner, mode and times, or a
// directory's entries with its own. The entry of a new file isn't.
func (m *model) fsync(ino uint64, last int, dataOnly bool) {
	m.sync(last, func(o *op) bool {
		if o.kind == opEntry {
			return slices.ContainsFunc(o.entries, func(e entry) bool { return e.dir == ino })
		}
		return o.inode == ino && (o.kind == opData || !dataOnly)
	})
}

func (m *model) syncAll(last int) { m.sync(last, func(*op) bool { return true }) }

// after is the disk after a power cut from which the chosen parts of what was
// pending were spared.
func (m *model) after(choice map[*op]part) disk {
	chosen := map[*op]bool{}
	for o, p := range choice {
		chosen[o] = !p.none
	}
	m.close(chosen)
	d := maps.Clone(m.durable)
	for _, o := range m.pending {
		if !chosen[o] {
			continue
		}
		p, ok := choice[o]
		if !ok || p.none {
			p = whole
		}
		o.on(d, p)
	}
	return d
}

func (o *op) String() string {
	switch {
	case o.kind == opEntry:
		return fmt.Sprintf("entries %v", o.entries)
	case o.data != nil:
		return fmt.Sprintf("%d bytes at %d of #%d", len(o.data), o.off, o.inode)
	case o.kind == opData:
		return fmt.Sprintf("size of #%d", o.inode)
	}
	return fmt.Sprintf("owner, mode or times of #%d", o.inode)
}
