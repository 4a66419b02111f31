package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"runbook/actions/etcd/boltfile"
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

// checkMetas reads both meta pages and compares the size that they tell with
// the file's: mapping a file that is too short ends in a signal. It returns a
// warning where one of the two is damaged.
func checkMetas(f io.ReaderAt, size int64) (string, error) {
	m := boltfile.ReadMetas(f)
	if _, ok := m.Used(); !ok {
		return "", noDatabase(m)
	}
	for _, page := range []boltfile.Meta{m.First, m.Second} {
		if page.Bytes() > size {
			return "", damagedf("it is truncated: its database has %d bytes, the file %d", page.Bytes(), size)
		}
	}
	switch {
	case m.FirstErr != nil:
		return fmt.Sprintf("its first meta page %v: the data may be one transaction old", m.FirstErr), nil
	case m.SecondErr != nil:
		return fmt.Sprintf("its second meta page (at byte %d) %v: the data may be one transaction old", m.First.PageSize, m.SecondErr), nil
	}
	return "", nil
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
