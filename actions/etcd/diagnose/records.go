package diagnose

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

var le = binary.LittleEndian

// The layout of a log's file: frames of a length, a record and a padding. The
// length's upper byte holds the padding. etcd's own reader says where it
// stopped, but not what there is behind; and it opens the files in its own
// way.
const (
	frameHeader = 8
	sectorSize  = 512
	// maxRecord bounds what is read at once. etcd refuses requests far below.
	maxRecord = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// records reads the records of one file.
type records struct {
	r      io.ReaderAt
	size   int64
	last   bool // the file is the newest
	crc    uint32
	at     int64 // of the next frame
	before int64 // of the record that was read last
	number int   // of records that were read
	resync func() bool
}

// resume moves behind a damaged record, if its end is known.
func (r *records) resume() bool { return r.resync != nil && r.resync() }

// read reads the next record. ok is false at the file's end.
func (r *records) read() (rec *walpb.Record, ok bool, fault *WALFault) {
	r.resync = nil
	if r.size-r.at < frameHeader {
		// etcd takes a piece of a length for a damage, and nothing for the end.
		if r.size > r.at {
			return nil, false, r.fault(faultShort, "the file ends within a record's length")
		}
		return nil, false, nil
	}
	head := make([]byte, frameHeader)
	if _, err := r.r.ReadAt(head, r.at); err != nil {
		return nil, false, r.fault(faultUnread, fmt.Sprintf("it can't be read: %v", err))
	}
	if le.Uint64(head) == 0 {
		return nil, false, r.rest()
	}
	length, padding := frame(int64(le.Uint64(head)))
	if left := r.size - r.at - frameHeader; length < 0 || length+padding > left {
		return nil, false, r.outside(length, left)
	}
	if length > maxRecord {
		return nil, false, r.fault(faultLarge, fmt.Sprintf("the record is said to have %d bytes", length))
	}
	data := make([]byte, length+padding)
	if _, err := r.r.ReadAt(data, r.at+frameHeader); err != nil {
		return nil, false, r.fault(faultUnread, fmt.Sprintf("it can't be read: %v", err))
	}
	return r.decode(data, length)
}

// frame takes a frame's length apart.
func frame(n int64) (length, padding int64) {
	length = int64(uint64(n) & ^(uint64(0xff) << 56))
	if n < 0 {
		padding = int64((uint64(n) >> 56) & 0x7)
	}
	return length, padding
}

func (r *records) fault(kind, reason string) *WALFault {
	return &WALFault{Kind: kind, Offset: r.at, Record: r.number + 1, Reason: reason}
}

// outside tells a record that was cut off from a length that was never true.
func (r *records) outside(length, left int64) *WALFault {
	const plausible = 64 << 20 // a whole file's size
	if length > plausible {
		return r.fault(faultLarge, fmt.Sprintf("max entry size limit exceeded: the record is said to have %d bytes, and %d are left", length, left))
	}
	return r.fault(faultShort, fmt.Sprintf("the record is cut off: it has %d bytes, and %d are left", length, left))
}

// decode takes a frame apart, checks its sum, and moves behind it.
func (r *records) decode(data []byte, length int64) (*walpb.Record, bool, *WALFault) {
	var rec walpb.Record
	behind := r.at + frameHeader + int64(len(data))
	if err := proto.Unmarshal(data[:length], &rec); err != nil {
		fault := r.fault(faultDecode, "the record can't be decoded")
		r.tear(fault, data, length)
		return nil, false, fault
	}
	crc := crc32.Update(r.crc, castagnoli, rec.GetData())
	if rec.GetType() == recordCRC {
		crc = rec.GetCrc()
		if old := r.crc; old != 0 && old != crc {
			r.crc = crc
			return nil, false, r.skip(behind, r.fault(faultSum, fmt.Sprintf("crc mismatch: it says that it follows on a sum of %x, and what is before it ends with %x", crc, old)))
		}
	} else if crc != rec.GetCrc() {
		fault := r.fault(faultSum, fmt.Sprintf("crc mismatch: the record says %x, its contents make %x", rec.GetCrc(), crc))
		r.tear(fault, data, length)
		r.crc = rec.GetCrc()
		return nil, false, r.skip(behind, fault)
	}
	r.before, r.at, r.crc = r.at, behind, crc
	r.number++
	return &rec, true, nil
}

// skip makes it possible to go on behind a damaged record. Only if the next
// one's sum follows on the damaged one's was it that record alone.
func (r *records) skip(behind int64, fault *WALFault) *WALFault {
	r.resync = func() bool {
		r.at = behind
		r.number++
		return true
	}
	return fault
}

// tear marks a fault as a torn write, by etcd's rule: in the newest file, with
// a sector that is all zeros.
func (r *records) tear(fault *WALFault, data []byte, length int64) {
	if !r.last {
		return
	}
	whole, at := data, r.at+frameHeader
	for len(data) > 0 {
		n := min(sectorSize-at%sectorSize, int64(len(data)))
		if zeros(data[:n]) {
			fault.Kind = faultTorn
			fault.Reason = "the record is torn: a sector of it is all zeros (" + fault.Reason + ")"
			return
		}
		data, at = data[n:], at+n
	}
	// A tear that spares the last bytes of a sector's part: etcd refuses it.
	const few = 4
	end := whole[:max(length, 0)]
	if length >= few && zeros(end[length-few:]) && r.zerosFrom(r.at+frameHeader+int64(len(whole))) == r.size {
		fault.Kind = faultZeroed
		fault.Reason = "the record's end is zeros, and so is all behind it (" + fault.Reason + ")"
	}
}

// zerosFrom is where the zeros that begin at a place end.
func (r *records) zerosFrom(at int64) int64 {
	buf := make([]byte, 1<<16)
	for at < r.size {
		n, err := r.r.ReadAt(buf[:min(int64(len(buf)), r.size-at)], at)
		for i := range n {
			if buf[i] != 0 {
				return at + int64(i)
			}
		}
		if at += int64(n); n == 0 && err != nil {
			return at
		}
	}
	return r.size
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// rest looks at what is behind the last record: zeros, unless records were
// overwritten. etcd would take no notice.
func (r *records) rest() *WALFault {
	at := r.zerosFrom(r.at)
	if at >= r.size {
		return nil
	}
	return r.fault(faultHole, fmt.Sprintf("the log ends here, but there is more behind it, at byte %d: etcd would drop that in silence", at))
}
