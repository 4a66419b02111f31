package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Damage is a place in a database that can't be read.
type Damage struct {
	Bucket   string
	Page     uint64
	Reason   string
	From, To []byte // the keys that are behind it; to is nil for no end
}

const (
	// maxDamage bounds how many places are told one by one.
	maxDamage = 1000
	// maxDepth bounds how deep a damaged tree is followed.
	maxDepth = 64
)

// Tree walks the trees of a database and goes on behind what is damaged.
type Tree struct {
	pages
	Damage  []Damage // the first places
	Damaged int      // how many there are
	seen    []uint64 // a bit a page
}

// NewTree reads a file of size bytes, in which m is the meta page to go by.
func NewTree(r io.ReaderAt, size int64, m Meta) *Tree {
	p := pages{r: r, meta: m, limit: min(uint64(size/m.PageSize), m.Pages)}
	return &Tree{pages: p, seen: make([]uint64, p.limit/64+1)}
}

// Visit is called for each element of a bucket's leaves. It returns why the
// element can't be used, if it can't.
type Visit func(e Element) error

func (t *Tree) fault(d Damage) {
	if t.Damaged++; len(t.Damage) < maxDamage {
		t.Damage = append(t.Damage, d)
	}
}

// mark notes pages as used; it fails where one is in use already.
func (t *Tree) mark(id, n uint64) error {
	for i := id; i < id+n && i < t.limit; i++ {
		if t.seen[i/64]&(1<<(i%64)) != 0 {
			return fmt.Errorf("page %d is used twice", i)
		}
		t.seen[i/64] |= 1 << (i % 64)
	}
	return nil
}

// reached reports whether a page is part of a tree.
func (t *Tree) reached(id uint64) bool { return t.seen[id/64]&(1<<(id%64)) != 0 }

// walk walks the tree below page id, whose keys are in [from, to).
func (t *Tree) walk(bucket string, id uint64, from, to []byte, depth int, fn Visit) {
	p, err := t.Read(id)
	if err == nil && depth > maxDepth {
		err = errors.New("the tree is too deep")
	}
	if err == nil {
		err = t.mark(id, p.pages)
	}
	if err == nil && p.flags != leafFlag && p.flags != branchFlag {
		err = fmt.Errorf("it is neither a leaf nor a branch (type %#x)", p.flags)
	}
	if err != nil {
		t.fault(Damage{Bucket: bucket, Page: id, Reason: err.Error(), From: from, To: to})
		return
	}
	t.elements(bucket, p, from, to, depth, fn)
}

// elements goes through a page's elements.
func (t *Tree) elements(bucket string, p Page, from, to []byte, depth int, fn Visit) {
	last, first := from, true
	for i := range p.Count {
		e, err := p.Element(i)
		if err == nil {
			err = inOrder(e.Key, last, to, first, p.flags)
		}
		if err != nil {
			t.fault(Damage{Bucket: bucket, Page: p.ID, Reason: fmt.Sprintf("element %d: %v", i, err), From: last, To: to})
			continue
		}
		last, first = e.Key, false
		if p.flags == branchFlag {
			t.walk(bucket, e.Child, e.Key, p.next(i, to), depth+1, fn)
			continue
		}
		if err := fn(e); err != nil {
			t.fault(Damage{Bucket: bucket, Page: p.ID, Reason: fmt.Sprintf("element %d: %v", i, err), From: e.Key, To: p.next(i, to)})
		}
	}
}

// inOrder checks a key against the one before it and the bounds that the
// parent sets. The first key of a branch may be older than the branch's own.
func inOrder(key, last, to []byte, first bool, flags uint16) error {
	if len(key) == 0 {
		return errors.New("it has no key")
	}
	c := bytes.Compare(key, last)
	if c < 0 && !(first && flags == branchFlag) || c == 0 && !first {
		return errors.New("its key is out of order")
	}
	if to != nil && bytes.Compare(key, to) >= 0 {
		return errors.New("its key belongs to another page")
	}
	return nil
}

// Buckets walks the root bucket and returns where each bucket is.
func (t *Tree) Buckets() map[string]Element {
	found := map[string]Element{}
	t.walk("", t.meta.root, nil, nil, 0, func(e Element) error {
		if !e.Bucket || len(e.Value) < 16 {
			return errors.New("it is no bucket")
		}
		found[string(e.Key)] = e
		return nil
	})
	return found
}

// Bucket walks one bucket: a tree of pages, or a page inside of the root's
// leaf.
func (t *Tree) Bucket(name string, head Element, fn Visit) {
	root := le.Uint64(head.Value)
	if root != 0 {
		t.walk(name, root, nil, nil, 0, fn)
		return
	}
	inline := head.Value[16:]
	if len(inline) < pageHeader || le.Uint16(inline[8:]) != leafFlag {
		t.fault(Damage{Bucket: name, Page: t.meta.root, Reason: "the bucket inside of it is no leaf"})
		return
	}
	p := Page{ID: t.meta.root, flags: leafFlag, Count: int(le.Uint16(inline[10:])), data: inline}
	t.elements(name, p, nil, nil, 0, fn)
}

// Freelist checks the list of free pages, where the file keeps one.
func (t *Tree) Freelist() {
	id := t.meta.freelist
	if id == noFreelist {
		return
	}
	bad := func(format string, args ...any) {
		t.fault(Damage{Bucket: "the list of free pages", Page: id, Reason: fmt.Sprintf(format, args...)})
	}
	p, err := t.Read(id)
	if err != nil {
		bad("%v", err)
		return
	}
	if p.flags != freeFlag {
		bad("it is no list of free pages (type %#x)", p.flags)
		return
	}
	count, at := uint64(p.Count), pageHeader
	if p.Count == 0xFFFF {
		count, at = le.Uint64(p.data[at:]), at+8
	}
	if count > uint64(len(p.data)-at)/8 {
		bad("its %d entries don't fit into it", count)
		return
	}
	for i := range int(count) {
		free := le.Uint64(p.data[at+8*i:])
		if free < 2 || free >= t.meta.Pages {
			bad("it lists page %d, which the database doesn't have", free)
			return
		}
		if free < t.limit && t.reached(free) {
			bad("it lists page %d, which is in use", free)
			return
		}
	}
}
