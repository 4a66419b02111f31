package boltfile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Mapped is a file in memory: its pages are looked at where they are. A disk
// that can't read one of them ends the process with a signal, so this is for
// processes whose end is a finding.
type Mapped struct{ data []byte }

// Map maps the first size bytes of a file, which aren't none.
func Map(f *os.File, size int64) (*Mapped, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping it: %w", err)
	}
	return &Mapped{data: data}, nil
}

// ReadAt implements io.ReaderAt.
func (m *Mapped) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close unmaps the file. What was returned from it must not be used any more.
func (m *Mapped) Close() error { return unix.Munmap(m.data) }
