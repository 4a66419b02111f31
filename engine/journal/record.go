package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"runbook/engine"
)

// Record is one entry of a journal.
type Record struct {
	Seq  int             `json:"seq"` // from 1 on, without gaps
	Time time.Time       `json:"time"`
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`

	from *place // nil: it is of no journal
}

// place is where a journal has a record's line.
type place struct {
	path string
	at   int64  // its first byte
	size int    // in bytes
	sum  string // of the line before
}

// Again reads the record's data from its journal, and checks it as before.
func (r Record) Again() (json.RawMessage, error) {
	if r.from == nil {
		return r.Data, nil
	}
	f, err := open(r.from.path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	line := make([]byte, r.from.size)
	if _, err := f.ReadAt(line, r.from.at); err != nil {
		return nil, &engine.Error{Where: r.from.path, Err: err}
	}
	again, _, err := decode(line, r.from.sum, r.Seq)
	if err != nil {
		return nil, damaged(r.from.path, r.Seq, r.from.at, err)
	}
	return again.Data, nil
}

// Large reports whether there is more of the data than needs to be kept, since it
// can be had Again.
func (r Record) Large() bool { return r.from != nil && len(r.Data) > 4<<10 }

// Decode decodes the record's data into v.
func (r Record) Decode(v any) error {
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("record %d (%s): %w", r.Seq, r.Kind, err)
	}
	return nil
}

// A line is the record's JSON object with one more member at its end, sum:
// the SHA-256, in hexadecimal, of the sum of the line before and the bytes of
// the object without it. So a line can be checked byte by byte, and none can
// be changed, left out or moved without breaking all that follow.
const (
	sumKey  = `,"sum":"`
	sumEnd  = "\"}\n"
	sumSize = sha256.Size * 2
	tailLen = len(sumKey) + sumSize + len(sumEnd)
)

// encode returns r as a line, and its sum. Data is JSON already, and goes in as
// it is: a header may be megabytes long.
func encode(r Record, prev string) (line []byte, sum string) {
	line = make([]byte, 0, len(r.Data)+tailLen+128)
	line = fmt.Appendf(line, `{"seq":%d,"time":%q,"kind":%q,"data":`, r.Seq, r.Time.Format(time.RFC3339Nano), r.Kind)
	line = append(line, r.Data...)
	sum = chain(prev, line)
	return append(line, sumKey+sum+sumEnd...), sum
}

// parse reads a record whose checksum is right, and so is one that encode wrote:
// its members stand in their order. open lacks its closing brace. The data is left for Decode to look into.
// Reading a large journal is mostly this.
func (r *Record) parse(open []byte) error {
	rest, ok := bytes.CutPrefix(open, []byte(`{"seq":`))
	seq, rest, found := bytes.Cut(rest, []byte(`,"time":"`))
	stamp, rest, found2 := bytes.Cut(rest, []byte(`","kind":"`))
	kind, data, found3 := bytes.Cut(rest, []byte(`","data":`))
	if !ok || !found || !found2 || !found3 || len(data) == 0 {
		return fmt.Errorf("not a journal record")
	}
	var err error
	if r.Seq, err = strconv.Atoi(string(seq)); err != nil {
		return err
	}
	if r.Time, err = time.Parse(time.RFC3339Nano, string(stamp)); err != nil {
		return err
	}
	r.Kind, r.Data = string(kind), data
	return nil
}

// chain is the sum of an object that lacks its closing brace.
func chain(prev string, open []byte) string {
	h := sha256.New()
	h.Write([]byte(prev))
	h.Write(open)
	h.Write([]byte{'}'})
	return hex.EncodeToString(h.Sum(nil))
}

// decode checks a line, its newline included, and returns its record and sum.
func decode(line []byte, prev string, seq int) (Record, string, error) {
	var r Record
	at := len(line) - tailLen
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(sumKey)) || !bytes.HasSuffix(line, []byte(sumEnd)) {
		return r, "", fmt.Errorf("not a journal record")
	}
	sum := string(line[at+len(sumKey) : at+len(sumKey)+sumSize])
	if want := chain(prev, line[:at]); sum != want {
		return r, "", fmt.Errorf("checksum mismatch: the line says %.12s…, its content and the lines before give %.12s…", sum, want)
	}
	if err := r.parse(line[:at:at]); err != nil {
		return r, "", err
	}
	if r.Seq != seq {
		return r, "", fmt.Errorf("record %d where record %d belongs", r.Seq, seq)
	}
	return r, sum, nil
}
