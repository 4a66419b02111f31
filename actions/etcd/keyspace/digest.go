package keyspace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// Digest is the digest of a set of records, whatever their order: the sum of
// their SHA-256 as numbers of 256 bits, and how many there are. So a database
// is read in the order in which it lies on disk, by as many threads as there
// are, and nothing has to be sorted in memory. Like the SHA-256 that etcd
// appends to a snapshot it tells of damage and mistakes, not of forgery.
//
// The zero value is the digest of no records.
type Digest struct {
	sum  [4]uint64 // the lowest first
	keys int64
}

// Add adds a record.
func (d *Digest) Add(r Record) {
	var n [4]uint64
	for i := range n {
		n[i] = binary.LittleEndian.Uint64(r.Sum[8*i:])
	}
	d.add(n, 1)
}

// Merge adds the records of o.
func (d *Digest) Merge(o Digest) { d.add(o.sum, o.keys) }

func (d *Digest) add(n [4]uint64, keys int64) {
	carry := uint64(0)
	for i := range d.sum {
		d.sum[i], carry = bits.Add64(d.sum[i], n[i], carry)
	}
	d.keys += keys
}

// Keys is how many records were added.
func (d *Digest) Keys() int64 { return d.keys }

// String is the digest so far, in hexadecimal.
func (d *Digest) String() string {
	b := binary.LittleEndian.AppendUint64(nil, uint64(d.keys))
	for _, n := range d.sum {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
