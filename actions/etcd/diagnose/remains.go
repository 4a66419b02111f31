package diagnose

import (
	"context"

	"runbook/actions/etcd/candidate"
)

// Furthest is what of the history of the database at db was served last, by
// anything that is left on the host: directories beside the data directory and
// below the roots, but for that itself, and snapshots. The path is empty where
// nothing of that history is left.
func Furthest(ctx context.Context, db, dataDir string, roots, snapshots []string) (path string, served int64, err error) {
	found := candidate.Search(ctx, candidate.Options{DataDir: dataDir, Roots: roots})
	var places []place
	var paths []string
	for _, d := range found.Dirs {
		places = append(places, (&left{kind: KindDir, member: d.Member, wal: (&Report{Options: Options{DataDir: dataDir}}).logOf(d)}).place())
		paths = append(paths, d.Path)
	}
	for _, file := range append(found.Files, snapshots...) {
		places, paths = append(places, place{DB: file}), append(paths, file)
	}
	places = places[:min(len(places), maxLeft)]
	read, err := tips(ctx, places)
	if err != nil || len(read) == 0 {
		return "", 0, err
	}
	all := []string{db}
	for _, p := range places {
		all = append(all, p.DB)
	}
	kin, err := Kinships(ctx, all)
	if err != nil {
		return "", 0, err
	}
	for i, tip := range read {
		if to := tip.Served(); kin[0][i+1] == Kin && to > served {
			path, served = paths[i], to
		}
	}
	return path, served, nil
}

// Served is the newest revision that is known to have been served: what it can
// have reached, or what the restore that it is from has raised it to.
func (t Tip) Served() int64 {
	if t.Marker != nil {
		return max(t.Reach(), t.Marker.To())
	}
	return t.Reach()
}
