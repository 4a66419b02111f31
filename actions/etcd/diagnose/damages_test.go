package diagnose

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/boltfile"
	"runbook/actions/etcd/unseen"
)

// The ways to damage a copy of a data directory.

func dbPath(dir string) string { return filepath.Join(dir, "member", "snap", "db") }

// walPath is the newest file of a directory's log.
func walPath(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	must(t, err)
	return files[len(files)-1]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// span is where a record is: its frame begins at from.
type span struct {
	from, to int64
	typ      int64
}

// spans are the records of a log's file.
func spans(t testing.TB, path string) []span {
	t.Helper()
	f, err := unseen.Open(path)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	r := &records{r: f, size: st.Size(), last: true}
	var all []span
	for {
		rec, ok, fault := r.read()
		if fault != nil {
			t.Fatalf("%s: %+v", path, fault)
		}
		if !ok {
			return all
		}
		all = append(all, span{r.before, r.at, rec.GetType()})
	}
}

// entries are those that hold an entry.
func entries(t testing.TB, path string) []span {
	t.Helper()
	var out []span
	for _, s := range spans(t, path) {
		if s.typ == recordEntry {
			out = append(out, s)
		}
	}
	return out
}

func overwrite(t testing.TB, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(b, at)
	must(t, err)
	must(t, f.Close())
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	must(t, err)
	must(t, f.Close())
	overwrite(t, path, at, []byte{b[0] ^ 0x10})
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	must(t, err)
	return st.Size()
}

// tearTail zeroes the last record of a log from the first border of a sector
// in it, as a power cut does.
func tearTail(t testing.TB, dir string) {
	path := walPath(t, dir)
	all := spans(t, path)
	for i := len(all) - 1; ; i-- {
		s := all[i]
		if border := (s.from + frameHeader + sectorSize) &^ (sectorSize - 1); border+sectorSize <= s.to {
			overwrite(t, path, border, make([]byte, all[len(all)-1].to-border))
			return
		}
	}
}

// page is the first of a database's pages for which want holds.
func findPage(t testing.TB, path string, want func(boltfile.Page) bool) (at int64) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	ms := boltfile.ReadMetas(f)
	m, _ := ms.Used()
	tr := boltfile.NewTree(f, size(t, path), m)
	b := tr.Buckets()["key"]
	found := int64(0)
	var walk func(id uint64)
	walk = func(id uint64) {
		p, err := tr.Read(id)
		must(t, err)
		if want(p) && found == 0 {
			found = tr.Offset(id)
		}
		for i := range p.Count {
			if e, err := p.Element(i); err == nil && p.Branch() {
				walk(e.Child)
			}
		}
	}
	walk(le.Uint64(b.Value))
	return found
}

// forgetBeginning rewrites a log as one whose first files were purged: what is
// left of it is what it is of, and the last third of its entries.
func forgetBeginning(t *testing.T, dir string) {
	path := walPath(t, dir)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	total := len(spans(t, path))
	r := &records{r: f, size: size(t, path), last: true}
	var out []byte
	sum := uint32(0)
	for i := range total {
		rec, _, _ := r.read()
		if i < total*2/3 && rec.GetType() != recordMetadata && rec.GetType() != recordSnapshot {
			continue
		}
		out, sum = appendRecord(t, out, sum, rec.GetType(), rec.GetData())
	}
	must(t, os.Remove(path))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "0000000000000001-00000000000000a0.wal"), out, 0o600))
}

// appendRecord appends a record in its frame, with the log's running sum.
func appendRecord(t testing.TB, out []byte, sum uint32, typ int64, data []byte) ([]byte, uint32) {
	sum = crc32.Update(sum, castagnoli, data)
	body, err := proto.Marshal(&walpb.Record{Type: &typ, Crc: &sum, Data: data})
	must(t, err)
	padding := (8 - len(body)%8) % 8
	length := uint64(len(body))
	if padding > 0 {
		length |= uint64(0x80|padding) << 56
	}
	out = append(binary.LittleEndian.AppendUint64(out, length), body...)
	return append(out, make([]byte, padding)...), sum
}
