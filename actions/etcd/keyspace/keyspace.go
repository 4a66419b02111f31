// Package keyspace gives etcd's live keys a form in which two sets of them
// can be compared without holding either in memory: a record a key, and one
// digest of them all.
package keyspace

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Record stands for one live key.
type Record struct {
	Key         []byte `json:"k"`
	ModRevision int64  `json:"m"`
	Lease       int64  `json:"l,omitempty"`
	// Sum is the SHA-256 of the key, its value, its revisions, its version
	// and its lease.
	Sum Sum `json:"s"`
}

// Sum is a SHA-256. It is hexadecimal in text.
type Sum [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("a SHA-256 has %d digits, not %d", hex.EncodedLen(len(s)), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// RecordOf returns the record of kv.
func RecordOf(kv *mvccpb.KeyValue) Record {
	return Fields{
		Key: kv.GetKey(), Value: kv.GetValue(), CreateRevision: kv.GetCreateRevision(),
		ModRevision: kv.GetModRevision(), Version: kv.GetVersion(), Lease: kv.GetLease(),
	}.Record()
}
