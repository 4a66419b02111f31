package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Read has visit see the records of the journal in dir, in their order, without
// changing anything or keeping a writer out. An incomplete last line is passed
// over: a writer may be in the middle of it.
func Read(dir string, visit func(Record) error) error {
	path := filepath.Join(dir, FileName)
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return newScanner(f, path).each(visit)
}

// First returns the first record of the journal in dir, whatever follows it.
func First(dir string) (Record, error) {
	var first Record
	found := errors.New("found")
	err := Read(dir, func(r Record) error {
		first = r
		return found
	})
	switch {
	case errors.Is(err, found):
		return first, nil
	case err == nil:
		err = engine.Errorf(filepath.Join(dir, FileName), "it holds no record")
	}
	return Record{}, err
}

// All returns the records of the journal in dir, as far as there is no error.
func All(dir string) ([]Record, error) {
	var all []Record
	err := Read(dir, func(r Record) error {
		r.Data = bytes.Clone(r.Data)
		all = append(all, r)
		return nil
	})
	return all, err
}

// open opens the journal at path. What else may be in its place, a pipe for
// one, mustn't keep anybody waiting.
func open(path string, flag int) (*os.File, error) {
	const hint = "Nobody knows without it how far the run got. Look for a copy of it; else look at the host, finish by hand, and give the run up with `runbook abandon`"
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, (&engine.Error{Where: path, Err: err}).WithHint(hint)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, errors.Join((&engine.Error{Where: path, Err: err}).WithHint(hint), f.Close())
	}
	return f, nil
}

// scanner reads a journal. It keeps one line at a time: a journal may be larger
// than the memory that a host in trouble can spare.
type scanner struct {
	in   *bufio.Reader
	path string
	line []byte
	seq  int    // of the last intact line
	sum  string // its sum
	size int64  // of the intact lines, in bytes
	tail []byte // the torn last line
}

func newScanner(r io.Reader, path string) *scanner {
	return &scanner{in: bufio.NewReaderSize(r, 1<<20), path: path}
}

// each has visit see the records. Their data is valid until it returns.
func (s *scanner) each(visit func(Record) error) error {
	for {
		err := s.readLine()
		if errors.Is(err, errTooLong) {
			return s.damaged(err)
		}
		if err != nil && err != io.EOF {
			return &engine.Error{Where: s.path, Err: err}
		}
		if len(s.line) == 0 {
			return nil
		}
		rec, sum, bad := decode(s.line, s.sum, s.seq+1)
		if bad != nil {
			_, peek := s.in.Peek(1)
			if peek == io.EOF && s.isTorn() {
				s.tail = s.line
				return nil
			}
			return s.damaged(bad)
		}
		rec.from = &place{path: s.path, at: s.size, size: len(s.line), sum: s.sum}
		s.seq, s.sum, s.size = rec.Seq, sum, s.size+int64(len(s.line))
		if err := visit(rec); err != nil {
			return err
		}
	}
}

// maxLine bounds, in bytes, a record's line: what is in the place of a journal
// mustn't fill the memory.
const maxLine = 64 << 20

var errTooLong = fmt.Errorf("a line of more than %d MiB, which no record has", maxLine>>20)

// readLine takes in the next line with its newline, or what is left of the file,
// and returns io.EOF then.
func (s *scanner) readLine() error {
	s.line = s.line[:0]
	for {
		piece, err := s.in.ReadSlice('\n')
		s.line = append(s.line, piece...)
		switch {
		case len(s.line) > maxLine:
			return errTooLong
		case err != bufio.ErrBufferFull:
			return err
		}
	}
}

// isTorn tells the line that a crash cut short from one that was damaged
// later. A record is acknowledged only once it is on disk with its newline, so
// a torn line lacks that, or has zeroes where sectors never reached the disk. A
// line whose every byte but the last is right was complete once.
func (s *scanner) isTorn() bool {
	if bytes.IndexByte(s.line, 0) >= 0 {
		return zeroedBySectors(s.line, s.size)
	}
	last := len(s.line) - 1
	if s.line[last] == '\n' {
		return false
	}
	_, _, err := decode(append(s.line[:last:last], '\n'), s.sum, s.seq+1)
	return err != nil
}

const sector = 512

// zeroedBySectors reports whether a line that begins at an offset of its file
// has zeroes in whole sectors alone, as far as they are the line's.
func zeroedBySectors(line []byte, offset int64) bool {
	for at := 0; at < len(line); {
		end := min(at+sector-int(offset+int64(at))%sector, len(line))
		zeroes := bytes.Count(line[at:end], []byte{0})
		if zeroes != 0 && zeroes != end-at {
			return false
		}
		at = end
	}
	return true
}

func (s *scanner) damaged(err error) error { return damaged(s.path, s.seq+1, s.size, err) }

func damaged(path string, line int, offset int64, err error) error {
	return engine.Errorf(fmt.Sprintf("%s:%d (byte %d)", path, line, offset), "the journal is damaged: %w", err).
		WithHint("The lines before it are intact and can be read with less. The run can't be resumed safely from here: look at the host, finish by hand, and start a new run")
}

// lastLines is where the last two lines of a file begin, or less than that.
func lastLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf, ends := make([]byte, 1<<16), 0
	for at := info.Size(); at > 0; {
		n := min(at, int64(len(buf)))
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil {
			return 0, err
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] != '\n' {
				continue
			}
			if ends++; ends == 3 {
				return at + i + 1, nil
			}
		}
	}
	return 0, nil
}
