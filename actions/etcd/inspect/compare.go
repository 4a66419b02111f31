package inspect

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// rewritten are the buckets in which a restore writes the new cluster's facts.
var rewritten = [][]byte{
	schema.Alarm.Name(), schema.Cluster.Name(), schema.Members.Name(), schema.MembersRemoved.Name(), schema.Meta.Name(),
}

// compare checks a restored database: its structure, and beside that, on
// another thread, its contents against the snapshot's.
func compare(path, original, bump string) (Info, error) {
	more, err := strconv.ParseInt(bump, 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("the bump %q: %w", bump, err)
	}
	for _, file := range []string{path, original} {
		f, size, err := openFile(file)
		if err == nil {
			_, err = checkMetas(f, size)
			f.Close() // only read from
		}
		if err != nil {
			return Info{}, err
		}
	}
	info := Info{Path: path}
	err = view(path, func(tx *bolt.Tx) error {
		return view(original, func(want *bolt.Tx) error {
			structure := make(chan error, 1)
			go func() { structure <- checkStructure(tx) }()
			err := sameBuckets(tx, want, more, &info)
			if damage := <-structure; damage != nil {
				return damage
			}
			return err
		})
	})
	return info, err
}

// sameBuckets compares all buckets that a restore leaves as they are.
func sameBuckets(got, want *bolt.Tx, bump int64, info *Info) error {
	if err := readBuckets(got, info); err != nil {
		return err
	}
	for _, side := range []*bolt.Tx{want, got} {
		err := side.ForEach(func(name []byte, _ *bolt.Bucket) error {
			switch {
			case slices.ContainsFunc(rewritten, func(b []byte) bool { return bytes.Equal(b, name) }):
				return nil
			case bytes.Equal(name, schema.Key.Name()):
				return nil
			case got.Bucket(name) == nil || want.Bucket(name) == nil:
				return damagedf("only one of it and the snapshot has a bucket %q", name)
			}
			rest, err := sameBucket(name, got.Bucket(name), want.Bucket(name))
			if err == nil && rest != nil {
				err = damagedf("its bucket %q holds more than the snapshot's", name)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return sameRecords(got, want, bump, info)
}

// sameRecords compares the keys' records, and looks for the one that a bump
// leaves behind them.
func sameRecords(got, want *bolt.Tx, bump int64, info *Info) error {
	name := schema.Key.Name()
	if want.Bucket(name) == nil {
		return damagedf("the snapshot has no bucket %q", name)
	}
	last := mvcc.Revision{}
	if k, _ := want.Bucket(name).Cursor().Last(); k != nil {
		last = mvcc.BytesToRev(k)
	}
	info.Revision = last.Main + bump
	rest, err := sameBucket(name, got.Bucket(name), want.Bucket(name))
	if err != nil {
		return err
	}
	var mark []byte
	if bump > 0 {
		mark = mvcc.RevToBytes(mvcc.Revision{Main: info.Revision}, mvcc.NewRevBytes())
	}
	if !bytes.Equal(rest, mark) {
		return damagedf("behind the snapshot's records it has %x and not %x", rest, mark)
	}
	return nil
}

// sameBucket walks two buckets side by side. It returns the first key that
// got has behind all that are the same, and fails where there is another
// difference.
func sameBucket(name []byte, got, want *bolt.Bucket) ([]byte, error) {
	g, w := got.Cursor(), want.Cursor()
	k, v := g.First()
	for wk, wv := w.First(); wk != nil; wk, wv = w.Next() {
		if !bytes.Equal(k, wk) || !bytes.Equal(v, wv) {
			return nil, damagedf("its bucket %q differs from the snapshot's at %x", name, wk)
		}
		k, v = g.Next()
	}
	if next, _ := g.Next(); k != nil && next != nil {
		return nil, damagedf("its bucket %q holds more than the snapshot's: %x", name, next)
	}
	return k, nil
}
