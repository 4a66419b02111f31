package diagnose

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/boltfile"
	"runbook/actions/etcd/unseen"
)

// DB is what can be told of a database without its being opened.
type DB struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
	Size   int64  `json:"size"` // in bytes
	// MetaFault says what is wrong with one meta page, Fatal why nothing at
	// all can be read.
	MetaFault string `json:"meta_fault"`
	MetaAt    int64  `json:"meta_at"`
	Fatal     string `json:"fatal"`
	// Short is how many bytes the file lacks.
	Short    int64   `json:"short"`
	PageSize int64   `json:"page_size"`
	Pages    uint64  `json:"pages"`
	Damage   []Place `json:"damage"` // the first ones
	Damaged  int     `json:"damaged"`

	Revision        int64  `json:"revision"`
	CompactRevision int64  `json:"compact_revision"`
	ConsistentIndex uint64 `json:"consistent_index"`
	Term            uint64 `json:"term"`
	// StorageVersion is empty in files of etcd 3.5; ClusterVersion is what the
	// members had agreed on.
	StorageVersion string     `json:"storage_version"`
	ClusterVersion string     `json:"cluster_version"`
	Members        []Member   `json:"members"`
	Alarms         []Alarm    `json:"alarms"`
	Contents       Contents   `json:"contents"`
	Values         []BadValue `json:"values"` // the first ones
	BadValues      int        `json:"bad_values"`
	// Buckets says whether etcd's buckets are there.
	Buckets bool `json:"buckets"`
}

// Whole reports whether nothing is wrong with the database's structure, which
// is all that etcd needs to open it.
func (d DB) Whole() bool {
	return d.Exists && d.Size > 0 && d.Fatal == "" && d.Damaged == 0 && d.Short == 0 && d.Buckets
}

// Place is a place in a database that can't be read.
type Place struct {
	Bucket string `json:"bucket"`
	Page   uint64 `json:"page"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	// From and To bound what is behind it, To not included: revisions in the
	// bucket "key", keys elsewhere; empty for no bound.
	From string `json:"from"`
	To   string `json:"to"`
}

// Member is a member as the database knows it.
type Member struct {
	ID         string   `json:"id"` // in hexadecimal
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peer_urls"`
	ClientURLs []string `json:"client_urls"`
	Learner    bool     `json:"learner"`
}

// Alarm is an alarm that a member raised.
type Alarm struct {
	Member string `json:"member"` // in hexadecimal
	Alarm  string `json:"alarm"`
}

// readDB reads the database at path.
func readDB(path string) (DB, error) { return openDB(path, (*DB).read) }

// openDB opens the database at path and has read read what isn't empty.
func openDB(path string, read func(*DB, file)) (DB, error) {
	d := DB{Path: path, Damage: []Place{}, Members: []Member{}, Alarms: []Alarm{}, Values: []BadValue{}}
	f, err := unseen.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	d.Exists = true
	if err != nil {
		d.Fatal = "it can't be opened: " + errors.Unwrap(err).Error()
		return d, nil
	}
	defer f.Close() // only read from
	st, err := f.Stat()
	if err != nil {
		return d, err
	}
	d.Size = st.Size()
	switch {
	case !st.Mode().IsRegular():
		d.Fatal = "it is not a regular file"
	case d.Size > 0:
		read(&d, f)
	}
	return d, nil
}

// file is what a database is read from.
type file interface {
	ReadAt(p []byte, off int64) (int, error)
}

// tree is the tree by the meta page that etcd would take; nil without one.
func (d *DB) tree(f file) *boltfile.Tree {
	ms := boltfile.ReadMetas(f)
	m, ok := ms.Used()
	if !ok {
		d.Fatal = fmt.Sprintf("both meta pages are invalid: the first %v, the second %v", ms.FirstErr, ms.SecondErr)
		return nil
	}
	d.metaFault(ms)
	d.PageSize, d.Pages = m.PageSize, m.Pages
	d.Short = max(0, m.Bytes()-d.Size)
	return boltfile.NewTree(f, d.Size, m)
}

// read reads all of a file that isn't empty.
func (d *DB) read(f file) {
	t := d.tree(f)
	if t == nil {
		return
	}
	d.contents(t)
	t.Freelist()
	d.Damaged = t.Damaged
	for _, x := range t.Damage {
		d.Damage = append(d.Damage, Place{Bucket: x.Bucket, Page: x.Page, Offset: t.Offset(x.Page), Reason: x.Reason, From: bound(x.Bucket, x.From), To: bound(x.Bucket, x.To)})
	}
}

func (d *DB) metaFault(ms boltfile.Metas) {
	switch {
	case ms.FirstErr != nil:
		d.MetaFault = fmt.Sprintf("the first meta page %v", ms.FirstErr)
	case ms.SecondErr != nil:
		d.MetaFault, d.MetaAt = fmt.Sprintf("the second meta page %v", ms.SecondErr), ms.First.PageSize
	}
}

// bound is one end of a range in words.
func bound(bucket string, key []byte) string {
	if bucket == "key" {
		if rev, _, ok := revisionOf(key); ok {
			return fmt.Sprint(rev)
		}
	}
	return printable(key)
}

func printable(b []byte) string {
	s := strings.ToValidUTF8(string(b), "?")
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

// contents reads the buckets that etcd keeps.
func (d *DB) contents(t *boltfile.Tree) {
	buckets := t.Buckets()
	_, key := buckets["key"]
	_, metas := buckets["meta"]
	d.Buckets = key && metas
	keys := newKeys(d)
	readers := map[string]boltfile.Visit{
		"key": keys.visit, "meta": d.meta, "cluster": d.cluster,
		"members": d.member, "alarm": d.alarm,
	}
	for _, name := range sorted(buckets) {
		fn, ok := readers[name]
		if !ok {
			fn = func(boltfile.Element) error { return nil }
		}
		t.Bucket(name, buckets[name], fn)
	}
	keys.finish()
}

func sorted(m map[string]boltfile.Element) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (d *DB) meta(e boltfile.Element) error {
	number := func() uint64 {
		if len(e.Value) != 8 {
			return 0
		}
		return binary.BigEndian.Uint64(e.Value)
	}
	switch string(e.Key) {
	case "consistent_index":
		d.ConsistentIndex = number()
	case "term":
		d.Term = number()
	case "storageVersion":
		d.StorageVersion = printable(e.Value)
	case "scheduledCompactRev", "finishedCompactRev":
		if rev, _, ok := revisionOf(e.Value); ok {
			d.CompactRevision = max(d.CompactRevision, rev)
		}
	}
	return nil
}

func (d *DB) cluster(e boltfile.Element) error {
	if string(e.Key) == "clusterVersion" {
		d.ClusterVersion = printable(e.Value)
	}
	return nil
}

func (d *DB) member(e boltfile.Element) error {
	var m struct {
		Name       string   `json:"name"`
		PeerURLs   []string `json:"peerURLs"`
		ClientURLs []string `json:"clientURLs"`
		IsLearner  bool     `json:"isLearner"`
	}
	if err := json.Unmarshal(e.Value, &m); err != nil {
		return errors.New("the member can't be decoded")
	}
	d.Members = append(d.Members, Member{ID: strings.TrimSpace(printable(e.Key)), Name: m.Name,
		PeerURLs: append([]string{}, m.PeerURLs...), ClientURLs: append([]string{}, m.ClientURLs...), Learner: m.IsLearner})
	return nil
}

func (d *DB) alarm(e boltfile.Element) error {
	var a etcdserverpb.AlarmMember
	if err := proto.Unmarshal(e.Key, &a); err != nil {
		return errors.New("the alarm can't be decoded")
	}
	d.Alarms = append(d.Alarms, Alarm{Member: fmt.Sprintf("%x", a.GetMemberID()), Alarm: fmt.Sprint(a.GetAlarm())})
	return nil
}
