package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// Entries reads the log in a directory and returns its entries behind after,
// up to the first damage; of those on both sides of a gap that a snapshot
// stands for, only those behind it. It reads in this process: only a child may
// call it.
func Entries(dir string, after uint64) (WAL, []*raftpb.Entry, error) {
	var entries []*raftpb.Entry
	w, err := scanWAL(dir, func(e *raftpb.Entry) {
		for len(entries) > 0 && entries[len(entries)-1].GetIndex() >= e.GetIndex() {
			entries = entries[:len(entries)-1]
		}
		if e.GetIndex() > after {
			entries = append(entries, e)
		}
	})
	before := func(e *raftpb.Entry) bool { return e.GetIndex() < w.FirstIndex }
	return w, slices.DeleteFunc(entries, before), err
}

// ReadDB reads the database at path in a child process. One that brings its
// reader down has a Fatal.
func ReadDB(ctx context.Context, path string) (DB, error) {
	var d DB
	err := inChild(ctx, taskDB, path, &d)
	var end *crashed
	if errors.As(err, &end) {
		return DB{Path: path, Exists: true, Fatal: "reading it ended the reader: " + end.reason}, nil
	}
	return d, err
}

// Follows says why the entries of the log can't be applied to the database;
// empty if they can. There needn't be any.
func (w WAL) Follows(d DB) string {
	own := slices.ContainsFunc(d.Members, func(m Member) bool { return m.ID == w.MemberID })
	switch {
	case w.MemberID == "":
		return "there is no log that can be read"
	case !own:
		return "the log isn't that of the database"
	case w.LastIndex < d.ConsistentIndex:
		return "the log ends before the entry that the database has"
	case w.Entries > 0 && w.FirstIndex > d.ConsistentIndex+1:
		return "what is between the database and the log's beginning is in neither"
	}
	return ""
}

// WholeBehind says how many whole entries there are behind the damage. With
// any, the damaged record isn't the last one that was written.
func (w WAL) WholeBehind() string {
	if w.Behind == 1 {
		return "1 whole entry is behind it"
	}
	return fmt.Sprintf("%d whole entries are behind it", w.Behind)
}

// Tail reports whether the damage is a last record that was never written as
// a whole.
func (f WALFault) Tail() bool {
	return f.Last && slices.Contains([]string{faultTorn, faultZeroed, faultShort}, f.Kind)
}
