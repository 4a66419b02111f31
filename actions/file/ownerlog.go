package file

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"

	"runbook/engine"
)

// maxLog bounds, in bytes, the record that undo needs. Names that a program
// has numbered take two or three bytes each, and such as nobody could guess
// half of their length; all files of one owner in a row take one name.
const maxLog = 16 << 20

var errLogFull = errors.New("the log is full")

// ownerLog records in walk order whom the entries of a tree belonged to: each
// path from which on the owner is another one, and the files that the kernel
// takes something from. A path is written without what it begins with in
// common with the one before, and the whole is compressed, so that neither the
// tree nor its record has to fit into memory uncompressed.
type ownerLog struct {
	out  bytes.Buffer
	z    *flate.Writer
	prev string
	last ids
	raw  []byte
}

// The kinds of record in the log.
const (
	kindOwner   = 'o' // from this path on, everything belonged to one owner
	kindSpecial = 's'
)

// owner records that the next entry belongs to now.
func (l *ownerLog) owner(rel string, now ids) error {
	if l.z != nil && l.last == now {
		return nil
	}
	l.last = now
	l.begin(rel, kindOwner)
	l.raw = binary.AppendUvarint(l.raw, uint64(now.UID))
	l.raw = binary.AppendUvarint(l.raw, uint64(now.GID))
	return l.write()
}

func (l *ownerLog) special(rel string, s special) error {
	l.begin(rel, kindSpecial)
	l.raw = binary.AppendUvarint(l.raw, uint64(s.Mode))
	l.raw = binary.AppendUvarint(l.raw, uint64(len(s.Capability)))
	l.raw = append(l.raw, s.Capability...)
	l.raw = binary.AppendUvarint(l.raw, uint64(len(s.Sum)))
	l.raw = append(l.raw, s.Sum...)
	return l.write()
}

func (l *ownerLog) begin(rel string, kind byte) {
	common := 0
	for common < min(len(rel), len(l.prev)) && rel[common] == l.prev[common] {
		common++
	}
	l.raw = append(l.raw[:0], kind)
	l.raw = binary.AppendUvarint(l.raw, uint64(common))
	l.raw = binary.AppendUvarint(l.raw, uint64(len(rel)-common))
	l.raw = append(l.raw, rel[common:]...)
	l.prev = rel
}

func (l *ownerLog) write() error {
	if l.z == nil {
		var err error
		if l.z, err = flate.NewWriter(&l.out, flate.DefaultCompression); err != nil {
			return err
		}
	}
	if _, err := l.z.Write(l.raw); err != nil {
		return err
	}
	if l.out.Len() > maxLog {
		return errLogFull
	}
	return nil
}

// bytes ends the log and returns it.
func (l *ownerLog) bytes() ([]byte, error) {
	if l.z == nil {
		return nil, nil
	}
	if err := l.z.Close(); err != nil {
		return nil, err
	}
	return l.out.Bytes(), nil
}

// ownerReader tells from a log whom an entry belonged to. It is asked in walk
// order, and reads along.
type ownerReader struct {
	in   *bufio.Reader
	path []byte // of the record that is next
	kind byte   // of it; 0 before the first
	end  bool
	now  ids
	next struct {
		ids
		special
	}
}

func newOwnerReader(log []byte) *ownerReader {
	return &ownerReader{in: bufio.NewReader(flate.NewReader(bytes.NewReader(log)))}
}

// at returns whom the path rel belonged to, and what else is to be given back.
// What has been created meanwhile belonged to whom its neighbours did.
func (r *ownerReader) at(rel string) (was ids, s *special, err error) {
	if r.kind == 0 && !r.end {
		err = r.read()
	}
	for err == nil && !r.end && !walkOrder(rel, string(r.path)) {
		switch {
		case r.kind == kindOwner:
			r.now = r.next.ids
		case string(r.path) == rel:
			found := r.next.special
			s = &found
		}
		err = r.read()
	}
	if err != nil {
		return was, nil, engine.Errorf("change", "reading the recorded owners: %w", err).
			WithHint("The step's record is damaged; give the files back by hand.")
	}
	return r.now, s, nil
}

// read reads the next record.
func (r *ownerReader) read() error {
	var err error
	if r.kind, err = r.in.ReadByte(); err == io.EOF {
		r.end = true
		return nil
	}
	common := r.number(&err)
	suffix := r.bytes(&err)
	if err != nil || common > uint64(len(r.path)) {
		return errors.Join(err, errors.New("a path begins like none before it"))
	}
	r.path = append(r.path[:common], suffix...)
	switch r.kind {
	case kindOwner:
		r.next.ids = ids{int(r.number(&err)), int(r.number(&err))}
	case kindSpecial:
		r.next.special = special{Mode: uint32(r.number(&err)), Capability: r.bytes(&err), Sum: string(r.bytes(&err))}
	default:
		err = errors.New("a record is of no known kind")
	}
	return err
}

func (r *ownerReader) number(err *error) uint64 {
	if *err != nil {
		return 0
	}
	var n uint64
	n, *err = binary.ReadUvarint(r.in)
	return n
}

// bytes reads a length and as many bytes; nil for none.
func (r *ownerReader) bytes(err *error) []byte {
	n := r.number(err)
	if *err == nil && n > 1<<16 {
		*err = errors.New("a length is out of bounds")
	}
	if *err != nil || n == 0 {
		return nil
	}
	b := make([]byte, n)
	_, *err = io.ReadFull(r.in, b)
	return b
}
