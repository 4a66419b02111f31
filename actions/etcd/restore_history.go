package etcd

import (
	"context"
	"path/filepath"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// searchRoots are where data that was moved is looked for. It is a variable for
// tests.
var searchRoots = []string{"/"}

// sourceDB is where the database that is restored can be read now; empty where
// it is the old one itself.
func (a *restore) sourceDB(ctx context.Context, w engine.World, r *restored) (string, error) {
	if r.Salvage != nil && r.Salvage.From == "" {
		return "", nil
	}
	if r.Salvage != nil {
		return w.Source(ctx, r.salvagedDB())
	}
	return w.Source(ctx, r.Snapshot)
}

// continues says why the old data isn't what followed on the snapshot; empty
// if it is. An etcd that was begun anew in the same place, with the same
// settings, chooses the same IDs: only what it holds tells.
func (a *restore) continues(ctx context.Context, w engine.World, r *restored) (doubt string, err error) {
	from, err := a.sourceDB(ctx, w, r)
	if err != nil || from == "" {
		return "", err
	}
	old, doubt, err := source(ctx, w, filepath.Join(r.oldMember(), "snap", "db"), "the old database")
	if err != nil || doubt != "" {
		return doubt, err
	}
	kin, err := diagnose.Kinships(ctx, []string{from, old})
	if err == nil && kin[0][1] != diagnose.Kin {
		doubt = "the data in place isn't what followed on the snapshot"
	}
	return doubt, err
}

// servedElsewhere is what of the snapshot's history was served last by what
// else is left of it: beside the data directory and the snapshot and, where
// what is in place doesn't tell, wherever it was moved to.
func (a *restore) servedElsewhere(ctx context.Context, w engine.World, r *restored, search bool) (path string, last int64, err error) {
	from, err := a.sourceDB(ctx, w, r)
	if err == nil && from == "" {
		from, _, err = source(ctx, w, filepath.Join(r.oldMember(), "snap", "db"), "the old database")
	}
	if err != nil || from == "" {
		return "", 0, err
	}
	var roots []string
	if search {
		roots = searchRoots
	}
	return diagnose.Furthest(ctx, from, r.DataDir, roots, unseen.Glob(filepath.Join(filepath.Dir(from), "*.db")))
}
