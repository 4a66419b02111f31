package diagnose

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of bbolt's pages, in the byte order of the machines that etcd
// supports. bbolt reads a file by mapping it and follows what it finds there:
// a damaged page ends the process, and its lock keeps etcd waiting. Here each
// page is read by itself, within bounds, and without a lock.
const (
	pageHeader  = 16
	branchFlag  = 0x01
	leafFlag    = 0x02
	metaFlag    = 0x04
	freeFlag    = 0x10
	bucketFlag  = 0x01 // of a leaf's element
	elementSize = 16   // of a leaf's and of a branch's

	metaLen   = 64
	metaMagic = 0xED0CDAED
	// noFreelist says that the list of free pages isn't kept in the file. It
	// is etcd's choice.
	noFreelist = ^uint64(0)
	// maxDepth bounds how deep a damaged tree is followed.
	maxDepth = 64
)

var le = binary.LittleEndian

// meta is one of a database's two meta pages.
type meta struct {
	pageSize int64
	root     uint64
	freelist uint64
	pages    uint64 // the high-water mark
	txid     uint64
	at       int64
}

// readMeta reads the meta page at offset at, or says what is wrong with it.
func readMeta(r io.ReaderAt, at int64) (meta, error) {
	b := make([]byte, metaLen)
	if _, err := r.ReadAt(b, at+pageHeader); err != nil {
		return meta{}, errors.New("can't be read")
	}
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != 2 {
		return meta{}, errors.New("is none: something else is there")
	}
	if metaSum(b[:56]) != le.Uint64(b[56:]) {
		return meta{}, errors.New("doesn't match its checksum")
	}
	m := meta{pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), pages: le.Uint64(b[40:]), txid: le.Uint64(b[48:]), at: at}
	if m.pageSize < 512 || m.pageSize > 1<<16 || m.pageSize&(m.pageSize-1) != 0 {
		return meta{}, fmt.Errorf("tells a page size of %d", m.pageSize)
	}
	return m, nil
}

// metaSum is the checksum of what is before it in a meta page.
func metaSum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// metas are both meta pages and what is wrong with either.
type metas struct {
	first, second       meta
	firstErr, secondErr error
}

// readMetas reads both meta pages: the second is behind the first, or, where
// that is damaged, at the first page size at which there is one.
func readMetas(r io.ReaderAt) metas {
	var m metas
	if m.first, m.firstErr = readMeta(r, 0); m.firstErr == nil {
		m.second, m.secondErr = readMeta(r, m.first.pageSize)
		return m
	}
	for at := int64(1 << 9); at <= 1<<16; at <<= 1 {
		if found, err := readMeta(r, at); err == nil && found.pageSize == at {
			m.second = found
			return m
		}
	}
	m.secondErr = errors.New("wasn't found")
	return m
}

// used is the meta page that bbolt takes: the newer one of those that hold.
func (m metas) used() (meta, bool) {
	switch {
	case m.firstErr != nil && m.secondErr != nil:
		return meta{}, false
	case m.firstErr != nil:
		return m.second, true
	case m.secondErr != nil || m.first.txid > m.second.txid:
		return m.first, true
	}
	return m.second, true
}

// page is a page with those that overflow from it.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte // from the header on
	pages uint64 // 1 and those that overflow
}

// pages reads a file's pages.
type pages struct {
	r     io.ReaderAt
	meta  meta
	limit uint64 // the first page that isn't in the file
}

func newPages(r io.ReaderAt, size int64, m meta) *pages {
	return &pages{r: r, meta: m, limit: min(uint64(size/m.pageSize), m.pages)}
}

func (p *pages) offset(id uint64) int64 { return int64(id) * p.meta.pageSize }

// read reads page id, or says what is wrong with it.
func (p *pages) read(id uint64) (page, error) {
	if id < 2 || id >= p.meta.pages {
		return page{}, fmt.Errorf("there is no page %d in the database", id)
	}
	if id >= p.limit {
		return page{}, errors.New("it is behind the file's end")
	}
	head := make([]byte, p.meta.pageSize)
	if _, err := p.r.ReadAt(head, p.offset(id)); err != nil {
		return page{}, fmt.Errorf("it can't be read: %w", err)
	}
	out := page{id: le.Uint64(head), flags: le.Uint16(head[8:]), count: int(le.Uint16(head[10:])), pages: uint64(le.Uint32(head[12:])) + 1}
	if out.id != id {
		return page{}, fmt.Errorf("it identifies itself as page %d", out.id)
	}
	if out.pages > p.limit-id {
		return page{}, fmt.Errorf("its %d pages reach behind the file's end", out.pages)
	}
	if out.data = head; out.pages == 1 {
		return out, nil
	}
	out.data = make([]byte, int64(out.pages)*p.meta.pageSize)
	copy(out.data, head)
	if _, err := p.r.ReadAt(out.data[len(head):], p.offset(id+1)); err != nil {
		return page{}, fmt.Errorf("it can't be read: %w", err)
	}
	return out, nil
}

// element is one element of a leaf or a branch.
type element struct {
	key, value []byte
	bucket     bool   // a leaf's: the value is a bucket's header
	child      uint64 // a branch's
}

// element reads element i within the page's bounds.
func (p page) element(i int) (element, error) {
	at := pageHeader + i*elementSize
	if at+elementSize > len(p.data) {
		return element{}, fmt.Errorf("its %d elements don't fit into it", p.count)
	}
	e := p.data[at:]
	var pos, keyLen, valueLen uint32
	var out element
	if p.flags == branchFlag {
		pos, keyLen = le.Uint32(e), le.Uint32(e[4:])
		out.child = le.Uint64(e[8:])
	} else {
		out.bucket = le.Uint32(e)&bucketFlag != 0
		pos, keyLen, valueLen = le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
	}
	start := int64(at) + int64(pos)
	end := start + int64(keyLen) + int64(valueLen)
	if end > int64(len(p.data)) {
		return element{}, fmt.Errorf("element %d reaches outside of it", i)
	}
	out.key = p.data[start : start+int64(keyLen) : start+int64(keyLen)]
	out.value = p.data[start+int64(keyLen) : end : end]
	return out, nil
}
