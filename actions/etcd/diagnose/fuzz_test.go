package diagnose

import (
	"bytes"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// Whatever stands in a database: reading it ends, and brings nobody down.
func FuzzDB(f *testing.F) {
	d := dirs(f, "3.7")
	good, err := os.ReadFile(dbPath(d.Clean))
	must(f, err)
	// A change is a few bytes at a place: a whole database is too large to be
	// guessed at.
	f.Add(uint32(0), []byte{1}, uint32(0))
	f.Add(uint32(20), []byte{0xff, 0xff}, uint32(0))
	for at := uint32(0); int(at) < len(good); at += uint32(os.Getpagesize()) {
		f.Add(at+8, []byte{0x10, 0, 0xff, 0xff, 0xff}, uint32(0))
	}
	f.Add(uint32(0), []byte{}, uint32(9000))
	f.Fuzz(func(_ *testing.T, at uint32, with []byte, cut uint32) {
		data := change(good, at, with, cut)
		fixMetas(data)
		db := DB{Exists: true, Size: int64(len(data))}
		db.read(bytes.NewReader(data))
		r := &Report{DB: db, WAL: WAL{Files: []WALFile{{}}}}
		r.judgeDB()
		r.climb()
	})
}

// Whatever stands in a log likewise.
func FuzzWAL(f *testing.F) {
	d := dirs(f, "3.7")
	good, err := os.ReadFile(walPath(f, d.Killed))
	must(f, err)
	for i, s := range spans(f, walPath(f, d.Killed)) {
		if i%25 != 0 {
			continue
		}
		f.Add(uint32(s.from), []byte{0xff}, uint32(0))
		f.Add(uint32(s.to-9), []byte{0, 1, 2, 3}, uint32(0))
		f.Add(uint32(0), []byte{}, uint32(s.from+12))
	}
	f.Fuzz(func(_ *testing.T, at uint32, with []byte, cut uint32) {
		data := change(good, at, with, cut)
		var w WAL
		(&walScan{wal: &w, keep: func(*raftpb.Entry) {}}).contents("/x.wal", &records{r: bytes.NewReader(data), size: int64(len(data)), last: true})
		r := &Report{DB: DB{Exists: true, Size: 1, Buckets: true, ConsistentIndex: 305}, WAL: w}
		r.judgeWAL()
		r.climb()
	})
}

// FuzzSnap does the same for raft's snapshots.
func FuzzSnap(f *testing.F) {
	d := dirs(f, "3.7")
	files, err := filepath.Glob(filepath.Join(d.Clean, "member", "snap", "*.snap"))
	must(f, err)
	good, err := os.ReadFile(files[0])
	must(f, err)
	if fault := snapFault(good); fault != "" {
		f.Fatal(fault)
	}
	f.Add(good)
	f.Fuzz(func(_ *testing.T, data []byte) { snapFault(data) })
}

// change is data with some bytes of it replaced, cut off where cut isn't 0.
func change(data []byte, at uint32, with []byte, cut uint32) []byte {
	out := append([]byte{}, data...)
	if int(at) < len(out) {
		copy(out[at:], with)
	}
	if cut > 0 && int(cut) < len(out) {
		out = out[:cut]
	}
	return out
}

// fixMetas makes the sums of both meta pages right, so that what they say is
// believed.
func fixMetas(data []byte) {
	const header, body = 16, 56
	for _, at := range []int{header, os.Getpagesize() + header} {
		if at+body+8 <= len(data) {
			h := fnv.New64a()
			h.Write(data[at : at+body])
			le.PutUint64(data[at+body:], h.Sum64())
		}
	}
}
