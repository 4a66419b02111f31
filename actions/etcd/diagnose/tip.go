package diagnose

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"runbook/actions/etcd/boltfile"
	"runbook/actions/etcd/unseen"
)

// taskTips reads how far databases and their logs got.
const taskTips = "tips"

// place is where a database and its log are; a snapshot has no log.
type place struct {
	DB     string `json:"db"`
	WAL    string `json:"wal"`
	Member string `json:"member"`
}

// Tip is how far a database and its log got. Only a few pages of the one and
// the newest files of the other were read: that nothing is wrong with them
// says little of the rest.
type Tip struct {
	DB     DB      `json:"db"`
	WAL    WAL     `json:"wal"`
	Marker *Marker `json:"marker"`
	// Modified is when either was last written.
	Modified time.Time `json:"modified"`
}

// Reach is the newest revision that the member can have served: its
// database's, and one more for each entry of its log behind that.
func (t Tip) Reach() int64 { return reach(t.DB, t.WAL) }

// WritesSince is how many writes there can have been since a revision, in words.
func (t Tip) WritesSince(revision int64) string {
	return CountWrites(writes(revision, t.Reach(), raises(t.DB, t.Marker)))
}

func reach(d DB, w WAL) int64 {
	if w.SeenIndex > d.ConsistentIndex && d.ConsistentIndex > 0 {
		return d.Revision + int64(w.SeenIndex-d.ConsistentIndex)
	}
	return d.Revision
}

// ReadTip reads how far a directory "member" and its log got.
func ReadTip(ctx context.Context, member, walDir string) (Tip, error) {
	found, err := tips(ctx, []place{{DB: filepath.Join(member, "snap", "db"), WAL: walDir, Member: member}})
	if err != nil {
		return Tip{}, err
	}
	return found[0], nil
}

// Readable reports whether it is known how far it got.
func (t Tip) Readable() bool {
	return t.DB.Exists && t.DB.Size > 0 && t.DB.Fatal == "" && t.DB.Buckets
}

// tips reads all places in one child. Where that ends, each is read by itself,
// so that one file can't hide the others.
func tips(ctx context.Context, places []place) ([]Tip, error) {
	found, err := tipsOf(ctx, places)
	var end *crashed
	if !errors.As(err, &end) {
		return found, err
	}
	found = nil
	for _, p := range places {
		one, err := tipsOf(ctx, []place{p})
		switch {
		case errors.As(err, &end):
			one = []Tip{{DB: DB{Path: p.DB, Exists: true, Fatal: "reading it ended the reader: " + end.reason}}}
		case err != nil:
			return nil, err
		}
		found = append(found, one...)
	}
	return found, nil
}

func tipsOf(ctx context.Context, places []place) ([]Tip, error) {
	if len(places) == 0 {
		return nil, nil
	}
	spec, err := json.Marshal(places)
	if err != nil {
		return nil, err
	}
	var found []Tip
	err = inChild(ctx, taskTips, string(spec), &found)
	if err == nil && len(found) != len(places) {
		err = &crashed{"its answer is incomplete"}
	}
	return found, err
}

// readTips is what the child does.
func readTips(spec string) ([]Tip, error) {
	var places []place
	if err := json.Unmarshal([]byte(spec), &places); err != nil {
		return nil, err
	}
	found := make([]Tip, len(places))
	for i, p := range places {
		t := &found[i]
		var err error
		if t.DB, err = openDB(p.DB, (*DB).readTip); err != nil {
			return nil, err
		}
		if p.WAL != "" {
			if t.WAL, err = scanNewest(p.WAL, tipFiles, func(*raftpb.Entry) {}); err != nil {
				return nil, err
			}
		}
		if p.Member != "" {
			t.Marker = readMarker(p.Member)
		}
		t.Modified = lastWritten(p)
	}
	return found, nil
}

// tipFiles are the files in which a log's last entry is: the newest may have
// been begun a moment ago.
const tipFiles = 2

// readTip reads how far a database got.
func (d *DB) readTip(f file) {
	t := d.tree(f)
	if t == nil {
		return
	}
	buckets := t.Buckets()
	head, ok := buckets["key"]
	_, metas := buckets["meta"]
	d.Buckets = ok && metas
	for name, fn := range map[string]boltfile.Visit{"meta": d.meta, "cluster": d.cluster, "members": d.member} {
		if head, ok := buckets[name]; ok {
			t.Bucket(name, head, fn)
		}
	}
	d.Damaged = t.Damaged
	if !ok {
		return
	}
	for _, e := range t.Ends(head, 1, 1) {
		if rev, _, ok := revisionOf(e.Key); ok {
			d.Revision = rev
		}
	}
	d.Revision = max(d.Revision, d.CompactRevision)
}

// lastWritten is when the newest of a place's files was written.
func lastWritten(p place) time.Time {
	paths := []string{p.DB}
	if p.WAL != "" {
		paths = append(paths, unseen.Glob(filepath.Join(p.WAL, "*.wal"))...)
	}
	var last time.Time
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last.UTC().Truncate(time.Second)
}
