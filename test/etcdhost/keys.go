package etcdhost

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Client returns a client of etcd's, from outside the host as well.
func (e *Etcd) Client(ctx context.Context) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Context:   ctx,
		Endpoints: []string{e.ClientURL},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return e.Machine.Dial(ctx, "tcp", addr)
			}),
		},
	})
}

// batch is the number of keys in one transaction; etcd allows 128.
const batch = 100

// Seed writes n keys such as a Kubernetes API server's.
func (e *Etcd) Seed(ctx context.Context, n int) error {
	c, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // what was written is acknowledged
	for from := 0; from < n; from += batch {
		var puts []clientv3.Op
		for i := from; i < min(from+batch, n); i++ {
			puts = append(puts, clientv3.OpPut(object(i)))
		}
		if _, err := c.Txn(ctx).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("write keys %d to %d: %w", from, from+len(puts)-1, err)
		}
	}
	return nil
}

// object is the i-th key and its value.
func object(i int) (key, value string) {
	kinds := []struct{ resource, kind string }{
		{"pods", "Pod"}, {"configmaps", "ConfigMap"}, {"secrets", "Secret"}, {"leases", "Lease"}, {"events", "Event"},
	}
	k := kinds[i%len(kinds)]
	namespace, name := fmt.Sprintf("team-%d", i%7), fmt.Sprintf("%s-%06d", k.resource, i)
	uid := sha256.Sum256([]byte(name))
	value = fmt.Sprintf(`{"kind":%q,"apiVersion":"v1","metadata":{"name":%q,"namespace":%q,"uid":"%x"},"data":{"payload":"%0512x"}}`,
		k.kind, name, namespace, uid[:16], uid)
	return "/registry/" + k.resource + "/" + namespace + "/" + name, value
}

// A Digest tells whether two etcds hold the same keys: values, versions and
// revisions alike.
type Digest struct {
	Keys   int
	SHA256 string
}

func (d Digest) String() string { return fmt.Sprintf("%d keys, sha256 %.16s…", d.Keys, d.SHA256) }

// answerWithin bounds how long an etcd that runs may take to answer. The client
// would wait for one that is gone for as long as it is let.
const answerWithin = 30 * time.Second

// Digest reads all keys.
func (e *Etcd) Digest(ctx context.Context) (Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := e.Client(ctx)
	if err != nil {
		return Digest{}, err
	}
	defer func() { _ = c.Close() }() // only read from
	got, err := c.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
	if err != nil {
		return Digest{}, fmt.Errorf("read all keys: %w", err)
	}
	h := sha256.New()
	for _, kv := range got.Kvs {
		for _, part := range [][]byte{kv.Key, kv.Value} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			h.Write(part)
		}
		for _, n := range []int64{kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
		}
	}
	return Digest{Keys: len(got.Kvs), SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// Snapshot saves a snapshot to a file on etcd's machine, as etcdctl does.
func (e *Etcd) Snapshot(ctx context.Context, path string) error {
	_, err := e.run(ctx, "etcdctl", "--endpoints="+e.ClientURL, "snapshot", "save", path)
	return err
}
