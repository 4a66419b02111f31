// Package boltfile reads the pages of a bbolt database by itself.
//
// bbolt follows what it finds in a file that it has mapped: a damaged page ends
// the process, and its lock keeps etcd waiting. Here each page is read within
// bounds and without a lock, what is behind a damaged one is still found, and
// all that is to be checked is checked in one walk.
package boltfile

import (
	"errors"
	"fmt"
	"io"
)

const (
	pageHeader  = 16
	branchFlag  = 0x01
	leafFlag    = 0x02
	freeFlag    = 0x10
	bucketFlag  = 0x01 // of a leaf's element
	elementSize = 16   // of a leaf's and of a branch's
)

// Page is a page with those that overflow from it.
type Page struct {
	ID    uint64
	Count int // of its elements
	flags uint16
	data  []byte // from the header on
	pages uint64 // 1 and those that overflow
}

// Leaf reports whether the page is a leaf, Branch whether it is a branch.
func (p Page) Leaf() bool   { return p.flags == leafFlag }
func (p Page) Branch() bool { return p.flags == branchFlag }

// Element is one element of a leaf or a branch.
type Element struct {
	Key, Value []byte
	Bucket     bool   // a leaf's: the value is a bucket's header
	Child      uint64 // a branch's
}

// Element reads element i within the page's bounds.
func (p Page) Element(i int) (Element, error) {
	at := pageHeader + i*elementSize
	if at+elementSize > len(p.data) {
		return Element{}, fmt.Errorf("its %d elements don't fit into it", p.Count)
	}
	e := p.data[at:]
	var pos, keyLen, valueLen uint32
	var out Element
	if p.Branch() {
		pos, keyLen = le.Uint32(e), le.Uint32(e[4:])
		out.Child = le.Uint64(e[8:])
	} else {
		out.Bucket = le.Uint32(e)&bucketFlag != 0
		pos, keyLen, valueLen = le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
	}
	start := int64(at) + int64(pos)
	end := start + int64(keyLen) + int64(valueLen)
	if end > int64(len(p.data)) {
		return Element{}, fmt.Errorf("element %d reaches outside of it", i)
	}
	out.Key = p.data[start : start+int64(keyLen) : start+int64(keyLen)]
	out.Value = p.data[start+int64(keyLen) : end : end]
	return out, nil
}

// next is the key behind element i, or to behind the last.
func (p Page) next(i int, to []byte) []byte {
	if i+1 < p.Count {
		if e, err := p.Element(i + 1); err == nil {
			return e.Key
		}
	}
	return to
}

// pages reads a file's pages.
type pages struct {
	r     io.ReaderAt
	meta  Meta
	limit uint64 // the first page that isn't in the file
}

// Offset is where in the file a page begins.
func (p *pages) Offset(id uint64) int64 { return int64(id) * p.meta.PageSize }

// Read reads page id, or says what is wrong with it.
func (p *pages) Read(id uint64) (Page, error) {
	if id < 2 || id >= p.meta.Pages {
		return Page{}, fmt.Errorf("there is no page %d in the database", id)
	}
	if id >= p.limit {
		return Page{}, errors.New("it is behind the file's end")
	}
	head, err := p.bytes(id, 1)
	if err != nil {
		return Page{}, err
	}
	out := Page{ID: le.Uint64(head), flags: le.Uint16(head[8:]), Count: int(le.Uint16(head[10:])), pages: uint64(le.Uint32(head[12:])) + 1, data: head}
	if out.ID != id {
		return Page{}, fmt.Errorf("it identifies itself as page %d", out.ID)
	}
	if out.pages > p.limit-id {
		return Page{}, fmt.Errorf("its %d pages reach behind the file's end", out.pages)
	}
	if out.pages > 1 {
		out.data, err = p.bytes(id, out.pages)
	}
	return out, err
}

// bytes are those of n pages, which are in the file.
func (p *pages) bytes(id, n uint64) ([]byte, error) {
	if m, ok := p.r.(*Mapped); ok {
		return m.data[p.Offset(id):p.Offset(id+n)], nil
	}
	b := make([]byte, int64(n)*p.meta.PageSize)
	if _, err := p.r.ReadAt(b, p.Offset(id)); err != nil {
		return nil, fmt.Errorf("it can't be read: %w", err)
	}
	return b, nil
}
