package replay

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3alarm"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	"go.etcd.io/etcd/server/v3/etcdserver/cindex"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"runbook/actions/etcd/diagnose"
)

// replay applies the log's entries in this process.
func replay(path, wal string) (Outcome, error) {
	config := backend.DefaultBackendConfig(zap.NewNop())
	config.Path, config.UnsafeNoFsync = path, true
	be := backend.New(config)
	after, _ := schema.ReadConsistentIndex(be.ReadTx())
	o := Outcome{Index: after}
	log, entries, err := diagnose.Entries(wal, after)
	if err != nil {
		return o, errors.Join(err, be.Close())
	}
	if o.Refused = log.Follows(known(be, after)); o.Refused != "" || len(entries) == 0 {
		return o, be.Close()
	}
	err = o.apply(be, entries)
	be.ForceCommit()
	return o, errors.Join(err, be.Close())
}

// known is what of a database it takes to tell whether a log is its own.
func known(be backend.Backend, index uint64) diagnose.DB {
	d := diagnose.DB{ConsistentIndex: index}
	members, _ := schema.NewMembershipBackend(zap.NewNop(), be).MustReadMembersFromBackend()
	for id := range members {
		d.Members = append(d.Members, diagnose.Member{ID: id.String()})
	}
	return d
}

// minTTL is the shortest life of a lease in seconds, with etcd's default
// settings: a lease that is granted gets it at least.
const minTTL = 2

// apply applies the entries as an etcd does that has just started.
func (o *Outcome) apply(be backend.Backend, entries []*raftpb.Entry) error {
	lg := zap.NewNop()
	cluster := membership.NewCluster(lg)
	// The lessor comes before the keys, which attach themselves to leases.
	lessor := lease.NewLessor(lg, be, cluster, lease.LessorConfig{MinLeaseTTL: minTTL})
	defer lessor.Stop()
	kv := mvcc.NewStore(lg, be, lessor, mvcc.StoreConfig{})
	defer kv.Close()
	tokens, err := auth.NewTokenProvider(lg, "simple", func(uint64) <-chan struct{} { return nil }, time.Hour)
	if err != nil {
		return err
	}
	users := auth.NewAuthStore(lg, schema.NewAuthBackend(lg, be), tokens, 0)
	defer users.Close()
	alarms, err := v3alarm.NewAlarmStore(lg, schema.NewAlarmBackend(lg, be))
	if err != nil {
		return err
	}
	const noQuota = -1 // over it etcd raises an alarm, and applies the request
	applier := apply.NewUberApplier(apply.ApplierOptions{
		Logger: lg, KV: kv, AlarmStore: alarms, AuthStore: users, Lessor: lessor, Cluster: cluster,
		RaftStatus: nowhere{}, ConsistentIndex: cindex.NewConsistentIndex(be), Backend: be,
		TxnModeWriteWithSharedBuffer: true, QuotaBackendBytesCfg: noQuota, WarningApplyDuration: time.Hour,
	})
	for _, e := range entries {
		if err := o.entry(applier, e); err != nil {
			return err
		}
	}
	return nil
}

// entry applies one entry. What changes the cluster is passed over: the
// database becomes a new cluster's.
func (o *Outcome) entry(applier apply.UberApplier, e *raftpb.Entry) error {
	o.Entries++
	o.Index = e.GetIndex()
	request, ok := request(e)
	if !ok {
		return nil
	}
	result := applier.Apply(&apply.InternalRaftRequestWrapper{InternalRaftRequest: request, SkipRangeExecution: request.Txn != nil}, membership.ApplyBoth)
	if result == nil {
		return fmt.Errorf("entry %d wasn't applied", e.GetIndex())
	}
	// That a request failed is a result too: it failed when it was made.
	if result.Physc != nil {
		<-result.Physc
	}
	o.Applied++
	return nil
}

// passed are the requests that concern the cluster, or nothing that lasts.
var passed = map[protoreflect.Name]bool{
	"header": true, "ID": true, "range": true, "auth_status": true, "auth_user_get": true, "auth_role_get": true,
	"auth_user_list": true, "auth_role_list": true, "authenticate": true,
	"cluster_version_set": true, "cluster_member_attr_set": true, "downgrade_info_set": true, "downgrade_version_test": true,
}

// request is the request in an entry, if there is one that changes the
// database. etcd 3.5 has requests of version 2 in its log, for the members'
// attributes; they can't be decoded as one of these, or hold none of them.
func request(e *raftpb.Entry) (*etcdserverpb.InternalRaftRequest, bool) {
	var r etcdserverpb.InternalRaftRequest
	if e.GetType() != raftpb.EntryNormal || len(e.GetData()) == 0 || proto.Unmarshal(e.GetData(), &r) != nil {
		return nil, false
	}
	found := false
	r.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		found = found || !passed[f.Name()]
		return true
	})
	return &r, found
}

// nowhere is the place in a cluster of a member that is in none.
type nowhere struct{}

func (nowhere) MemberID() types.ID     { return 0 }
func (nowhere) Leader() types.ID       { return 0 }
func (nowhere) CommittedIndex() uint64 { return 0 }
func (nowhere) AppliedIndex() uint64   { return 0 }
func (nowhere) Term() uint64           { return 0 }
