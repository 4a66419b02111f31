package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"runbook/actions/etcd/boltfile"
	"runbook/actions/etcd/unseen"
)

// taskKin compares the histories of databases.
const taskKin = "kin"

// Kinship is how the histories of two databases are related.
type Kinship string

// The kinships. Two databases are kin where what they hold of the same
// revisions is the same, to the byte: they have a common past, though each may
// have gone on by itself. Members' and clusters' IDs don't tell: an etcd that
// begins anew with the same settings chooses the same.
const (
	Kin      Kinship = "kin"
	Stranger Kinship = "stranger"
	Unknown  Kinship = "" // they have no revision in common
)

// Kinships compares each of the databases at paths with each.
func Kinships(ctx context.Context, paths []string) ([][]Kinship, error) {
	spec, err := json.Marshal(paths)
	if err != nil {
		return nil, err
	}
	var found [][]Kinship
	err = inChild(ctx, taskKin, string(spec), &found)
	var end *crashed
	if errors.As(err, &end) || err == nil && len(found) != len(paths) {
		return unrelated(len(paths)), nil
	}
	return found, err
}

func unrelated(n int) [][]Kinship {
	all := make([][]Kinship, n)
	for i := range all {
		all[i] = make([]Kinship, n)
	}
	return all
}

// history is a database's bucket of revisions.
type history struct {
	tree   *boltfile.Tree
	head   boltfile.Element
	sample []boltfile.Element
}

// How many leaves, and elements of each, are compared.
const (
	sampleLeaves   = 8
	sampleElements = 16
)

// findKin is what the child does.
func findKin(spec string) ([][]Kinship, error) {
	var paths []string
	if err := json.Unmarshal([]byte(spec), &paths); err != nil {
		return nil, err
	}
	return kinships(paths)
}

func kinships(paths []string) ([][]Kinship, error) {
	all := make([]*history, len(paths))
	for i, path := range paths {
		f, err := unseen.Open(path)
		if err != nil {
			continue // nothing of it is known
		}
		defer f.Close() // only read from
		st, err := f.Stat()
		if err == nil && st.Mode().IsRegular() && st.Size() > 0 {
			all[i] = openHistory(f, st.Size())
		}
	}
	return compareAll(all), nil
}

// compareAll compares each with each. Who is kin of one is kin of all its kin:
// most of what is left on a host is, so few have to be compared.
func compareAll(all []*history) [][]Kinship {
	found := unrelated(len(all))
	for i := range all {
		for j := range i {
			if found[i][j] == Kin {
				continue
			}
			found[i][j] = related(all[i], all[j])
			if found[i][j] == Kin {
				for k := range i {
					if found[j][k] == Kin || k == j {
						found[i][k] = Kin
					}
				}
			}
		}
		for j := range i {
			found[j][i] = found[i][j]
		}
	}
	return found
}

// openHistory is nil where the database can't be read.
func openHistory(f file, size int64) *history {
	m, ok := boltfile.ReadMetas(f).Used()
	if !ok {
		return nil
	}
	h := &history{tree: boltfile.NewTree(f, size, m)}
	if h.head, ok = h.tree.Buckets()["key"]; !ok {
		return nil
	}
	h.sample = h.tree.Ends(h.head, sampleLeaves, sampleElements)
	return h
}

// related compares what two databases hold of the same revisions.
func related(a, b *history) Kinship {
	if a == nil || b == nil {
		return Unknown
	}
	equal, different := 0, 0
	for _, pair := range [][2]*history{{a, b}, {b, a}} {
		for _, e := range pair[0].sample {
			other, ok, err := pair[1].tree.Find(pair[1].head, e.Key)
			switch {
			case err != nil || !ok || len(e.Value) == 0: // a bump tells nothing
			case bytes.Equal(other.Value, e.Value):
				equal++
			default:
				different++
			}
		}
	}
	switch {
	case equal > different:
		return Kin
	case different > 0:
		return Stranger
	}
	return Unknown
}
