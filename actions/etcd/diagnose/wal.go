package diagnose

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"strconv"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/unseen"
)

// WAL is what can be told of a write-ahead log.
type WAL struct {
	Dir    string    `json:"dir"`
	Exists bool      `json:"exists"`
	Files  []WALFile `json:"files"`
	// Broken are the copies that etcd made when it repaired the log.
	Broken    []string `json:"broken"`
	ClusterID string   `json:"cluster_id"` // in hexadecimal; empty if unknown
	MemberID  string   `json:"member_id"`
	Entries   int64    `json:"entries"`
	// FirstIndex and LastIndex are those of the entries up to the first
	// damage; LastIndex counts what a snapshot stands for. Where a leader's
	// snapshot stands for entries that the log never had, FirstIndex is that of
	// the first one behind it, if only of one to come.
	FirstIndex uint64 `json:"first_index"`
	LastIndex  uint64 `json:"last_index"`
	Commit     uint64 `json:"commit"`
	Term       uint64 `json:"term"`
	// Snapshots are the indexes of the snapshots that the log tells of.
	Snapshots []uint64 `json:"snapshots"`
	// Fault is the first damage; nil if there is none.
	Fault *WALFault `json:"fault"`
	// SeenIndex is the last index of any entry, those behind the damage
	// included, and Behind is how many of those there are.
	SeenIndex uint64 `json:"seen_index"`
	Behind    int64  `json:"behind"`
}

// Snapshot is the newest committed snapshot that the log tells of: where
// etcd begins.
func (w WAL) Snapshot() uint64 {
	newest := uint64(0)
	for _, i := range w.Snapshots {
		if i <= w.Commit || w.Commit == 0 {
			newest = max(newest, i)
		}
	}
	return newest
}

// WALFile is one file of a log.
type WALFile struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	Records int    `json:"records"` // whole ones
}

// The kinds of WALFault.
const (
	faultShort   = "short"    // the file ends within a record
	faultTorn    = "torn"     // a sector of the last record was never written
	faultZeroed  = "zeroed"   // likewise, but etcd doesn't see it
	faultSum     = "checksum" // a record doesn't match its checksum
	faultDecode  = "decode"   // a record is none
	faultLarge   = "large"    // a record says that it is larger than the file
	faultGap     = "gap"      // a file is missing between two
	faultHole    = "hole"     // there is data behind the end
	faultOrder   = "order"    // the entries aren't in sequence
	faultUnread  = "unread"   // a file can't be read
	faultForeign = "foreign"  // files of two members
)

// WALFault is a damage in a log.
type WALFault struct {
	Kind   string `json:"kind"`
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Record int    `json:"record"` // in its file, from 1 on
	Reason string `json:"reason"`
	Last   bool   `json:"last"` // it is in the newest file
}

var walName = regexp.MustCompile(`^([0-9a-f]{16})-([0-9a-f]{16})\.wal$`)

// readWAL reads the log in a directory, in the order in which etcd does.
func readWAL(dir string) (WAL, error) { return scanWAL(dir, func(*raftpb.Entry) {}) }

// scanWAL is readWAL, and calls keep for each entry before the first damage.
// One with an index that was there before replaces that and all behind it.
func scanWAL(dir string, keep func(*raftpb.Entry)) (WAL, error) {
	return scanNewest(dir, math.MaxInt, keep)
}

// scanNewest is scanWAL for the newest files alone.
func scanNewest(dir string, files int, keep func(*raftpb.Entry)) (WAL, error) {
	w := WAL{Dir: dir, Files: []WALFile{}, Broken: []string{}, Snapshots: []uint64{}}
	entries, err := unseen.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	w.Exists = true
	if err != nil {
		w.Fault = &WALFault{Kind: faultUnread, File: dir, Reason: "it can't be listed: " + err.Error()}
		return w, nil
	}
	var names []string
	for _, e := range entries {
		switch {
		case walName.MatchString(e.Name()):
			names = append(names, e.Name())
		case filepath.Ext(e.Name()) == ".broken":
			w.Broken = append(w.Broken, e.Name())
		}
	}
	s := &walScan{wal: &w, keep: keep}
	names = names[max(len(names)-files, 0):]
	for i, name := range names {
		s.file(filepath.Join(dir, name), i == len(names)-1)
	}
	w.endInSnapshot()
	w.SeenIndex = max(w.SeenIndex, w.LastIndex)
	return w, nil
}

// endInSnapshot takes into account that the last entry may be in a snapshot
// alone: one that etcd makes itself comes behind its entries in the log, and
// one that it gets from its leader needn't.
func (w *WAL) endInSnapshot() {
	if w.Snapshot() <= w.LastIndex {
		return
	}
	w.LastIndex = w.Snapshot()
	if w.Entries > 0 {
		w.FirstIndex = w.LastIndex + 1
	}
}

// walScan is a reading of a log.
type walScan struct {
	wal  *WAL
	keep func(*raftpb.Entry)
	snap uint64 // the newest snapshot's index so far
	crc  uint32
	next uint64 // the number of the next file; 0 before the first
}

// fault notes the first damage.
func (s *walScan) fault(f WALFault) {
	if s.wal.Fault == nil {
		s.wal.Fault = &f
	}
}

func (s *walScan) file(path string, last bool) {
	name := filepath.Base(path)
	seq, _ := strconv.ParseUint(walName.FindStringSubmatch(name)[1], 16, 64) // the name matches
	if s.next != 0 && seq != s.next {
		s.fault(WALFault{Kind: faultGap, File: path, Last: last, Reason: fmt.Sprintf("the file before it, number %d, is missing", seq-1)})
	}
	s.next = seq + 1
	f, err := unseen.Open(path)
	if err != nil {
		s.wal.Files = append(s.wal.Files, WALFile{Name: name})
		s.fault(WALFault{Kind: faultUnread, File: path, Last: last, Reason: "it can't be opened: " + errors.Unwrap(err).Error()})
		return
	}
	defer f.Close() // only read from
	size := int64(0)
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		size = st.Size()
	}
	s.contents(path, &records{r: f, size: size, last: last, crc: s.crc})
}

// contents reads what is in a file.
func (s *walScan) contents(path string, r *records) {
	s.records(path, r)
	s.crc = r.crc
	s.wal.Files = append(s.wal.Files, WALFile{Name: filepath.Base(path), Size: r.size, Records: r.number})
}

// records goes through a file's records, and on behind a damaged one where
// the next can be found.
func (s *walScan) records(path string, r *records) {
	for {
		rec, ok, fault := r.read()
		if fault != nil {
			fault.File, fault.Last = path, r.last
			s.fault(*fault)
			if !r.resume() {
				return
			}
			continue
		}
		if !ok {
			return
		}
		if reason := s.record(rec); reason != "" {
			s.fault(WALFault{Kind: faultOrder, File: path, Last: r.last, Offset: r.before, Record: r.number, Reason: reason})
		}
	}
}

// The types of a log's records.
const (
	recordMetadata = 1
	recordEntry    = 2
	recordState    = 3
	recordCRC      = 4
	recordSnapshot = 5
)

// record takes a record into account. It returns why it can't be right.
func (s *walScan) record(rec *walpb.Record) string {
	switch rec.GetType() {
	case recordMetadata:
		return s.metadata(rec.GetData())
	case recordEntry:
		return s.entry(rec.GetData())
	case recordState:
		var st raftpb.HardState
		if proto.Unmarshal(rec.GetData(), &st) != nil {
			return "its state can't be decoded"
		}
		if s.wal.Fault == nil {
			s.wal.Commit, s.wal.Term = st.GetCommit(), st.GetTerm()
		}
	case recordSnapshot:
		var snap walpb.Snapshot
		if proto.Unmarshal(rec.GetData(), &snap) != nil {
			return "its snapshot can't be decoded"
		}
		if s.wal.Fault == nil {
			s.wal.Snapshots = append(s.wal.Snapshots, snap.GetIndex())
			s.snap = max(s.snap, snap.GetIndex())
		}
	case recordCRC:
	default:
		return fmt.Sprintf("it is of type %d, which there isn't", rec.GetType())
	}
	return ""
}

func (s *walScan) metadata(data []byte) string {
	var m etcdserverpb.Metadata
	if proto.Unmarshal(data, &m) != nil {
		return "its metadata can't be decoded"
	}
	cluster, member := fmt.Sprintf("%x", m.GetClusterID()), fmt.Sprintf("%x", m.GetNodeID())
	if s.wal.MemberID != "" && (s.wal.MemberID != member || s.wal.ClusterID != cluster) {
		return fmt.Sprintf("it is of member %s of cluster %s, and those before are of %s of %s", member, cluster, s.wal.MemberID, s.wal.ClusterID)
	}
	s.wal.MemberID, s.wal.ClusterID = member, cluster
	return ""
}

func (s *walScan) entry(data []byte) string {
	var e raftpb.Entry
	if proto.Unmarshal(data, &e) != nil {
		return "its entry can't be decoded"
	}
	w := s.wal
	w.SeenIndex = max(w.SeenIndex, e.GetIndex())
	if w.Fault != nil {
		w.Behind++
		return ""
	}
	gap := w.Entries > 0 && e.GetIndex() > w.LastIndex+1
	// A member that was far behind got a snapshot from its leader, which stands
	// for the entries that it lacked: etcd notes it before it goes on.
	if gap && e.GetIndex() > s.snap+1 {
		w.Behind++
		return fmt.Sprintf("entry %d follows on entry %d", e.GetIndex(), w.LastIndex)
	}
	if w.Entries == 0 || gap {
		w.FirstIndex = e.GetIndex()
	}
	w.Entries++
	w.LastIndex = e.GetIndex() // an entry replaces those behind it
	s.keep(&e)
	return ""
}
