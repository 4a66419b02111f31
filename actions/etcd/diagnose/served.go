package diagnose

import (
	"context"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// ReadLog reads the write-ahead log in a directory, in a child process.
func ReadLog(ctx context.Context, dir string) (WAL, error) {
	var w WAL
	return w, inChild(ctx, taskWAL, dir, &w)
}

// Lacks says why the log may not tell of everything that its member has
// acknowledged; empty if it does. A last record that was torn was never
// acknowledged. A newest file without the room that etcd allocates for it
// beforehand was cut, if only behind a whole record.
func (w WAL) Lacks() string {
	switch {
	case len(w.Files) == 0:
		return "there is no log"
	case w.Fault != nil && !(w.Fault.Last && w.Fault.Kind == faultTorn):
		return "the log is damaged: " + w.Fault.Reason
	case w.Files[len(w.Files)-1].Size < wal.SegmentSizeBytes:
		return "the log's newest file is cut short"
	case w.SeenIndex < w.Commit:
		return "entries are missing from the log"
	}
	return ""
}
