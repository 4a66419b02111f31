// Package journal is the durable record of a run: an append-only file, a JSON
// record a line, checksummed and chained, synced record by record.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
		func() error { return j.Append(kind, data) },
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

// Open opens the journal in dir for appending and returns its records. A torn
// last line, which was never acknowledged, is set aside; torn is nil where
// there was none. Damage anywhere else is an error that says where.
func Open(dir string) (j *Journal, records []Record, torn *Torn, err error) {
	path := filepath.Join(dir, FileName)
	f, err := open(path, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return nil, nil, nil, err
	}
	j = &Journal{file: f, path: path}
	if err := j.take(); err != nil {
		return nil, nil, nil, errors.Join(err, f.Close())
	}
	records, torn, err = j.load()
	if err != nil {
		return nil, nil, nil, errors.Join(durable.Advised(err, "try again"), f.Close())
	}
	return j, records, torn, nil
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

func (j *Journal) load() ([]Record, *Torn, error) {
	scan, err := read(j.file, j.path)
	if err != nil {
		return nil, nil, err
	}
	if same, err := j.onDisk(scan); err != nil {
		return nil, nil, err
	} else if !same {
		if _, err = j.file.Seek(0, io.SeekStart); err == nil {
			scan, err = read(j.file, j.path)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	j.seq, j.sum = len(scan.records), scan.sum
	if len(scan.tail) == 0 {
		return scan.records, nil, nil
	}
	torn, err := j.setAside(scan)
	return scan.records, torn, err
}

// onDisk reports whether the disk holds the end of what s found. Where a sync
// fails, the kernel drops what it couldn't write, but goes on to show it to
// whoever reads: it has to forget that, and read it again. Only what was
// written last can be missing, since nothing is written after a failure.
func (j *Journal) onDisk(s scan) (bool, error) {
	end := slices.Concat(s.last, s.tail)
	at := s.size - int64(len(s.last))
	err := j.file.Sync()
	if err == nil {
		page := int64(os.Getpagesize())
		err = unix.Fadvise(int(j.file.Fd()), at/page*page, 0, unix.FADV_DONTNEED)
	}
	now := make([]byte, len(end))
	if err == nil {
		_, err = j.file.ReadAt(now, at)
	}
	if err != nil {
		return false, engine.Errorf(j.path, "reading back the last record: %w", cause(err))
	}
	return bytes.Equal(now, end), nil
}

// setAside keeps a torn last line in a file of its own and cuts it off.
func (j *Journal) setAside(s scan) (*Torn, error) {
	aside := j.path + ".torn-" + strconv.FormatInt(s.size, 10)
	if err := durable.WriteFile(aside, s.tail, 0o600); err != nil {
		return nil, err
	}
	if err := j.file.Truncate(s.size); err != nil {
		return nil, &engine.Error{Where: j.path, Err: err}
	}
	if err := j.file.Sync(); err != nil {
		return nil, engine.Errorf(j.path, "sync: %w", err)
	}
	return &Torn{Bytes: len(s.tail), Aside: aside}, nil
}

// Append writes one record and syncs it. After a failure nothing more can be
// appended: what the disk holds then is only known to the next Open.
func (j *Journal) Append(kind string, data any) error {
	if j.err != nil {
		return j.err
	}
	j.err = j.append(kind, data)
	return j.err
}

func (j *Journal) append(kind string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return engine.Errorf(j.path, "encoding a %s record: %w", kind, err)
	}
	line, sum := encode(Record{Seq: j.seq + 1, Time: time.Now().UTC(), Kind: kind, Data: raw}, j.sum)
	if len(line) > maxLine {
		return engine.Errorf(j.path, "a %s record of %d MiB is too long to be read again", kind, len(line)>>20)
	}
	const hint = "What the journal says to have begun may be done by now; nothing else was changed since. Make room or mend the disk, then go on, which finds out"
	if _, err := j.file.Write(line); err != nil {
		return durable.Advised(engine.Errorf(j.path, "the journal can't be written: %w", cause(err)).WithHint(hint), "")
	}
	if err := j.file.Sync(); err != nil {
		return durable.Advised(engine.Errorf(j.path, "the journal can't be synced: %w", cause(err)).WithHint(hint), "")
	}
	j.seq, j.sum = j.seq+1, sum
	return nil
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

// Read returns the records of the journal in dir without changing anything or
// keeping a writer out. An incomplete last line is passed over: a writer may
// be in the middle of it.
func Read(dir string) ([]Record, error) {
	path := filepath.Join(dir, FileName)
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := read(f, path)
	return s.records, err
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

// scan is what reading a journal found.
type scan struct {
	records []Record
	sum     string
	last    []byte // the last intact line
	size    int64  // of the intact lines, in bytes
	tail    []byte // the torn last line
}

func read(r io.Reader, path string) (scan, error) {
	var s scan
	in := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := readLine(in)
		if errors.Is(err, errTooLong) {
			return s, damaged(path, len(s.records)+1, s.size, err)
		}
		if err != nil && err != io.EOF {
			return s, &engine.Error{Where: path, Err: err}
		}
		if len(line) == 0 {
			return s, nil
		}
		rec, sum, bad := decode(line, s.sum, len(s.records)+1)
		if bad != nil {
			_, peek := in.Peek(1)
			if peek == io.EOF && isTorn(line, s) {
				s.tail = line
				return s, nil
			}
			return s, damaged(path, len(s.records)+1, s.size, bad)
		}
		s.records, s.sum, s.last, s.size = append(s.records, rec), sum, line, s.size+int64(len(line))
	}
}

// maxLine bounds, in bytes, a record's line: what is in the place of a journal
// mustn't fill the memory.
const maxLine = 64 << 20

var errTooLong = fmt.Errorf("a line of more than %d MiB, which no record has", maxLine>>20)

// readLine returns the next line with its newline, or what is left of the file
// and io.EOF.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case len(line) > maxLine:
			return nil, errTooLong
		case err != bufio.ErrBufferFull:
			return line, err
		}
	}
}

// isTorn tells the line that a crash cut short from one that was damaged
// later. A record is acknowledged only once it is on disk with its newline, so
// a torn line lacks that, or has zeroes where sectors never reached the disk. A
// line whose every byte but the last is right was complete once.
func isTorn(line []byte, s scan) bool {
	if bytes.IndexByte(line, 0) >= 0 {
		return zeroedBySectors(line, s.size)
	}
	if line[len(line)-1] == '\n' {
		return false
	}
	repaired := append(line[:len(line)-1:len(line)-1], '\n')
	_, _, err := decode(repaired, s.sum, len(s.records)+1)
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

func damaged(path string, line int, offset int64, err error) error {
	return engine.Errorf(fmt.Sprintf("%s:%d (byte %d)", path, line, offset), "the journal is damaged: %w", err).
		WithHint("The lines before it are intact and can be read with less. The run can't be resumed safely from here: look at the host, finish by hand, and start a new run")
}
