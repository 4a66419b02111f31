package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

// makeSnapshot writes a snapshot of about size bytes to path, as etcd would
// send it: the database of a real member, filled with what Kubernetes keeps in
// one, and the SHA-256 behind it.
func makeSnapshot(path string, size int64) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "member-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // a throw-away
	if err := startAndStop(dir); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "data", "member", "snap", "db"), path); err != nil {
		return err
	}
	if err := fill(path, size); err != nil {
		return err
	}
	return appendHash(path)
}

// startAndStop has etcd make a data directory.
func startAndStop(dir string) error {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name = filepath.Join(dir, "data"), memberName
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{filepath.Join(dir, "log")}
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "c")}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "p")}}
	peer, err := url.Parse(peerURL)
	if err != nil {
		return err
	}
	cfg.AdvertisePeerUrls = []url.URL{*peer}
	cfg.InitialCluster = memberName + "=" + peerURL
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer server.Close()
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case <-time.After(time.Minute):
		return errors.New("etcd isn't ready after a minute")
	}
}

// fill adds records to the database until it has the size.
func fill(path string, size int64) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, InitialMmapSize: int(size + size/4), FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	o := objects{random: rand.New(rand.NewPCG(1, 2)), next: 2}
	o.words = make([]byte, 1<<20)
	for i := range o.words {
		o.words[i] = "abcdefghijklmnopqrstuvwxyz0123456789-./:{}\"\x0a\x12\x1a"[o.random.IntN(46)]
	}
	for o.bytes < size && err == nil {
		err = db.Update(func(tx *bolt.Tx) error { return o.put(tx.Bucket(schema.Key.Name()), 5000) })
	}
	return errors.Join(err, db.Sync(), db.Close())
}

// objects makes records like those of Kubernetes objects: of ten writes three
// update an older object, and few objects are deleted.
type objects struct {
	random *rand.Rand
	words  []byte
	next   int64 // the revision
	made   int64
	bytes  int64
}

var kinds = []string{"pods", "configmaps", "secrets", "leases", "events", "replicasets", "services/specs", "endpointslices"}

func (o *objects) put(bucket *bolt.Bucket, n int) error {
	bucket.FillPercent = 0.9 // as etcd sets it for this bucket
	for range n {
		rev := mvcc.RevToBytes(mvcc.Revision{Main: o.next}, mvcc.NewRevBytes())
		number, version := o.made, int64(1)
		switch o.random.IntN(10) {
		case 0, 1, 2:
			number, version = o.random.Int64N(o.made+1), 2
		default:
			o.made++
		}
		kv := &mvccpb.KeyValue{
			Key:            fmt.Appendf(nil, "/registry/%s/namespace-%d/object-%d", kinds[number%8], number%97, number),
			CreateRevision: o.next, ModRevision: o.next, Version: version, Value: o.value(),
		}
		if o.random.IntN(50) == 0 && version > 1 {
			rev = append(rev, 't')
			kv = &mvccpb.KeyValue{Key: kv.Key}
		}
		data, err := proto.Marshal(kv)
		if err != nil {
			return err
		}
		if err := bucket.Put(rev, data); err != nil {
			return err
		}
		o.next++
		// Leaves are filled to nine tenths, and large values waste some of theirs.
		o.bytes += int64(len(rev)+len(data)+16) * 5 / 4
	}
	return nil
}

// value is between half a kilobyte and eight, most near two.
func (o *objects) value() []byte {
	n := 500 + o.random.IntN(2500)
	if o.random.IntN(20) == 0 {
		n = 8000
	}
	at := o.random.IntN(len(o.words) - n)
	return append([]byte("k8s\x00\x0a"), o.words[at:at+n]...)
}

func appendHash(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err == nil {
		_, err = f.Write(h.Sum(nil))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
