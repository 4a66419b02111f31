package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/etcdserver/cindex"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"runbook/engine"
)

// firstTerm is the term in which the new cluster's members were added.
const firstTerm = 1

// A new member is what etcdutl's snapshot restore makes of a snapshot, from
// the same parts of etcd. It does so with the database opened three times, and
// each time bbolt walks all of it; here it is opened once. That both make the
// same is tested.

// cluster is the new cluster as its members are given.
func (r *restored) cluster() (*membership.RaftCluster, error) {
	urls, err := types.NewURLsMap(r.Cluster)
	if err != nil {
		return nil, engine.Errorf("the restored member", "the initial cluster: %w", err).WithAttribute("initial_cluster")
	}
	cl, err := membership.NewClusterFromURLsMap(zapLogger(), r.Token, urls)
	if err != nil {
		return nil, engine.Errorf("the restored member", "the initial cluster: %w", err).WithAttribute("initial_cluster")
	}
	return cl, nil
}

// guarded makes an error of a panic: with one etcd's libraries say that they
// can't go on. Why, they only log, to the logger that work is given.
func guarded(where, doing string, work func(*zap.Logger) error) (err error) {
	said := &lastWords{}
	defer func() {
		if p := recover(); p != nil {
			err = engine.Errorf(where, "%s: %w", doing, said.cause(p))
		}
	}()
	if err := work(zapLoggerTo(said)); err != nil {
		return engine.Errorf(where, "%s: %w", doing, err)
	}
	return nil
}

// makeLog makes the new cluster's log and its first raft snapshot. They hold
// the members and nothing else, whatever the database holds.
func (r *restored) makeLog(lg *zap.Logger, cl *membership.RaftCluster) error {
	dir := r.stagingWAL()
	for _, d := range []string{filepath.Dir(r.stagingDB()), dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	metadata, err := proto.Marshal(&etcdserverpb.Metadata{
		NodeID: new(uint64(cl.MemberByName(r.Name).ID)), ClusterID: new(uint64(cl.ID())),
	})
	if err != nil {
		return err
	}
	log, err := wal.Create(lg, dir, metadata)
	if err == nil && log == nil { // that is what it returns then, and its error is lost
		err = errors.New("its directory could not be synced")
	}
	if err != nil {
		return err
	}
	return errors.Join(r.fillLog(lg, log, cl), log.Close())
}

// fillLog enters the members, committed, and a raft snapshot of them, from
// which etcd starts.
func (r *restored) fillLog(lg *zap.Logger, log *wal.WAL, cl *membership.RaftCluster) error {
	entries, voters, err := additions(cl)
	if err != nil {
		return err
	}
	commit, term := uint64(len(entries)), uint64(firstTerm)
	if err := log.Save(&raftpb.HardState{Term: &term, Vote: &voters[0], Commit: &commit}, entries); err != nil {
		return err
	}
	state := &raftpb.ConfState{Voters: voters}
	dir := filepath.Dir(r.stagingDB())
	err = snap.New(lg, dir).SaveSnap(&raftpb.Snapshot{
		Data:     etcdserver.GetMembershipInfoInV2Format(lg, cl),
		Metadata: &raftpb.SnapshotMetadata{Index: &commit, Term: &term, ConfState: state},
	})
	if err != nil {
		return fmt.Errorf("its raft snapshot in %s: %w", dir, err)
	}
	return log.SaveSnapshot(&walpb.Snapshot{Index: &commit, Term: &term, ConfState: state})
}

// additions are the log's entries that add the members.
func additions(cl *membership.RaftCluster) (entries []*raftpb.Entry, voters []uint64, err error) {
	for i, id := range cl.MemberIDs() {
		member, err := json.Marshal(cl.Member(id))
		if err != nil {
			return nil, nil, err
		}
		change, err := proto.Marshal(&raftpb.ConfChange{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: new(uint64(id)), Context: member})
		if err != nil {
			return nil, nil, err
		}
		voters = append(voters, uint64(id))
		entries = append(entries, &raftpb.Entry{
			Type: raftpb.EntryConfChange.Enum(), Term: new(uint64(firstTerm)), Index: new(uint64(i + 1)), Data: change,
		})
	}
	return entries, voters, nil
}

// rewrite makes the copy of the snapshot the new cluster's database: its
// members, its place in the log, the bump, and no alarms. The copy has to be
// known to be sound. It isn't synced.
func (r *restored) rewrite(lg *zap.Logger, cl *membership.RaftCluster) error {
	config := backend.DefaultBackendConfig(lg)
	config.Path, config.UnsafeNoFsync = r.stagingDB(), true
	// A commit that fails panics, and only here that is recovered from: no
	// other thread is to have anything left to commit.
	config.BatchInterval = time.Hour
	be := backend.New(config)
	members := schema.NewMembershipBackend(lg, be)
	if err := members.TrimMembershipFromBackend(); err != nil {
		return errors.Join(err, be.Close())
	}
	r.rewriteRecords(be.BatchTx())
	cl.SetBackend(members)
	for _, m := range cl.Members() {
		cl.AddMember(m, true)
	}
	cindex.UpdateConsistentIndexForce(be.BatchTx(), uint64(len(cl.MemberIDs())), firstTerm)
	be.ForceCommit()
	return be.Close()
}

// rewriteRecords removes the alarms and bumps the revision.
//
// The alarms name members of the old cluster, so nobody could disarm them,
// and a NOSPACE among them would keep the new cluster from taking writes.
func (r *restored) rewriteRecords(tx backend.BatchTx) {
	tx.LockOutsideApply()
	defer tx.Unlock()
	tx.UnsafeDeleteBucket(schema.Alarm)
	tx.UnsafeCreateBucket(schema.Alarm)
	if r.Bump == 0 {
		return
	}
	newest := mvcc.Revision{Main: r.Revision + r.Bump}
	tx.UnsafePut(schema.Key, mvcc.RevToBytes(newest, mvcc.NewRevBytes()), []byte{})
	mvcc.UnsafeSetScheduledCompact(tx, newest.Main)
}
