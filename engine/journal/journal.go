// Package journal is the durable record of a run: an append-only file, a JSON
// record a line, checksummed and chained, synced record by record.
package journal

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// FileName is the journal's name inside its run's directory.
const FileName = "journal.jsonl"

// A Journal is open for appending by one process.
type Journal struct {
	file *os.File
	path string
	seq  int
	sum  string
	size int64 // in bytes
	err  error // the first failure to append: final
}

// newSuffix ends the name of a run's directory until its journal has its first
// record. What a crash leaves under such a name never began.
const newSuffix = ".new"

// Create makes dir with a journal in it that holds one record. Both are
// durable when it returns, and after a crash dir is either whole or absent. It
// fails if dir exists.
func Create(dir, kind string, data any) (*Journal, error) {
	fresh := dir + newSuffix
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return nil, durable.Advised(&engine.Error{Where: fresh, Err: err}, "try again")
	}
	j, err := create(dir, fresh, kind, data)
	if err != nil {
		// Nobody was told of the run, and nothing else has changed: it never
		// began. A disk that is full has better use for the room.
		_ = os.RemoveAll(fresh)
		if !errors.Is(err, fs.ErrExist) { // else it is another run's
			_ = os.RemoveAll(dir)
		}
		return nil, durable.Advised(err, "try again")
	}
	return j, nil
}

func create(dir, fresh, kind string, data any) (*Journal, error) {
	path := filepath.Join(fresh, FileName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	j := &Journal{file: f, path: filepath.Join(dir, FileName)}
	for _, step := range []func() error{
		j.take,
		func() error { _, err := j.Append(kind, data); return err },
		func() error { return durable.SyncDir(fresh) },
		func() error { return durable.Rename(fresh, dir) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return j, nil
}

// Unborn reports whether name is that of a directory whose run never began.
func Unborn(name string) bool { return strings.HasSuffix(name, newSuffix) }

// Torn describes the incomplete last line that a crash left behind.
type Torn struct {
	Bytes int
	Aside string // the file that it was set aside to
}

// Open opens the journal in dir for appending, and has visit see its records, in
// their order. A torn last line, which was never acknowledged, is set aside; torn
// is nil where there was none. Damage anywhere else is an error that says where.
func Open(dir string, visit func(Record) error) (j *Journal, torn *Torn, err error) {
	path := filepath.Join(dir, FileName)
	f, err := open(path, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return nil, nil, err
	}
	j = &Journal{file: f, path: path}
	if err := j.take(); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if torn, err = j.load(visit); err != nil {
		return nil, nil, errors.Join(durable.Advised(err, "try again"), f.Close())
	}
	return j, torn, nil
}

// take locks the journal for this process. An open file description lock can
// be looked at without taking it, which Busy needs.
func (j *Journal) take() error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(j.file.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		return engine.Errorf(j.path, "another process is working on this run: %w", err).
			WithHint("Wait for it to end, then try again")
	}
	return nil
}

func (j *Journal) load(visit func(Record) error) (*Torn, error) {
	if err := j.forget(); err != nil {
		return nil, err
	}
	s := newScanner(j.file, j.path)
	if err := s.each(visit); err != nil {
		return nil, err
	}
	j.seq, j.sum, j.size = s.seq, s.sum, s.size
	if len(s.tail) == 0 {
		return nil, nil
	}
	return j.setAside(s.tail)
}

// forget has what was written last read from the disk. Where a sync fails, the
// kernel drops what it couldn't write, but goes on to show it to whoever reads.
// No more than the last record can be missing, since nothing is written after a
// failure.
//
// The kernel may keep many pages as one (a large folio), and passes over such a
// one that begins before what it is to forget, without a word. It begins at a
// multiple of its size, which is 2^11 pages at most (MAX_XAS_ORDER): so that much
// is forgotten, 8 MiB with the usual pages, which costs little to read again. All
// of a journal may be much more.
func (j *Journal) forget() error {
	at := int64(0)
	err := j.file.Sync()
	if err == nil {
		at, err = lastLines(j.file)
	}
	if err == nil {
		largest := int64(os.Getpagesize()) << 11
		err = unix.Fadvise(int(j.file.Fd()), at/largest*largest, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		return engine.Errorf(j.path, "reading back the last record: %w", cause(err))
	}
	return nil
}

// Each has visit see the records that j has by now.
func (j *Journal) Each(visit func(Record) error) error {
	return newScanner(io.NewSectionReader(j.file, 0, j.size), j.path).each(visit)
}

// setAside keeps a torn last line in a file of its own and cuts it off.
func (j *Journal) setAside(tail []byte) (*Torn, error) {
	aside := j.path + ".torn-" + strconv.FormatInt(j.size, 10)
	if err := durable.WriteFile(aside, tail, 0o600); err != nil {
		return nil, err
	}
	if err := j.file.Truncate(j.size); err != nil {
		return nil, &engine.Error{Where: j.path, Err: err}
	}
	if err := j.file.Sync(); err != nil {
		return nil, engine.Errorf(j.path, "sync: %w", err)
	}
	return &Torn{Bytes: len(tail), Aside: aside}, nil
}

// Append writes one record, syncs it, and returns it. After a failure nothing
// more can be appended: what the disk holds then is only known to the next Open.
func (j *Journal) Append(kind string, data any) (Record, error) {
	if j.err != nil {
		return Record{}, j.err
	}
	var r Record
	r, j.err = j.append(kind, data)
	return r, j.err
}

func (j *Journal) append(kind string, data any) (Record, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return Record{}, engine.Errorf(j.path, "encoding a %s record: %w", kind, err)
	}
	r := Record{Seq: j.seq + 1, Time: time.Now().UTC(), Kind: kind, Data: raw}
	line, sum := encode(r, j.sum)
	if len(line) > maxLine {
		return Record{}, engine.Errorf(j.path, "a %s record of %d MiB is too long to be read again", kind, len(line)>>20)
	}
	const hint = "What the journal says to have begun may be done by now; nothing else was changed since. Make room or mend the disk, then go on, which finds out"
	if _, err := j.file.Write(line); err != nil {
		return Record{}, durable.Advised(engine.Errorf(j.path, "the journal can't be written: %w", cause(err)).WithHint(hint), "")
	}
	if err := j.file.Sync(); err != nil {
		return Record{}, durable.Advised(engine.Errorf(j.path, "the journal can't be synced: %w", cause(err)).WithHint(hint), "")
	}
	r.from = &place{path: j.path, at: j.size, size: len(line), sum: j.sum}
	j.seq, j.sum, j.size = r.Seq, sum, j.size+int64(len(line))
	return r, nil
}

// cause is err without the file's name, which was another one when the journal
// was made.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Close releases the journal.
func (j *Journal) Close() error { return j.file.Close() }

// Busy reports whether a process holds the journal in dir open for appending.
func Busy(dir string) (bool, error) {
	path := filepath.Join(dir, FileName)
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &whole); err != nil {
		return false, engine.Errorf(path, "lock: %w", err)
	}
	return whole.Type != unix.F_UNLCK, nil
}
