package inspect

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

// database makes one of n writes to a third as many keys, every seventh of
// them a deletion, and lets change change it.
func database(t *testing.T, n int, change func(keys *bolt.Bucket) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket(schema.Meta.Name()); err != nil {
			return err
		}
		keys, err := tx.CreateBucket(schema.Key.Name())
		if err != nil {
			return err
		}
		for i := range n {
			rev := revisionKey(i)
			kv := &mvccpb.KeyValue{Key: fmt.Appendf(nil, "key %d", i%(n/3)), Value: fmt.Append(nil, i), ModRevision: int64(i)}
			if i%7 == 0 {
				rev, kv = append(rev, 't'), &mvccpb.KeyValue{Key: kv.Key}
			}
			data, err := proto.Marshal(kv)
			if err == nil {
				err = keys.Put(rev, data)
			}
			if err != nil {
				return err
			}
		}
		return change(keys)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func revisionKey(i int) []byte {
	return mvcc.RevToBytes(mvcc.Revision{Main: int64(i)}, mvcc.NewRevBytes())
}

func unchanged(*bolt.Bucket) error { return nil }

// TestDigestInPasses lets too few keys fit in memory at once.
func TestDigestInPasses(t *testing.T) {
	path := database(t, 1000, unchanged)
	once, err := describe(path, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	var live liveKeys
	if err := view(path, func(tx *bolt.Tx) error { live, err = indexKeys(tx); return err }); err != nil {
		t.Fatal(err)
	}
	if once.Keys != int64(len(live)) || once.TotalKeys != 1000 || once.Revision != 999 {
		t.Errorf("got %+v, want %d live keys", once, len(live))
	}
	defer func(n int) { passKeys = n }(passKeys)
	for _, passKeys = range []int{7, 100, 999} {
		if got, err := describe(path, func(int64) {}); err != nil || got.ContentHash != once.ContentHash || got.Keys != once.Keys {
			t.Errorf("in passes of %d keys: %+v, %v", passKeys, got, err)
		}
	}
}

func TestCompareFindsEveryDifference(t *testing.T) {
	original := database(t, 100, unchanged)
	mark := func(n int) func(*bolt.Bucket) error {
		return func(keys *bolt.Bucket) error { return keys.Put(revisionKey(n), nil) }
	}
	for says, tt := range map[string]struct {
		change func(*bolt.Bucket) error
		bump   string
	}{
		"":                          {mark(109), "10"},
		"behind the snapshot's":     {mark(110), "10"},
		"has  and not":              {unchanged, "10"},
		"and not ":                  {mark(109), "0"},
		"holds more":                {func(k *bolt.Bucket) error { return errors.Join(mark(109)(k), mark(110)(k)) }, "10"},
		"differs from":              {func(k *bolt.Bucket) error { return k.Put(revisionKey(51), []byte("other")) }, "0"},
		`bucket "key" differs`:      {func(k *bolt.Bucket) error { return k.Delete(revisionKey(51)) }, "0"},
		`at 0000000000000063`:       {func(k *bolt.Bucket) error { return k.Delete(revisionKey(99)) }, "0"},
		`only one of it and the sn`: {func(k *bolt.Bucket) error { _, err := k.Tx().CreateBucket([]byte("auth")); return err }, "0"},
	} {
		t.Run(says, func(t *testing.T) {
			_, err := compare(database(t, 100, tt.change), original, tt.bump)
			if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAgainReadsWhatHasChanged(t *testing.T) {
	path := database(t, 10, unchanged)
	if _, ok := stateOf(path); ok {
		t.Error("a file of this second can't be told from what comes next")
	}
	if _, ok := stateOf(os.Args[0] + ".none"); ok {
		t.Error("there is no such file")
	}
}
