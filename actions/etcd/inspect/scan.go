package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/unseen"
)

// lockWait is how long to wait for the lock of a database in use.
const lockWait = time.Second

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
