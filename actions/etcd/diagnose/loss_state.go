package diagnose

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/boltfile"
	kube "runbook/actions/etcd/registry"
	"runbook/actions/etcd/unseen"
)

// kept is a live key without its value.
type kept struct {
	created, changed, version, lease int64
	sum                              [sha256.Size]byte // of the value
	value                            []byte            // only where a request of the log may look at it
	object                           kube.Object       // what it is to Kubernetes, if isObject
	isObject                         bool
}

// state is what a member held: its live keys and its leases.
type state struct {
	prefix string // below which Kubernetes keeps its objects
	// looksAt are the keys whose values are kept.
	looksAt  map[string]bool
	revision int64
	keys     map[string]kept
	// deleted are the keys that are known to be deleted: by a record of it, not
	// by their absence.
	deleted map[string]bool
	leases  map[int64]bool
	db      DB
}

func newState(prefix string, looksAt map[string]bool) *state {
	return &state{prefix: prefix, looksAt: looksAt, keys: map[string]kept{}, deleted: map[string]bool{}, leases: map[int64]bool{}}
}

// put takes a key's newest value in.
func (s *state) put(key string, kv *mvccpb.KeyValue) {
	k := kept{created: kv.GetCreateRevision(), changed: kv.GetModRevision(), version: kv.GetVersion(), lease: kv.GetLease(), sum: sha256.Sum256(kv.GetValue())}
	if s.looksAt[key] {
		k.value = bytes.Clone(kv.GetValue())
	}
	k.object, k.isObject = kube.Parse(s.prefix, []byte(key), kv.GetValue())
	s.keys[key] = k
	delete(s.deleted, key)
}

func (s *state) remove(key string) {
	delete(s.keys, key)
	s.deleted[key] = true
}

// load reads what of a database can be read.
func (s *state) load(path string) error {
	var err error
	if s.db, err = readDB(path); err != nil || !s.db.Exists || s.db.Size == 0 || s.db.Fatal != "" {
		return err
	}
	s.revision = s.db.Revision
	f, err := unseen.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	ms := boltfile.ReadMetas(f)
	m, ok := ms.Used()
	if !ok {
		return errors.New("the database has changed while it was read")
	}
	t := boltfile.NewTree(f, s.db.Size, m)
	buckets := t.Buckets()
	for name, fn := range map[string]boltfile.Visit{"key": s.record, "lease": s.lease} {
		if head, ok := buckets[name]; ok {
			t.Bucket(name, head, fn)
		}
	}
	return nil
}

func (s *state) record(e boltfile.Element) error {
	_, deletion, ok := revisionOf(e.Key)
	var kv mvccpb.KeyValue
	if !ok || proto.Unmarshal(e.Value, &kv) != nil {
		return fmt.Errorf("%q can't be decoded", printable(e.Key))
	}
	switch key := string(kv.GetKey()); {
	case key == "": // what a restore with a bump leaves behind
	case deletion:
		s.remove(key)
	default:
		s.put(key, &kv)
	}
	return nil
}

func (s *state) lease(e boltfile.Element) error {
	if len(e.Key) != 8 {
		return errors.New("it is no lease")
	}
	s.leases[int64(binary.BigEndian.Uint64(e.Key))] = true
	return nil
}
