package diagnose

import (
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// gapMember is the member whose log logWithGap writes, in hexadecimal.
const gapMember = "4d"

// logWithGap writes the log of a member that was so far behind that its leader
// sent it a snapshot: entries 1 to 100, the snapshot of the first 5000, and the
// entries from first to last. etcd goes on with 5001.
func logWithGap(t *testing.T, first, last uint64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "wal")
	metadata, err := proto.Marshal(&etcdserverpb.Metadata{NodeID: proto.Uint64(0x4d), ClusterID: proto.Uint64(0xc)})
	must(t, err)
	w, err := wal.Create(zap.NewNop(), dir, metadata)
	must(t, err)
	w.SetUnsafeNoFsync()
	must(t, errors.Join(
		w.Save(stateAt(100), numbered(1, 100)),
		w.SaveSnapshot(&walpb.Snapshot{Index: proto.Uint64(5000), Term: proto.Uint64(1), ConfState: &raftpb.ConfState{Voters: []uint64{0x4d}}}),
		w.Save(stateAt(5000), nil),
		w.Save(stateAt(max(last, 5000)), numbered(first, last)),
		w.Close()))
	return dir
}

func stateAt(commit uint64) *raftpb.HardState {
	return &raftpb.HardState{Term: proto.Uint64(1), Vote: proto.Uint64(0), Commit: proto.Uint64(commit)}
}

func numbered(from, to uint64) []*raftpb.Entry {
	var entries []*raftpb.Entry
	for i := from; i <= to; i++ {
		entries = append(entries, &raftpb.Entry{Index: proto.Uint64(i), Term: proto.Uint64(1), Type: raftpb.EntryNormal.Enum()})
	}
	return entries
}

// databaseAt is a whole database of the gap's member that has an entry.
func databaseAt(index uint64) DB {
	return DB{Exists: true, Size: 1, Buckets: true, ConsistentIndex: index, Members: []Member{{ID: gapMember}}}
}

// A snapshot from the leader stands for the entries that the log hasn't: such a
// log is as whole as any, and follows on a database that has the snapshot.
func TestSnapshotExplainsGap(t *testing.T) {
	dir := logWithGap(t, 5001, 5010)
	w, err := readWAL(dir)
	must(t, err)
	if w.Fault != nil || w.FirstIndex != 5001 || w.LastIndex != 5010 || w.SeenIndex != 5010 || w.Behind != 0 || w.Lacks() != "" {
		t.Errorf("read %+v, fault %+v", w, w.Fault)
	}
	r := &Report{DB: databaseAt(5005), WAL: w}
	r.judgeWAL()
	r.judgeIndex()
	if r.climb(); len(r.Findings) != 0 || r.Recommended != Restart {
		t.Errorf("recommends %q: %+v", r.Recommended, r.Findings)
	}
	for _, tt := range []struct {
		database, first uint64
		follows         bool
	}{
		{60, 5001, false}, {4990, 5001, false}, {5000, 5001, true}, {5005, 5006, true},
	} {
		log, entries, err := Entries(dir, tt.database)
		must(t, err)
		if why := log.Follows(databaseAt(tt.database)); (why == "") != tt.follows {
			t.Errorf("database at %d: %q", tt.database, why)
		}
		if len(entries) != int(5011-tt.first) || entries[0].GetIndex() != tt.first {
			t.Errorf("database at %d: %d entries, from %v on", tt.database, len(entries), entries)
		}
	}
}

// Where nothing follows on the snapshot yet, what the log has before it follows
// on no database either: what is between is in neither.
func TestSnapshotEndsLog(t *testing.T) {
	dir := logWithGap(t, 5001, 5000)
	for database, follows := range map[uint64]bool{60: false, 100: false, 5000: true} {
		log, entries, err := Entries(dir, database)
		must(t, err)
		if why := log.Follows(databaseAt(database)); (why == "") != follows || len(entries) != 0 || log.LastIndex != 5000 || log.Fault != nil {
			t.Errorf("database at %d: %q, %d entries up to %d, fault %+v", database, why, len(entries), log.LastIndex, log.Fault)
		}
	}
}

// A gap that no snapshot explains is a damage.
func TestUnexplainedGap(t *testing.T) {
	log, err := readWAL(logWithGap(t, 5002, 5003))
	must(t, err)
	if log.Fault == nil || log.Fault.Kind != faultOrder || log.Behind != 2 {
		t.Errorf("read %+v, fault %+v", log, log.Fault)
	}
}
