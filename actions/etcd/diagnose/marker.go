package diagnose

import (
	"encoding/json"
	"path/filepath"

	"runbook/actions/etcd/unseen"
)

// MarkerName is the record that a restore leaves in the directory "member".
// etcd looks only at the names that it knows there.
const MarkerName = "runbook-restore.json"

// Marker is what is read of that record.
type Marker struct {
	Revision int64 `json:"revision"`
	Bump     int64 `json:"bump"`
	Salvage  *struct {
		Revision int64 `json:"revision"`
	} `json:"salvage"`
}

// From is the revision from which the restore raised.
func (m *Marker) From() int64 {
	if m.Salvage != nil {
		return max(m.Revision, m.Salvage.Revision)
	}
	return m.Revision
}

// To is the revision to which it raised.
func (m *Marker) To() int64 { return m.Revision + m.Bump }

// readMarker reads the record in a directory "member"; nil where there is none
// that can be understood.
func readMarker(member string) *Marker {
	data, err := unseen.ReadFile(filepath.Join(member, MarkerName), 1<<20)
	m := &Marker{}
	if err != nil || json.Unmarshal(data, m) != nil {
		return nil
	}
	return m
}

// raise is a stretch of revisions that a restore left out.
type raise struct{ from, to int64 }

// manyRevisions are more than any cluster has that was never raised: restores
// raise by twice as many.
const manyRevisions = 500_000_000

// raises are those that are known of a database: of its restore's record, of
// the record that stands in it until it is compacted, and else by its log, which
// a restore begins anew and which has an entry for each revision since.
func raises(d DB, m *Marker) []raise {
	var all []raise
	if m != nil && m.Bump > 0 {
		all = append(all, raise{m.From(), m.To()})
	}
	if c := d.Contents; c.Bump > 0 && (m == nil || m.To() != c.Bump) {
		all = append(all, raise{c.BumpFrom, c.Bump})
	}
	if began := d.Revision - int64(d.ConsistentIndex); len(all) == 0 && d.ConsistentIndex > 0 && began > manyRevisions {
		all = append(all, raise{0, began})
	}
	return all
}

// writes is how many revisions there are between two that somebody wrote.
func writes(from, to int64, left []raise) int64 {
	n := to - from
	for _, r := range left {
		n -= max(min(to, r.to)-max(from, r.from), 0)
	}
	return max(n, 0)
}
