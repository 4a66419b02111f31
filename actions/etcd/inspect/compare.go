package inspect

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"runbook/actions/etcd/boltfile"
)

// rewritten are the buckets in which a restore writes the new cluster's facts.
var rewritten = []string{
	string(schema.Alarm.Name()), string(schema.Cluster.Name()), string(schema.Members.Name()),
	string(schema.MembersRemoved.Name()), string(schema.Meta.Name()),
}

// compare checks a restored database: its structure, and in the same walk its
// contents against the snapshot's, which is known to be sound.
func compare(path, original, bump string) (Info, error) {
	more, err := strconv.ParseInt(bump, 10, 64)
	if err != nil {
		return Info{}, fmt.Errorf("the bump %q: %w", bump, err)
	}
	if err := LooksSound(original); err != nil {
		return Info{}, err
	}
	f, size, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close() // only read from
	if _, err := checkMetas(f, size); err != nil {
		return Info{}, err
	}
	info := Info{Path: path}
	err = view(original, func(want *bolt.Tx) error {
		c := comparison{want: want, sides: map[string]*side{}}
		if err := structure(f, size, c.visitor); err != nil {
			return err
		}
		info.Revision = c.last().Main + more
		return c.verdict(info.Revision, more > 0)
	})
	if err != nil {
		return info, err
	}
	return info, view(path, func(tx *bolt.Tx) error { return readBuckets(tx, &info) })
}

// comparison is of a restored database with the snapshot that it was made
// from. Its structure is checked in the same walk.
type comparison struct {
	want    *bolt.Tx
	sides   map[string]*side
	unknown string // a bucket that the snapshot doesn't have
}

// visitor compares the buckets that a restore leaves as they are.
func (c *comparison) visitor(bucket string) boltfile.Visit {
	if slices.Contains(rewritten, bucket) {
		return nil
	}
	b := c.want.Bucket([]byte(bucket))
	if b == nil {
		c.unknown = bucket
		return nil
	}
	s := &side{bucket: bucket, want: b.Cursor()}
	s.key, s.value = s.want.First()
	c.sides[bucket] = s
	return s.visit
}

// last is the snapshot's newest revision.
func (c *comparison) last() mvcc.Revision {
	if b := c.want.Bucket(schema.Key.Name()); b != nil {
		if k, _ := b.Cursor().Last(); k != nil {
			return mvcc.BytesToRev(k)
		}
	}
	return mvcc.Revision{}
}

// verdict says how the databases differ. Behind all that is the same, a bump
// leaves one record.
func (c *comparison) verdict(revision int64, bumped bool) error {
	if c.unknown != "" {
		return damagedf("only one of it and the snapshot has a bucket %q", c.unknown)
	}
	err := c.want.ForEach(func(name []byte, _ *bolt.Bucket) error {
		s := c.sides[string(name)]
		switch {
		case slices.Contains(rewritten, string(name)):
			return nil
		case s == nil:
			return damagedf("only one of it and the snapshot has a bucket %q", name)
		}
		return s.verdict()
	})
	if err != nil {
		return err
	}
	var mark []byte
	if bumped {
		mark = mvcc.RevToBytes(mvcc.Revision{Main: revision}, mvcc.NewRevBytes())
	}
	keys := c.sides[string(schema.Key.Name())]
	if keys == nil {
		return damagedf("the snapshot has no bucket %q", schema.Key.Name())
	}
	if !bytes.Equal(keys.rest, mark) {
		return damagedf("behind the snapshot's records it has %x and not %x", keys.rest, mark)
	}
	return nil
}

// side is a bucket of the snapshot, walked beside the restored one.
type side struct {
	bucket     string
	want       *bolt.Cursor
	key, value []byte // what comes next in the snapshot; no key behind the last
	differs    error
	rest       []byte // the first key behind all that are the same
}

func (s *side) visit(e boltfile.Element) error {
	switch {
	case s.differs != nil:
	case s.key == nil && s.rest == nil:
		s.rest = bytes.Clone(e.Key)
	case s.key == nil:
		s.differs = damagedf("its bucket %q holds more than the snapshot's: %x", s.bucket, e.Key)
	case !bytes.Equal(s.key, e.Key) || !bytes.Equal(s.value, e.Value):
		s.differs = s.difference()
	default:
		s.key, s.value = s.want.Next()
	}
	return nil
}

func (s *side) difference() error {
	return damagedf("its bucket %q differs from the snapshot's at %x", s.bucket, s.key)
}

func (s *side) verdict() error {
	switch {
	case s.differs != nil:
		return s.differs
	case s.key != nil: // the restored one ends early
		return s.difference()
	case s.rest != nil && s.bucket != string(schema.Key.Name()):
		return damagedf("its bucket %q holds more than the snapshot's", s.bucket)
	}
	return nil
}
