package inspect

import (
	"slices"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"runbook/actions/etcd/keyspace"
)

// revision is the place of a key's newest record in the bucket "key".
type revision [17]byte

// liveKeys holds the newest revision of each live key. Values stay in the
// file, so memory grows with the keys and not with the data.
type liveKeys map[string]revision

// listKeys calls fn for every live key, in key order.
func listKeys(path string, fn func(keyspace.Record) error) error {
	return view(path, func(tx *bolt.Tx) error {
		live, err := indexKeys(tx)
		if err != nil {
			return err
		}
		return live.each(tx, func(f keyspace.Fields) error { return fn(f.Record()) })
	})
}

// indexKeys walks the revisions of all keys in their order.
func indexKeys(tx *bolt.Tx) (liveKeys, error) {
	live := liveKeys{}
	bucket := tx.Bucket(schema.Key.Name())
	if bucket == nil {
		return nil, damagedf("it has no bucket \"key\"")
	}
	err := bucket.ForEach(func(k, v []byte) error {
		f, err := record(k, v)
		if err == nil {
			live.note(k, f.Key)
		}
		return err
	})
	return live, err
}

// note takes the next record into account. A record without a key is the mark
// that a revision bump leaves behind.
func (l liveKeys) note(k, key []byte) {
	switch {
	case len(key) == 0:
	case mvcc.IsTombstone(k):
		delete(l, string(key))
	default:
		l[string(key)] = revision(k[:17])
	}
}

// each calls fn for every live key, in key order.
func (l liveKeys) each(tx *bolt.Tx, fn func(keyspace.Fields) error) error {
	keys := make([]string, 0, len(l))
	for k := range l {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	bucket := tx.Bucket(schema.Key.Name())
	for _, k := range keys {
		rev := l[k]
		f, err := keyspace.Parse(bucket.Get(rev[:]))
		if err != nil {
			return damagedf("the value of key %q can't be decoded: %v", k, err)
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// record decodes an entry of the bucket "key".
func record(k, v []byte) (keyspace.Fields, error) {
	if len(k) != len(revision{}) && !mvcc.IsTombstone(k) {
		return keyspace.Fields{}, damagedf("its bucket \"key\" holds something that is no revision: %q", k)
	}
	f, err := keyspace.Parse(v)
	if err != nil {
		return f, damagedf("the value at revision %d can't be decoded: %v", mvcc.BytesToRev(k).Main, err)
	}
	return f, nil
}
