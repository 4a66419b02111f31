package etcd

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/locate"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// before names the data directories with which etcd is started, or once was:
// in manifests that were set aside, kept or saved with the backups, and in units.
func before(ctx context.Context, w engine.World, o *diagnose.Options) {
	var starters []*locate.Starter
	if o.Manifest != "" {
		for _, path := range manifestsAround(o.Manifest) {
			if s, err := locate.ReadManifest(ctx, w, path); err == nil { // what can't be read names nothing
				starters = append(starters, s)
			}
		}
		if s := locate.Archived(ctx, w, o.Backups, o.Manifest); s != nil {
			starters = append(starters, s)
		}
	}
	if o.Unit != "" {
		if s, err := locate.ReadUnit(ctx, w, o.Unit); err == nil {
			starters = append(starters, s)
		}
	}
	for _, s := range starters {
		m, _ := s.Member(ctx, w) // as far as it is told
		if dir := filepath.Clean(m.DataDir); m.DataDir != "" && dir != o.DataDir && !slices.Contains(o.Named, dir) {
			o.Named = append(o.Named, dir)
		}
	}
}

// manifestsAround are the files that may be etcd's manifest, as it is or was:
// in its folder, where steps set it aside, and beside that.
func manifestsAround(manifest string) []string {
	folder := filepath.Dir(manifest)
	var all []string
	for _, dir := range []string{folder, folder + ".stopped", filepath.Dir(folder)} {
		entries, err := unseen.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type().IsRegular() && strings.Contains(e.Name(), "etcd") && len(all) < maxManifests {
				all = append(all, filepath.Join(dir, e.Name()))
			}
		}
	}
	return all
}

// maxManifests bounds how many files are read.
const maxManifests = 20
