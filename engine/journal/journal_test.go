package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

type note struct{ Text string }

// write makes a journal of n records and returns its directory and content.
func write(t *testing.T, n int) (string, []byte) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	j, err := Create(dir, "first", note{"0"})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < n; i++ {
		if _, err := j.Append("more", note{fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return dir, text
}

// put writes a journal's content into a new directory.
func put(t *testing.T, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// prefix fails unless records are the first len(records) that write made.
func prefix(t *testing.T, records []Record) {
	t.Helper()
	for i, r := range records {
		var n note
		if err := r.Decode(&n); err != nil {
			t.Fatal(err)
		}
		if r.Seq != i+1 || n.Text != fmt.Sprint(i) {
			t.Fatalf("record %d is %d with %q", i+1, r.Seq, n.Text)
		}
	}
}

func TestAppendedRecordsAreReadBack(t *testing.T) {
	dir, _ := write(t, 5)
	j, records, torn, err := openAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if len(records) != 5 || torn != nil {
		t.Fatalf("%d records, torn %v", len(records), torn)
	}
	prefix(t, records)
	if _, err := j.Append("more", note{"5"}); err != nil {
		t.Fatal(err)
	}
	records, err = All(dir)
	if err != nil || len(records) != 6 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	prefix(t, records)
}

// Whatever length a crash cut the file to, the acknowledged records before the
// cut are there, the rest is set aside, and the journal can be continued.
func TestTruncatedAtEveryLength(t *testing.T) {
	_, text := write(t, 4)
	for size := range len(text) {
		dir := put(t, text[:size])
		whole := bytes.Count(text[:size], []byte("\n"))
		rest := size - (bytes.LastIndexByte(text[:size], '\n') + 1)
		j, records, torn, err := openAll(dir)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		prefix(t, records)
		if len(records) != whole || (torn != nil) != (rest > 0) {
			t.Fatalf("size %d: %d records, want %d; torn %v, rest %d", size, len(records), whole, torn, rest)
		}
		continueJournal(t, dir, j, len(records))
		if torn != nil {
			aside, err := os.ReadFile(torn.Aside)
			if err != nil || !bytes.Equal(aside, text[size-rest:size]) {
				t.Fatalf("size %d: set aside %q, %v", size, aside, err)
			}
		}
	}
}

func continueJournal(t *testing.T, dir string, j *Journal, n int) {
	t.Helper()
	if _, err := j.Append("more", note{fmt.Sprint(n)}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := All(dir)
	if err != nil || len(records) != n+1 {
		t.Fatalf("%d records after continuing at %d: %v", len(records), n, err)
	}
	prefix(t, records)
}

// A flipped bit is never read as something else, and never passes as the
// remains of a crash.
func TestEveryBitFlipIsFound(t *testing.T) {
	_, text := write(t, 3)
	for i := range text {
		for bit := range 8 {
			broken := bytes.Clone(text)
			broken[i] ^= 1 << bit
			if _, records, torn, err := openAll(put(t, broken)); err == nil {
				t.Fatalf("byte %d, bit %d: read %d records, torn %v", i, bit, len(records), torn)
			}
		}
	}
}

func TestLinesCannotBeMovedOrLeftOut(t *testing.T) {
	_, text := write(t, 4)
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	lines[3] += "\n"
	for name, order := range map[string][]int{
		"swapped": {0, 2, 1, 3}, "left out": {0, 1, 3}, "first left out": {1, 2, 3}, "doubled": {0, 1, 1, 2, 3},
	} {
		var b strings.Builder
		for _, i := range order {
			b.WriteString(lines[i])
		}
		_, _, _, err := openAll(put(t, []byte(b.String())))
		if err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamageSaysWhere(t *testing.T) {
	_, text := write(t, 3)
	second := bytes.IndexByte(text, '\n') + 1
	text[second+20] ^= 1
	_, _, _, err := openAll(put(t, text))
	want := fmt.Sprintf("%s:2 (byte %d)", FileName, second)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("%v does not say %q", err, want)
	}
}

// long makes a journal whose last record lies in several sectors, and returns
// its content and where that record begins.
func long(t *testing.T) (text []byte, last int) {
	t.Helper()
	dir, before := write(t, 2)
	j, _, _, err := openAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append("more", note{strings.Repeat("2", 4*sector)}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(filepath.Join(dir, FileName)); err != nil {
		t.Fatal(err)
	}
	return text, len(before)
}

// Whichever sectors of the last record never reached the disk, it is torn.
func TestZeroedTailIsTorn(t *testing.T) {
	text, last := long(t)
	first := last / sector
	sectors := (len(text)-1)/sector - first + 1
	for missing := 1; missing < 1<<sectors; missing++ {
		broken := bytes.Clone(text)
		for i := range sectors {
			if missing&(1<<i) != 0 {
				clear(broken[max(last, (first+i)*sector):min(len(text), (first+i+1)*sector)])
			}
		}
		j, records, torn, err := openAll(put(t, broken))
		if err != nil || len(records) != 2 || torn == nil {
			t.Fatalf("sectors %b missing: %d records, torn %v, %v", missing, len(records), torn, err)
		}
		_ = j.Close()
	}
}

// No crash leaves a single zero: it is damage, which must not take records
// with it that were acknowledged.
func TestZeroIsDamage(t *testing.T) {
	text, last := long(t)
	for i := last - 1; i < len(text); i++ { // from the newline of the record before on
		if i == len(text)-1 && i%sector == 0 {
			continue // it has a sector of its own
		}
		broken := bytes.Clone(text)
		broken[i] = 0
		if _, records, torn, err := openAll(put(t, broken)); err == nil {
			t.Fatalf("byte %d: %d records, torn %v", i, len(records), torn)
		}
	}
}

func TestNoJournal(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"nothing":     func(string) error { return nil },
		"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a long line": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("{"), 0o600), os.Truncate(path, maxLine+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			_, err := All(dir)
			_, _, _, opened := openAll(dir)
			for _, err := range []error{err, opened} {
				if err == nil || !strings.Contains(err.Error(), path) || engine.HintOf(err) == "" {
					t.Errorf("%v, hint %q", err, engine.HintOf(err))
				}
			}
		})
	}
}

// Another run of the same name stays as it is.
func TestCreateReplacesNothing(t *testing.T) {
	dir, text := write(t, 2)
	if _, err := Create(dir, "first", note{"another"}); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("made over another one: %v", err)
	}
	if now, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || !bytes.Equal(now, text) {
		t.Fatalf("the other one is now %q, %v", now, err)
	}
}

func TestOneWriter(t *testing.T) {
	dir, _ := write(t, 1)
	if busy, err := Busy(dir); busy || err != nil {
		t.Fatal(busy, err)
	}
	j, _, _, err := openAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := Busy(dir); !busy || err != nil {
		t.Fatal(busy, err)
	}
	if _, _, _, err := openAll(dir); err == nil {
		t.Fatal("opened twice")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if busy, err := Busy(dir); busy || err != nil {
		t.Fatal(busy, err)
	}
}

func TestAppendAfterAFailureIsRefused(t *testing.T) {
	dir, _ := write(t, 1)
	j, _, _, err := openAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	_, first := j.Append("more", note{"1"})
	if first == nil {
		t.Fatal("wrote to a closed file")
	}
	if _, second := j.Append("more", note{"1"}); !errors.Is(second, first) {
		t.Fatalf("after %v came %v", first, second)
	}
}

func TestLockTellsWhoHoldsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	since := time.Now().UTC().Truncate(time.Second)
	l, err := Acquire(path, Holder{PID: 7, Run: "r1", Doing: "resume", Since: since})
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := Acquire(path, Holder{PID: 8}); !errors.As(err, &locked) || locked.Holder != (Holder{7, "r1", "resume", since}) {
		t.Fatalf("%v, %+v", err, locked)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	l, err = Acquire(path, Holder{PID: 8})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Release()
}

// The kernel drops the lock of a process that was killed.
func TestDeadOwnerDoesNotBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if os.Getenv("RUNBOOK_TEST_LOCK") != "" {
		l, err := Acquire(os.Getenv("RUNBOOK_TEST_LOCK"), Holder{PID: os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		_, _ = io.ReadAll(os.Stdin) // until it is killed
		_ = l.Release()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDeadOwnerDoesNotBlock$")
	cmd.Env = append(os.Environ(), "RUNBOOK_TEST_LOCK="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := out.Read(buf); err != nil || string(buf) != "locked" {
		t.Fatalf("%q, %v", buf, err)
	}
	if _, err := Acquire(path, Holder{PID: 1}); err == nil {
		t.Fatal("took a lock that is held")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	l, err := Acquire(path, Holder{PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Release()
}

// openAll is Open, with the records.
func openAll(dir string) (j *Journal, records []Record, torn *Torn, err error) {
	j, torn, err = Open(dir, func(r Record) error {
		r.Data = bytes.Clone(r.Data)
		records = append(records, r)
		return nil
	})
	return j, records, torn, err
}
