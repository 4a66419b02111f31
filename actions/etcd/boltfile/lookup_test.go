package boltfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// What bbolt finds, Find finds too, on a tree of several levels; and the last
// element is among the Ends.
func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	const n = 20000
	key := func(i int) []byte { return fmt.Appendf(nil, "key %08d", i) }
	must(t, db.Update(func(tx *bolt.Tx) error {
		small, err := tx.CreateBucket([]byte("small"))
		must(t, err)
		must(t, small.Put([]byte("a"), []byte("1")))
		b, err := tx.CreateBucket([]byte("key"))
		must(t, err)
		for i := range n {
			must(t, b.Put(key(2*i), key(i)))
		}
		return nil
	}))
	must(t, db.Close())
	data, err := os.ReadFile(path)
	must(t, err)
	m, ok := ReadMetas(bytes.NewReader(data)).Used()
	if !ok {
		t.Fatal("no meta page")
	}
	tree := NewTree(bytes.NewReader(data), int64(len(data)), m)
	buckets := tree.Buckets()
	for i := range n {
		if e, ok, err := tree.Find(buckets["key"], key(2*i)); err != nil || !ok || !bytes.Equal(e.Value, key(i)) {
			t.Fatalf("%s: %q %v %v", key(2*i), e.Value, ok, err)
		}
	}
	for _, absent := range [][]byte{key(3), key(2*n + 1), []byte("a"), []byte("z")} {
		if _, ok, err := tree.Find(buckets["key"], absent); ok || err != nil {
			t.Errorf("%s: %v %v", absent, ok, err)
		}
	}
	if e, ok, err := tree.Find(buckets["small"], []byte("a")); err != nil || !ok || string(e.Value) != "1" {
		t.Errorf("%q %v %v", e.Value, ok, err)
	}
	last := tree.Ends(buckets["key"], 1, 1)
	if len(last) != 1 || !bytes.Equal(last[0].Key, key(2*(n-1))) {
		t.Errorf("the last is %+v", last)
	}
	spread := tree.Ends(buckets["key"], 8, 4)
	if len(spread) != 32 {
		t.Errorf("%d elements of 8 leaves", len(spread))
	}
	// Where a page on the way is damaged, nothing is known.
	copy(data[m.PageSize*int64(m.root):], make([]byte, m.PageSize))
	damaged := NewTree(bytes.NewReader(data), int64(len(data)), m)
	if _, _, err := damaged.Find(Element{Value: append(le.AppendUint64(nil, m.root), make([]byte, 8)...)}, key(2)); err == nil {
		t.Error("no error of a damaged page")
	}
}
