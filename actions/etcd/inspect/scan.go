package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/keyspace"
	"runbook/actions/etcd/unseen"
)

// lockWait is how long to wait for the lock of a database in use.
const lockWait = time.Second

// describe checks all of the file and describes it.
func describe(path string) (Info, error) {
	f, size, err := openFile(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close() // only read from
	info := Info{Path: path, Size: size, Members: []Member{}, Alarms: []string{}, Warnings: []string{}}
	if info.Hash, err = checkHash(f, size); err != nil {
		return Info{}, err
	}
	warning, err := checkMetas(f, size)
	if err != nil {
		return Info{}, err
	}
	if warning != "" {
		info.Warnings = append(info.Warnings, warning)
	}
	return info, view(path, func(tx *bolt.Tx) error { return scan(tx, &info) })
}

// listKeys calls fn for every live key, in key order.
func listKeys(path string, fn func(keyspace.Record) error) error {
	return view(path, func(tx *bolt.Tx) error {
		live, err := indexKeys(tx, &Info{})
		if err != nil {
			return err
		}
		return live.each(tx, fn)
	})
}

// view opens the database for reading only and calls fn in a transaction.
func view(path string, fn func(*bolt.Tx) error) error {
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockWait, OpenFile: unseen.OpenFile})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return damagedf("it is in use: another process, probably etcd, holds its lock")
	}
	if err != nil {
		return damagedf("it can't be opened as a database: %v", err)
	}
	return errors.Join(db.View(fn), db.Close())
}

// scan checks the database's structure and fills info from its buckets.
func scan(tx *bolt.Tx, info *Info) error {
	if err := checkStructure(tx); err != nil {
		return err
	}
	for _, b := range []string{"key", "meta"} {
		if tx.Bucket([]byte(b)) == nil {
			return damagedf("it is a bbolt database but not etcd's: it has no bucket %q", b)
		}
	}
	live, err := indexKeys(tx, info)
	if err != nil {
		return err
	}
	digest := keyspace.NewDigest()
	if err := live.each(tx, func(r keyspace.Record) error { digest.Add(r); return nil }); err != nil {
		return err
	}
	info.Keys, info.ContentHash = digest.Keys(), digest.String()
	readMetaBucket(tx, info)
	return errors.Join(readMembers(tx, info), readAlarms(tx, info))
}

// checkStructure runs bbolt's own check of all pages.
func checkStructure(tx *bolt.Tx) error {
	var first error
	count := 0
	for err := range tx.Check() {
		if count++; first == nil {
			first = err
		}
	}
	if first == nil {
		return nil
	}
	return damagedf("its database is inconsistent (%d findings): %v", count, first)
}

// liveKeys holds the newest revision of each live key. Values stay in the
// file, so memory grows with the keys and not with the data.
type liveKeys map[string]revision

// revision is the place of a key's newest record in the bucket "key".
type revision [17]byte

// indexKeys walks the revisions of all keys in their order, and fills info's
// revision and total.
func indexKeys(tx *bolt.Tx, info *Info) (liveKeys, error) {
	live := liveKeys{}
	bucket := tx.Bucket(schema.Key.Name())
	if bucket == nil {
		return nil, damagedf("it has no bucket \"key\"")
	}
	err := bucket.ForEach(func(k, v []byte) error {
		if len(k) != len(revision{}) && !mvcc.IsTombstone(k) {
			return damagedf("its bucket \"key\" holds something that is no revision: %q", k)
		}
		info.Revision = mvcc.BytesToRev(k).Main
		info.TotalKeys++
		var kv mvccpb.KeyValue
		if err := proto.Unmarshal(v, &kv); err != nil {
			return damagedf("the value at revision %d can't be decoded: %v", info.Revision, err)
		}
		live.note(k, &kv)
		return nil
	})
	return live, err
}

// note takes the next record into account. A record without a key is the mark
// that a revision bump leaves behind.
func (l liveKeys) note(k []byte, kv *mvccpb.KeyValue) {
	switch {
	case len(kv.GetKey()) == 0:
	case mvcc.IsTombstone(k):
		delete(l, string(kv.GetKey()))
	default:
		l[string(kv.GetKey())] = revision(k[:17])
	}
}

// each calls fn for every live key's record, in key order.
func (l liveKeys) each(tx *bolt.Tx, fn func(keyspace.Record) error) error {
	keys := make([]string, 0, len(l))
	for k := range l {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	bucket := tx.Bucket(schema.Key.Name())
	for _, k := range keys {
		rev := l[k]
		var kv mvccpb.KeyValue
		if err := proto.Unmarshal(bucket.Get(rev[:]), &kv); err != nil {
			return damagedf("the value of key %q can't be decoded: %v", k, err)
		}
		if err := fn(keyspace.RecordOf(&kv)); err != nil {
			return err
		}
	}
	return nil
}

func readMetaBucket(tx *bolt.Tx, info *Info) {
	bucket := tx.Bucket(schema.Meta.Name())
	if v := schema.ReadStorageVersionFromSnapshot(tx); v != nil {
		info.StorageVersion = v.String()
	}
	for _, name := range [][]byte{schema.ScheduledCompactKeyName, schema.FinishedCompactKeyName} {
		if b := bucket.Get(name); len(b) == len(revision{}) {
			info.CompactRevision = max(info.CompactRevision, mvcc.BytesToRev(b).Main)
		}
	}
	for _, c := range bucket.Get(schema.MetaConsistentIndexKeyName) {
		info.ConsistentIndex = info.ConsistentIndex<<8 | uint64(c)
	}
}

func readMembers(tx *bolt.Tx, info *Info) error {
	bucket := tx.Bucket(schema.Members.Name())
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(k, v []byte) error {
		var m membership.Member
		if err := json.Unmarshal(v, &m); err != nil {
			return damagedf("its member %s can't be decoded: %v", k, err)
		}
		info.Members = append(info.Members, Member{ID: string(bytes.TrimSpace(k)), Name: m.Name, PeerURLs: m.PeerURLs})
		return nil
	})
}

func readAlarms(tx *bolt.Tx, info *Info) error {
	bucket := tx.Bucket(schema.Alarm.Name())
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(k, _ []byte) error {
		var a etcdserverpb.AlarmMember
		if err := proto.Unmarshal(k, &a); err != nil {
			return damagedf("one of its alarms can't be decoded: %v", err)
		}
		info.Alarms = append(info.Alarms, fmt.Sprint(a.GetAlarm()))
		return nil
	})
}
