package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"

	"runbook/actions/etcd/unseen"
)

// damagedf returns a *Damaged.
func damagedf(format string, args ...any) error {
	return &Damaged{Reason: fmt.Sprintf(format, args...)}
}

// openFile opens a regular file that isn't empty.
func openFile(path string) (*os.File, int64, error) {
	f, err := unseen.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, damagedf("there is no such file")
	}
	if err != nil {
		return nil, 0, damagedf("it can't be opened: %v", errors.Unwrap(err))
	}
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = damagedf("it is not a regular file")
	case st.Size() == 0:
		err = damagedf("it is empty")
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, st.Size(), nil
}

// The layout of a bbolt meta page, in the byte order of the machines that
// etcd supports. bbolt doesn't export it, and opening the file to learn it is
// what this check has to come before.
const (
	metaAt       = 16 // after the page's header
	metaLen      = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	metaPageSize = 8  // uint32
	metaPages    = 40 // uint64, the high-water mark
	metaSum      = 56 // uint64, FNV-1a of all before
)

// meta is one of a database's two meta pages.
type meta struct {
	pageSize int64
	pages    int64 // how many pages the database uses
}

// readMeta reads the meta page at offset at, or says what is wrong with it.
func readMeta(f io.ReaderAt, at int64) (meta, error) {
	b := make([]byte, metaLen)
	if _, err := f.ReadAt(b, at+metaAt); err != nil {
		return meta{}, fmt.Errorf("can't be read: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != metaVersion {
		return meta{}, errors.New("is not one")
	}
	h := fnv.New64a()
	h.Write(b[:metaSum])
	if h.Sum64() != le.Uint64(b[metaSum:]) {
		return meta{}, errors.New("doesn't match its checksum")
	}
	return meta{pageSize: int64(le.Uint32(b[metaPageSize:])), pages: int64(le.Uint64(b[metaPages:]))}, nil
}

// checkMetas reads both meta pages and compares the size that they tell with
// the file's: mapping a file that is too short ends in a signal. It returns a
// warning where one of the two is damaged.
func checkMetas(f io.ReaderAt, size int64) (string, error) {
	first, err0 := readMeta(f, 0)
	second, at, err1 := secondMeta(f, first, err0)
	if err0 != nil && err1 != nil {
		return "", damagedf("it is not a bbolt database: the first meta page %v", err0)
	}
	for _, m := range []meta{first, second} {
		if m.pageSize > 0 && m.pages > size/m.pageSize {
			return "", damagedf("it is truncated: its database has %d bytes, the file %d", m.pages*m.pageSize, size)
		}
	}
	switch {
	case err0 != nil:
		return fmt.Sprintf("its first meta page %v: the data may be one transaction old", err0), nil
	case err1 != nil:
		return fmt.Sprintf("its second meta page (at byte %d) %v: the data may be one transaction old", at, err1), nil
	}
	return "", nil
}

// secondMeta reads the second meta page: behind the first, or, where that is
// damaged, at the first page size at which there is one.
func secondMeta(f io.ReaderAt, first meta, err0 error) (meta, int64, error) {
	if err0 == nil {
		m, err := readMeta(f, first.pageSize)
		return m, first.pageSize, err
	}
	for at := int64(1 << 10); at <= 1<<16; at <<= 1 {
		if m, err := readMeta(f, at); err == nil && m.pageSize == at {
			return m, at, nil
		}
	}
	return meta{}, 0, errors.New("wasn't found")
}

// LooksSound reports what can be told of a file without reading all of it: a
// *Damaged where it isn't a database of the size that it says it has. A file
// that looks sound may still be damaged.
func LooksSound(path string) error {
	f, size, err := openFile(path)
	if err != nil {
		return err
	}
	if _, err = bodySize(size); err == nil {
		_, err = checkMetas(f, size)
	}
	_ = f.Close() // only read from
	return err
}
