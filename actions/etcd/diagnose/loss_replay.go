package diagnose

import (
	"bytes"
	"context"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"go.etcd.io/etcd/pkg/v3/traceutil"
)

// requestOf is the request in an entry, if there is one.
func requestOf(e *raftpb.Entry) (*etcdserverpb.InternalRaftRequest, bool) {
	var r etcdserverpb.InternalRaftRequest
	ok := e.GetType() == raftpb.EntryNormal && len(e.GetData()) > 0 && proto.Unmarshal(e.GetData(), &r) == nil
	return &r, ok
}

// lookedAt are the keys whose values requests may look at.
func lookedAt(entries []*raftpb.Entry) map[string]bool {
	keys := map[string]bool{}
	for _, e := range entries {
		r, ok := requestOf(e)
		if !ok {
			continue
		}
		if p := r.GetPut(); p.GetIgnoreValue() {
			keys[string(p.GetKey())] = true
		}
		lookedAtBy(keys, r.GetTxn())
	}
	return keys
}

func lookedAtBy(keys map[string]bool, t *etcdserverpb.TxnRequest) {
	for _, c := range t.GetCompare() {
		keys[string(c.GetKey())] = true
	}
	for _, op := range slices.Concat(t.GetSuccess(), t.GetFailure()) {
		keys[string(op.GetRequestPut().GetKey())] = true
		lookedAtBy(keys, op.GetRequestTxn())
	}
}

// replay applies the log's entries to the state, without a database. What a
// transaction does is decided by etcd's own code.
func (s *state) replay(entries []*raftpb.Entry) {
	lessor := &lease.FakeLessor{LeaseSet: map[lease.LeaseID]struct{}{}}
	for id := range s.leases {
		lessor.LeaseSet[lease.LeaseID(id)] = struct{}{}
	}
	ctx, lg, kv := context.Background(), zap.NewNop(), &memory{state: s}
	for _, e := range entries {
		r, ok := requestOf(e)
		if !ok {
			continue
		}
		// That a request fails is a result too: it failed when it was made.
		switch {
		case r.GetPut() != nil:
			_, _, _ = txn.Put(ctx, lg, lessor, kv, r.GetPut())
		case r.GetDeleteRange() != nil:
			_, _, _ = txn.DeleteRange(ctx, lg, kv, r.GetDeleteRange())
		case r.GetTxn() != nil:
			_, _, _ = txn.Txn(ctx, lg, r.GetTxn(), true, kv, lessor, true)
		case r.GetLeaseGrant() != nil:
			lessor.LeaseSet[lease.LeaseID(r.GetLeaseGrant().GetID())] = struct{}{}
		case r.GetLeaseRevoke() != nil:
			id := r.GetLeaseRevoke().GetID()
			delete(lessor.LeaseSet, lease.LeaseID(id))
			kv.revoke(id)
		}
	}
}

// memory is a state as etcd's code for transactions sees it.
type memory struct {
	mvcc.KV // what isn't used
	state   *state
}

// Write implements mvcc.KV.
func (m *memory) Write(*traceutil.Trace) mvcc.TxnWrite { return &memoryTxn{state: m.state} }

// Read implements mvcc.KV.
func (m *memory) Read(mvcc.ReadTxMode, *traceutil.Trace) mvcc.TxnRead {
	return &memoryTxn{state: m.state}
}

// Restore implements mvcc.KV.
func (m *memory) Restore(backend.Backend) error { return nil }

// revoke deletes the keys of a lease, as one transaction.
func (m *memory) revoke(id int64) {
	t := &memoryTxn{state: m.state}
	for key, k := range m.state.keys {
		if k.lease == id {
			t.DeleteRange([]byte(key), nil)
		}
	}
	t.End()
}

// memoryTxn is a transaction, which has the next revision if it changes
// anything.
type memoryTxn struct {
	state   *state
	changed bool
}

var _ mvcc.TxnWrite = (*memoryTxn)(nil)

// FirstRev implements mvcc.TxnWrite: what was compacted doesn't matter here.
func (t *memoryTxn) FirstRev() int64 { return 0 }

// Rev implements mvcc.TxnWrite.
func (t *memoryTxn) Rev() int64 { return t.state.revision }

// Range implements mvcc.TxnWrite.
func (t *memoryTxn) Range(_ context.Context, key, end []byte, _ mvcc.RangeOptions) (*mvcc.RangeResult, error) {
	r := &mvcc.RangeResult{Rev: t.state.revision}
	for _, name := range t.state.between(key, end) {
		k := t.state.keys[name]
		r.KVs = append(r.KVs, &mvccpb.KeyValue{Key: []byte(name), Value: k.value, CreateRevision: k.created, ModRevision: k.changed, Version: k.version, Lease: k.lease})
	}
	r.Count = len(r.KVs)
	return r, nil
}

// between are the live keys of a range, in order.
func (s *state) between(key, end []byte) []string {
	if end == nil {
		if _, ok := s.keys[string(key)]; ok {
			return []string{string(key)}
		}
		return nil
	}
	var names []string
	for name := range s.keys {
		if name >= string(key) && (len(end) == 0 || bytes.Compare([]byte(name), end) < 0) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// DeleteRange implements mvcc.TxnWrite.
func (t *memoryTxn) DeleteRange(key, end []byte) (n, rev int64) {
	for _, name := range t.state.between(key, end) {
		t.state.remove(name)
		t.changed = true
		n++
	}
	return n, t.state.revision + 1
}

// Put implements mvcc.TxnWrite.
func (t *memoryTxn) Put(key, value []byte, id lease.LeaseID) int64 {
	rev := t.state.revision + 1
	created, version := rev, int64(1)
	if old, ok := t.state.keys[string(key)]; ok {
		created, version = old.created, old.version+1
	}
	t.state.put(string(key), &mvccpb.KeyValue{Key: key, Value: value, CreateRevision: created, ModRevision: rev, Version: version, Lease: int64(id)})
	t.changed = true
	return rev
}

// Changes implements mvcc.TxnWrite.
func (t *memoryTxn) Changes() []*mvccpb.KeyValue {
	if t.changed {
		return []*mvccpb.KeyValue{{}}
	}
	return nil
}

// End implements mvcc.TxnWrite.
func (t *memoryTxn) End() {
	if t.changed {
		t.state.revision++
		t.changed = false
	}
}
