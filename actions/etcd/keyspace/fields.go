package keyspace

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields is what etcd stores of one revision of a key.
type Fields struct {
	Key, Value                                  []byte
	CreateRevision, ModRevision, Version, Lease int64
}

// errNotKeyValue says that something isn't a mvccpb.KeyValue.
var errNotKeyValue = errors.New("it isn't the protocol buffer of a key and its value")

// Parse decodes a mvccpb.KeyValue as proto.Unmarshal does, but without
// allocating: key and value stay where they are. A database holds millions.
func Parse(b []byte) (f Fields, err error) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number > protowire.MaxValidNumber {
			return f, errNotKeyValue
		}
		b = b[n:]
		if n = f.take(number, kind, b); n < 0 {
			return f, errNotKeyValue
		}
		b = b[n:]
	}
	return f, nil
}

// take decodes one field at the beginning of b and returns its length, or a
// negative number where it can't be decoded. Like any decoder it passes over
// fields that it doesn't know.
func (f *Fields) take(number protowire.Number, kind protowire.Type, b []byte) int {
	switch {
	case kind == protowire.BytesType && (number == 1 || number == 5):
		v, n := protowire.ConsumeBytes(b)
		if number == 1 {
			f.Key = v
		} else {
			f.Value = v
		}
		return n
	case kind == protowire.VarintType && (number >= 2 && number <= 4 || number == 6):
		v, n := protowire.ConsumeVarint(b)
		switch number {
		case 2:
			f.CreateRevision = int64(v)
		case 3:
			f.ModRevision = int64(v)
		case 4:
			f.Version = int64(v)
		case 6:
			f.Lease = int64(v)
		}
		return n
	}
	return protowire.ConsumeFieldValue(number, kind, b)
}

// hashers are used again and again: a database holds millions of records.
var hashers = sync.Pool{New: func() any { return &hasher{h: sha256.New()} }}

type hasher struct {
	h   hash.Hash
	buf [8]byte
	sum Sum
}

// Record returns the record of f.
func (f Fields) Record() Record {
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	h.h.Reset()
	h.bytes(f.Key)
	h.bytes(f.Value)
	for _, n := range [...]int64{f.CreateRevision, f.ModRevision, f.Version, f.Lease} {
		h.number(n)
	}
	h.h.Sum(h.sum[:0])
	return Record{Key: f.Key, ModRevision: f.ModRevision, Lease: f.Lease, Sum: h.sum}
}

// bytes writes b with its length before it, so that no two sequences of
// fields make the same bytes. Writing to a hash never fails.
func (h *hasher) bytes(b []byte) {
	h.number(int64(len(b)))
	h.h.Write(b)
}

func (h *hasher) number(n int64) {
	binary.BigEndian.PutUint64(h.buf[:], uint64(n))
	h.h.Write(h.buf[:])
}
