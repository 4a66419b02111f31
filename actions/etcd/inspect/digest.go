package inspect

import (
	"hash/maphash"
	"runtime"
	"sync"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"runbook/actions/etcd/keyspace"
)

// passKeys is how many keys are told apart in one walk over the records: the
// memory that this takes is bounded, and more keys take more walks. A variable
// for the tests.
var passKeys = 2 << 20

// digestKeys checks every record of the bucket "key", of which info tells how
// many there are, and fills info from them. It goes from the newest record to the oldest: what is seen first of a
// key is what etcd serves, so nothing but the key has to be remembered.
func digestKeys(tx *bolt.Tx, info *Info) error {
	c := tx.Bucket(schema.Key.Name()).Cursor()
	if k, _ := c.Last(); len(k) >= 8 {
		info.Revision = mvcc.BytesToRev(k).Main
	}
	passes := int(info.TotalKeys)/passKeys + 1
	seen := newKeySet(int(info.TotalKeys)/passes + 1)
	digests := startDigesters()
	for pass := range passes {
		seen.clear()
		if err := walkBack(c, seen, uint64(pass), uint64(passes), digests); err != nil {
			digests.finish()
			return err
		}
	}
	digest := digests.finish()
	info.Keys, info.ContentHash = digest.Keys(), digest.String()
	return nil
}

// walkBack hands the live ones to digests, of the keys that are this pass's.
func walkBack(c *bolt.Cursor, seen *keySet, pass, passes uint64, digests *digesters) error {
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		f, err := record(k, v)
		if err != nil {
			return err
		}
		if len(f.Key) == 0 {
			continue // the mark that a revision bump leaves behind
		}
		id := seen.id(f.Key)
		if passes > 1 && id[0]%passes != pass {
			continue
		}
		if seen.add(id) && !mvcc.IsTombstone(k) {
			digests.add(f)
		}
	}
	return nil
}

// keyID stands for a key. Its 128 bits come from two hashes with seeds of this
// process's own, so no two keys of any database have the same.
type keyID [2]uint64

// keySet is a set of keys in a table of a fixed size.
type keySet struct {
	seeds [2]maphash.Seed
	slots []keyID // the zero keyID is an empty slot
}

// newKeySet returns a set for at most n keys.
func newKeySet(n int) *keySet {
	return &keySet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, slots: make([]keyID, n+n/3+64)}
}

func (s *keySet) clear() { clear(s.slots) }

func (s *keySet) id(key []byte) keyID {
	return keyID{maphash.Bytes(s.seeds[0], key), maphash.Bytes(s.seeds[1], key) | 1}
}

// add reports whether the key wasn't in the set, and adds it.
func (s *keySet) add(id keyID) bool {
	for i := id[1] % uint64(len(s.slots)); ; i = (i + 1) % uint64(len(s.slots)) {
		switch s.slots[i] {
		case id:
			return false
		case keyID{}:
			s.slots[i] = id
			return true
		}
	}
}

// digesters compute the records' SHA-256 on as many threads as there are.
type digesters struct {
	batch   []keyspace.Fields
	batches chan []keyspace.Fields
	free    chan []keyspace.Fields
	done    sync.WaitGroup
	parts   []keyspace.Digest
}

func startDigesters() *digesters {
	n := runtime.GOMAXPROCS(0)
	d := &digesters{batches: make(chan []keyspace.Fields, n), free: make(chan []keyspace.Fields, 2*n+2), parts: make([]keyspace.Digest, n)}
	for i := range d.parts {
		d.done.Go(func() {
			for batch := range d.batches {
				for _, f := range batch {
					d.parts[i].Add(f.Record())
				}
				d.free <- batch[:0]
			}
		})
	}
	return d
}

func (d *digesters) add(f keyspace.Fields) {
	d.batch = append(d.batch, f)
	if len(d.batch) < 256 {
		return
	}
	d.batches <- d.batch
	select {
	case d.batch = <-d.free:
	default:
		d.batch = nil
	}
}

// finish returns the digest of all that was added.
func (d *digesters) finish() keyspace.Digest {
	d.batches <- d.batch
	close(d.batches)
	d.done.Wait()
	var all keyspace.Digest
	for _, part := range d.parts {
		all.Merge(part)
	}
	return all
}
