package etcd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

const threeMembers = "m1=" + testPeerURL + ",m2=http://127.0.0.2:2380,m3=http://127.0.0.3:2380,m3=http://127.0.0.3:2381"

// TestRestoreAsEtcdutl restores one snapshot with this package and with
// etcdutl's own library, and wants the same member of the same cluster from
// both. Only the alarms are other ones: etcdutl keeps them.
func TestRestoreAsEtcdutl(t *testing.T) {
	f := newFixture(t)
	addAlarm(t, f.snapshot)
	for name, tt := range map[string]struct {
		bump     int
		cluster  string
		snapshot string
	}{
		"with a bump":     {bump: 1000, cluster: "m1=" + testPeerURL, snapshot: f.snapshot},
		"without one":     {bump: 0, cluster: "m1=" + testPeerURL, snapshot: f.snapshot},
		"three members":   {bump: defaultBump, cluster: threeMembers, snapshot: f.snapshot},
		"a database file": {bump: 7, cluster: threeMembers, snapshot: filepath.Join(f.data, "member", "snap", "db")},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
			res, err := call(t, "etcd_snapshot_restore", attrs{
				"snapshot": tt.snapshot, "data_dir": ours, "name": "m1", "bump_revision": tt.bump, "initial_cluster": tt.cluster,
				"initial_cluster_token": "new-1", "initial_advertise_peer_urls": []string{testPeerURL},
			})
			must(t, err)
			must(t, snapshot.NewV3(zapLogger()).Restore(snapshot.RestoreConfig{
				SnapshotPath: tt.snapshot, SkipHashCheck: tt.snapshot != f.snapshot, OutputDataDir: theirs, Name: "m1",
				PeerURLs: []string{testPeerURL}, InitialCluster: tt.cluster, InitialClusterToken: "new-1",
				RevisionBump: uint64(tt.bump), MarkCompacted: tt.bump > 0,
			}))
			got, want := memberOf(t, ours), memberOf(t, theirs)
			if got != want {
				t.Errorf("restored\n%s\netcdutl makes\n%s", got, want)
			}
			a, b := hashOf(t, ours), hashOf(t, theirs)
			if a != b || a.Revision != res["revision"] {
				t.Errorf("restored %+v, etcdutl %+v", a, b)
			}
		})
	}
}

// memberOf describes all of a data directory but its alarms.
func memberOf(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	db, err := bolt.Open(filepath.Join(dir, "member", "snap", "db"), 0, &bolt.Options{ReadOnly: true})
	must(t, err)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			fmt.Fprintf(&b, "bucket %s\n", name)
			return bucket.ForEach(func(k, v []byte) error {
				if !bytes.Equal(name, schema.Alarm.Name()) {
					fmt.Fprintf(&b, "  %q %q\n", k, v)
				}
				return nil
			})
		})
	})
	must(t, errors.Join(err, db.Close()))
	fmt.Fprintf(&b, "log %s\n", logOf(t, filepath.Join(dir, "member", "wal")))
	raft, err := snap.New(zapLogger(), filepath.Join(dir, "member", "snap")).Load()
	must(t, err)
	md := raft.GetMetadata()
	fmt.Fprintf(&b, "raft snapshot %d %d %v %v\n", md.GetIndex(), md.GetTerm(), md.GetConfState().GetVoters(), sameStore(t, raft.GetData()))
	return b.String()
}

// logOf describes a log.
func logOf(t *testing.T, dir string) string {
	t.Helper()
	snaps, err := wal.ValidSnapshotEntries(zapLogger(), dir)
	must(t, err)
	newest := snaps[len(snaps)-1]
	log, err := wal.OpenForRead(zapLogger(), dir, &walpb.Snapshot{})
	must(t, err)
	metadata, state, entries, err := log.ReadAll() // closes it
	must(t, err)
	var m etcdserverpb.Metadata
	must(t, proto.Unmarshal(metadata, &m))
	text := fmt.Sprintf("%x %x term %d vote %x commit %d from %d", m.GetNodeID(), m.GetClusterID(),
		state.GetTerm(), state.GetVote(), state.GetCommit(), newest.GetIndex())
	for _, e := range entries {
		text += fmt.Sprintf("\n  %d %d %v %q", e.GetTerm(), e.GetIndex(), e.GetType(), e.GetData())
	}
	return text
}

// sameStore is a store of etcd's version 2 without the times in it, and
// without the order in which its nodes were made, which is that of a Go map.
func sameStore(t *testing.T, data []byte) string {
	t.Helper()
	var store map[string]any
	must(t, json.Unmarshal(data, &store))
	text, err := json.Marshal(store["Root"])
	must(t, err)
	return string(made.ReplaceAll(text, nil))
}

var made = regexp.MustCompile(`"(CreateTime|ExpireTime|CreatedIndex|ModifiedIndex)":("[^"]*"|\d+),?`)

type hash struct {
	Hash           uint32
	Revision, Keys int64
}

// hashOf is what etcdutl itself says of a data directory's database, without
// the alarms.
func hashOf(t *testing.T, dir string) hash {
	t.Helper()
	path := filepath.Join(dir, "member", "snap", "db")
	db, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, errors.Join(db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(schema.Alarm.Name()) }), db.Close()))
	status, err := snapshot.NewV3(zapLogger()).Status(path)
	must(t, err)
	return hash{status.Hash, status.Revision, int64(status.TotalKey)}
}

// addAlarm raises an alarm in a snapshot, under the ID of a member that is
// gone.
func addAlarm(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, data[:len(data)-32], 0o600))
	db, err := bolt.Open(path, 0o600, nil)
	must(t, err)
	key, err := proto.Marshal(&etcdserverpb.AlarmMember{MemberID: 4711, Alarm: etcdserverpb.AlarmType_NOSPACE})
	must(t, err)
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(schema.Alarm.Name())
		if err != nil {
			return err
		}
		return b.Put(key, nil)
	})
	must(t, errors.Join(err, db.Close()))
	data, err = os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, rehash(append(data, make([]byte, 32)...)), 0o600))
}

// TestRestoreClearsAlarms restores a snapshot with a NOSPACE that nobody can
// disarm, and wants an etcd that takes writes.
func TestRestoreClearsAlarms(t *testing.T) {
	f := newFixture(t)
	addAlarm(t, f.snapshot)
	if info := mustInspect(t, f.snapshot); len(info.Alarms) != 1 {
		t.Fatalf("the snapshot has the alarms %v", info.Alarms)
	}
	_, err := call(t, "etcd_snapshot_restore", f.attrs())
	must(t, err)
	s := start(t, f.data, "m1", "")
	defer s.stop()
	s.put(100, 101)
	if alarms, err := s.client.AlarmList(t.Context()); err != nil || len(alarms.Alarms) != 0 {
		t.Errorf("got %v %v", alarms, err)
	}
}
