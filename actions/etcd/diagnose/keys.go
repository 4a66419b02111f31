package diagnose

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"runbook/actions/etcd/boltfile"
)

// Contents is what of the keys can be read.
type Contents struct {
	Keys      int64 `json:"keys"`      // live ones
	Revisions int64 `json:"revisions"` // of keys, deletions included
	// Bump is the revision that a restore left behind when it raised the
	// revision, and BumpFrom the one from which; 0 where none is seen.
	Bump     int64 `json:"bump"`
	BumpFrom int64 `json:"bump_from"`
	// Objects are the Kubernetes objects among the live keys.
	Objects []Kind `json:"objects"`
	// Encrypted counts the objects that are encrypted, Providers by what.
	Encrypted int64    `json:"encrypted"`
	Providers []string `json:"providers"`
}

// Kind is a kind of Kubernetes objects, and how many of it can be read.
type Kind struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
}

// BadValue is a value that can't be what was written.
type BadValue struct {
	Revision int64  `json:"revision"`
	Key      string `json:"key"`
	Reason   string `json:"reason"`
	// Live says that it is its key's newest value.
	Live bool `json:"live"`
}

// maxValues bounds how many bad values are told one by one.
const maxValues = 100

// revisionOf decodes a key of the bucket "key": the revision, and whether it
// is a deletion's.
func revisionOf(key []byte) (rev int64, deletion, ok bool) {
	switch {
	case len(key) == 17:
	case len(key) == 18 && key[17] == 't':
		deletion = true
	default:
		return 0, false, false
	}
	if key[8] != '_' {
		return 0, false, false
	}
	rev = int64(binary.BigEndian.Uint64(key))
	return rev, deletion, rev >= 0
}

// live is a key's newest value.
type live struct {
	object object
	bad    bool
}

// keys takes stock of the bucket "key", record by record.
type keys struct {
	db    *DB
	live  map[string]live
	words map[string]string // each kind and provider once, however many objects
}

func newKeys(d *DB) *keys { return &keys{db: d, live: map[string]live{}, words: map[string]string{}} }

// once is a word as it was seen first, so that memory grows with the keys
// alone.
func (k *keys) once(word string) string {
	if first, ok := k.words[word]; ok {
		return first
	}
	k.words[word] = word
	return word
}

func (k *keys) visit(e boltfile.Element) error {
	rev, deletion, ok := revisionOf(e.Key)
	if !ok {
		return fmt.Errorf("%q is no revision", printable(e.Key))
	}
	k.db.Contents.Revisions++
	var kv mvccpb.KeyValue
	if err := proto.Unmarshal(e.Value, &kv); err != nil {
		k.bad(rev, "", "it can't be decoded")
		return nil
	}
	key := string(kv.GetKey())
	switch {
	case key == "" && kv.GetModRevision() == 0 && len(kv.GetValue()) == 0:
		k.db.Contents.Bump, k.db.Contents.BumpFrom = rev, k.db.Revision
	case deletion:
		delete(k.live, key)
	default:
		k.put(rev, key, &kv)
	}
	k.db.Revision = max(k.db.Revision, rev)
	return nil
}

func (k *keys) put(rev int64, key string, kv *mvccpb.KeyValue) {
	o, err := decodeObject(kv.GetKey(), kv.GetValue())
	if err == nil {
		err = plausible(rev, kv)
	}
	if err != nil {
		k.bad(rev, key, err.Error())
	}
	o.kind, o.provider = k.once(o.kind), k.once(o.provider)
	k.live[key] = live{object: o, bad: err != nil}
}

// plausible compares a value with the revision at which it is kept.
func plausible(rev int64, kv *mvccpb.KeyValue) error {
	switch {
	case len(kv.GetKey()) == 0:
		return errors.New("it has no key")
	case kv.GetModRevision() != rev:
		return fmt.Errorf("it says that it was written at revision %d", kv.GetModRevision())
	case kv.GetCreateRevision() < 1 || kv.GetCreateRevision() > rev || kv.GetVersion() < 1:
		return errors.New("it contradicts its own history")
	}
	return nil
}

func (k *keys) bad(rev int64, key, reason string) {
	if k.db.BadValues++; len(k.db.Values) < maxValues {
		k.db.Values = append(k.db.Values, BadValue{Revision: rev, Key: printable([]byte(key)), Reason: reason})
	}
}

// finish counts what is live.
func (k *keys) finish() {
	d := k.db
	kinds, providers := map[string]int64{}, map[string]bool{}
	for _, l := range k.live {
		if d.Contents.Keys++; l.bad {
			continue
		}
		if l.object.kind != "" {
			kinds[l.object.kind]++
		}
		if l.object.provider != "" {
			d.Contents.Encrypted++
			providers[l.object.provider] = true
		}
	}
	d.Contents.Objects, d.Contents.Providers = []Kind{}, []string{}
	for kind, n := range kinds {
		d.Contents.Objects = append(d.Contents.Objects, Kind{kind, n})
	}
	slices.SortFunc(d.Contents.Objects, func(a, b Kind) int { return cmp.Compare(a.Kind, b.Kind) })
	for p := range providers {
		d.Contents.Providers = append(d.Contents.Providers, p)
	}
	slices.Sort(d.Contents.Providers)
	for i, v := range d.Values {
		d.Values[i].Live = k.live[v.Key].bad
	}
	d.Revision = max(d.Revision, d.CompactRevision)
}
