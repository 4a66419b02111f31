package etcd

import (
	"context"
	"fmt"
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
	kin, doubt, err := a.kinship(ctx, w, r, from)
	if err == nil && doubt == "" && kin != diagnose.Kin {
		doubt = "the data in place isn't what followed on the snapshot"
	}
	return doubt, err
}

// kinship compares the old database with the one that is restored.
func (a *restore) kinship(ctx context.Context, w engine.World, r *restored, from string) (kin diagnose.Kinship, doubt string, err error) {
	if r.kin != nil {
		return *r.kin, "", nil
	}
	old, doubt, err := source(ctx, w, filepath.Join(r.oldMember(), "snap", "db"), "the old database")
	if err != nil || doubt != "" {
		return "", doubt, err
	}
	all, err := diagnose.Kinships(ctx, []string{from, old})
	if err != nil {
		return "", "", err
	}
	r.kin = &all[0][1]
	return *r.kin, "", nil
}

// wouldLose tells what of the old data a restore leaves behind, whether etcd
// runs or not; empty where there is nothing to tell.
func (a *restore) wouldLose(ctx context.Context, w engine.World, r *restored) (string, error) {
	if !r.Data.Existed {
		return "", nil
	}
	from, err := a.sourceDB(ctx, w, r)
	if err != nil {
		return "", err
	}
	member, doubt, err := source(ctx, w, r.oldMember(), "the old data")
	if err != nil || doubt != "" {
		return "", err
	}
	log, doubt, err := r.oldLogNow(ctx, w)
	if err != nil {
		return "", err
	}
	if doubt != "" {
		log = ""
	}
	tip, err := diagnose.ReadTip(ctx, member, log)
	if err != nil || !tip.Readable() {
		return "", err
	}
	kin, doubt, err := a.kinship(ctx, w, r, from)
	switch {
	case err != nil || doubt != "":
		return "", err
	case kin == diagnose.Stranger:
		return fmt.Sprintf("it is of another history than the snapshot, at revision %d", tip.Reach()), nil
	case kin == diagnose.Kin && tip.Reach() > r.Revision:
		return fmt.Sprintf("it has %s that the snapshot lacks; runbook read etcd_diagnosis tells whether a gentler cure keeps them", tip.WritesSince(r.Revision)), nil
	}
	return "", nil
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
