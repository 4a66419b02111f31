// Package keyspace gives etcd's live keys a form in which two sets of them
// can be compared without holding either in memory: a record a key, in the
// order of the keys, and one digest of them all.
package keyspace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Record stands for one live key.
type Record struct {
	Key         []byte `json:"k"`
	ModRevision int64  `json:"m"`
	Lease       int64  `json:"l,omitempty"`
	// Sum is the SHA-256 of the key, its value, its revisions, its version
	// and its lease.
	Sum [sha256.Size]byte `json:"s"`
}

// RecordOf returns the record of kv.
func RecordOf(kv *mvccpb.KeyValue) Record {
	h := sha256.New()
	writeBytes(h, kv.GetKey())
	writeBytes(h, kv.GetValue())
	for _, n := range []int64{kv.GetCreateRevision(), kv.GetModRevision(), kv.GetVersion(), kv.GetLease()} {
		writeNumber(h, n)
	}
	r := Record{Key: kv.GetKey(), ModRevision: kv.GetModRevision(), Lease: kv.GetLease()}
	h.Sum(r.Sum[:0])
	return r
}

// writeBytes writes b with its length before it, so that no two sequences of
// fields make the same bytes. Writing to a hash never fails.
func writeBytes(h hash.Hash, b []byte) {
	writeNumber(h, int64(len(b)))
	h.Write(b)
}

func writeNumber(h hash.Hash, n int64) {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(n))
	h.Write(buf[:])
}

// Digest is the digest of a set of records that are added in key order. Its
// zero value isn't ready: use NewDigest.
type Digest struct {
	h    hash.Hash
	keys int64
}

// NewDigest returns the digest of no records.
func NewDigest() *Digest { return &Digest{h: sha256.New()} }

// Add adds the next record.
func (d *Digest) Add(r Record) {
	d.h.Write(r.Sum[:])
	d.keys++
}

// Keys is how many records were added.
func (d *Digest) Keys() int64 { return d.keys }

// String is the digest so far, in hexadecimal.
func (d *Digest) String() string { return hex.EncodeToString(d.h.Sum(nil)) }
