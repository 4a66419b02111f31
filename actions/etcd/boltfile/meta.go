package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of bbolt's meta pages, in the byte order of the machines that
// etcd supports. bbolt doesn't export it.
const (
	metaLen   = 64
	metaMagic = 0xED0CDAED
	metaSum   = 56 // FNV-1a of all before
	// noFreelist says that the list of free pages isn't kept in the file. It
	// is etcd's choice.
	noFreelist = ^uint64(0)
)

var le = binary.LittleEndian

// Meta is one of a database's two meta pages.
type Meta struct {
	PageSize int64
	Pages    uint64 // the high-water mark
	At       int64  // its own offset in the file
	root     uint64
	freelist uint64
	txid     uint64
}

// Bytes is how long a file has to be that holds the database.
func (m Meta) Bytes() int64 { return int64(m.Pages) * m.PageSize }

// Metas are both meta pages and what is wrong with either.
type Metas struct {
	First, Second       Meta
	FirstErr, SecondErr error
}

// ReadMetas reads both meta pages: the second is behind the first, or, where
// that is damaged, at the first page size at which there is one.
func ReadMetas(r io.ReaderAt) Metas {
	var m Metas
	if m.First, m.FirstErr = readMeta(r, 0); m.FirstErr == nil {
		m.Second, m.SecondErr = readMeta(r, m.First.PageSize)
		return m
	}
	for at := int64(1 << 9); at <= 1<<16; at <<= 1 {
		if found, err := readMeta(r, at); err == nil && found.PageSize == at {
			m.Second = found
			return m
		}
	}
	m.SecondErr = errors.New("wasn't found")
	return m
}

// Used is the meta page that bbolt takes: the newer one of those that hold.
func (m Metas) Used() (Meta, bool) {
	switch {
	case m.FirstErr != nil && m.SecondErr != nil:
		return Meta{}, false
	case m.FirstErr != nil:
		return m.Second, true
	case m.SecondErr != nil || m.First.txid > m.Second.txid:
		return m.First, true
	}
	return m.Second, true
}

// readMeta reads the meta page at offset at, or says what is wrong with it.
func readMeta(r io.ReaderAt, at int64) (Meta, error) {
	b := make([]byte, metaLen)
	if _, err := r.ReadAt(b, at+pageHeader); err != nil {
		return Meta{}, errors.New("can't be read")
	}
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != 2 {
		return Meta{}, errors.New("is none: something else is there")
	}
	if sum(b[:metaSum]) != le.Uint64(b[metaSum:]) {
		return Meta{}, errors.New("doesn't match its checksum")
	}
	m := Meta{PageSize: int64(le.Uint32(b[8:])), Pages: le.Uint64(b[40:]), At: at,
		root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), txid: le.Uint64(b[48:])}
	if m.PageSize < 512 || m.PageSize > 1<<16 || m.PageSize&(m.PageSize-1) != 0 {
		return Meta{}, fmt.Errorf("tells a page size of %d", m.PageSize)
	}
	if m.Pages > 1<<40 {
		return Meta{}, fmt.Errorf("tells an impossible number of pages: %d", m.Pages)
	}
	return m, nil
}

// sum is the checksum that a meta page has of what is before it.
func sum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}
