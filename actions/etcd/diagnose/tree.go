package diagnose

import (
	"bytes"
	"errors"
	"fmt"
)

// damage is a place in a database that can't be read.
type damage struct {
	bucket   string
	page     uint64
	reason   string
	from, to []byte // the keys that are behind it; to is nil for no end
}

// maxDamage bounds how many places are told one by one.
const maxDamage = 1000

// tree walks the trees of a database and goes on behind what is damaged.
type tree struct {
	*pages
	seen   []uint64 // a bit a page
	damage []damage
	count  int // of all damage
}

func newTree(p *pages) *tree {
	return &tree{pages: p, seen: make([]uint64, p.limit/64+1)}
}

// visit is called for each element of a bucket's leaves. It returns why the
// element can't be used, if it can't.
type visit func(e element) error

func (t *tree) fault(d damage) {
	if t.count++; len(t.damage) < maxDamage {
		t.damage = append(t.damage, d)
	}
}

// mark notes pages as used; it fails where one is in use already.
func (t *tree) mark(id, n uint64) error {
	for i := id; i < id+n && i < t.limit; i++ {
		if t.seen[i/64]&(1<<(i%64)) != 0 {
			return fmt.Errorf("page %d is used twice", i)
		}
		t.seen[i/64] |= 1 << (i % 64)
	}
	return nil
}

// reached reports whether a page is part of a tree.
func (t *tree) reached(id uint64) bool { return t.seen[id/64]&(1<<(id%64)) != 0 }

// walk walks the tree below page id, whose keys are in [from, to).
func (t *tree) walk(bucket string, id uint64, from, to []byte, depth int, fn visit) {
	p, err := t.read(id)
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
		t.fault(damage{bucket: bucket, page: id, reason: err.Error(), from: from, to: to})
		return
	}
	t.elements(bucket, p, from, to, depth, fn)
}

// elements goes through a page's elements.
func (t *tree) elements(bucket string, p page, from, to []byte, depth int, fn visit) {
	last, first := from, true
	for i := range p.count {
		e, err := p.element(i)
		if err == nil {
			err = inOrder(e.key, last, to, first, p.flags)
		}
		if err != nil {
			t.fault(damage{bucket: bucket, page: p.id, reason: fmt.Sprintf("element %d: %v", i, err), from: last, to: to})
			continue
		}
		last, first = e.key, false
		if p.flags == branchFlag {
			t.walk(bucket, e.child, e.key, p.next(i, to), depth+1, fn)
			continue
		}
		if err := fn(e); err != nil {
			t.fault(damage{bucket: bucket, page: p.id, reason: fmt.Sprintf("element %d: %v", i, err), from: e.key, to: p.next(i, to)})
		}
	}
}

// next is the key behind element i, or to behind the last.
func (p page) next(i int, to []byte) []byte {
	if i+1 < p.count {
		if e, err := p.element(i + 1); err == nil {
			return e.key
		}
	}
	return to
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

// buckets walks the root bucket and returns where each bucket is.
func (t *tree) buckets() map[string]element {
	found := map[string]element{}
	t.walk("", t.meta.root, nil, nil, 0, func(e element) error {
		if !e.bucket || len(e.value) < 16 {
			return errors.New("it is no bucket")
		}
		found[string(e.key)] = e
		return nil
	})
	return found
}

// bucket walks one bucket: a tree of pages, or a page inside of the root's
// leaf.
func (t *tree) bucket(name string, head element, fn visit) {
	root := le.Uint64(head.value)
	if root != 0 {
		t.walk(name, root, nil, nil, 0, fn)
		return
	}
	inline := head.value[16:]
	if len(inline) < pageHeader || le.Uint16(inline[8:]) != leafFlag {
		t.fault(damage{bucket: name, page: t.meta.root, reason: "the bucket inside of it is no leaf"})
		return
	}
	p := page{id: t.meta.root, flags: leafFlag, count: int(le.Uint16(inline[10:])), data: inline}
	t.elements(name, p, nil, nil, 0, fn)
}

// freelist checks the list of free pages, where the file keeps one.
func (t *tree) freelist() {
	id := t.meta.freelist
	if id == noFreelist {
		return
	}
	bad := func(format string, args ...any) {
		t.fault(damage{bucket: "the list of free pages", page: id, reason: fmt.Sprintf(format, args...)})
	}
	p, err := t.read(id)
	if err != nil {
		bad("%v", err)
		return
	}
	if p.flags != freeFlag {
		bad("it is no list of free pages (type %#x)", p.flags)
		return
	}
	count, at := uint64(p.count), pageHeader
	if p.count == 0xFFFF {
		count, at = le.Uint64(p.data[at:]), at+8
	}
	if count > uint64(len(p.data)-at)/8 {
		bad("its %d entries don't fit into it", count)
		return
	}
	for i := range int(count) {
		free := le.Uint64(p.data[at+8*i:])
		if free < 2 || free >= t.meta.pages {
			bad("it lists page %d, which the database doesn't have", free)
			return
		}
		if free < t.limit && t.reached(free) {
			bad("it lists page %d, which is in use", free)
			return
		}
	}
}
