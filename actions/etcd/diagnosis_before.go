package etcd

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// before names the data directories with which etcd is started, or once was:
// in manifests that were set aside or kept, and in units.
func (d *diagnosisData) before(ctx context.Context, w engine.World, o *diagnose.Options) {
	manifest := valueOf(d.Manifest)
	if manifest == "" {
		manifest = usualManifest
	}
	var sources []memberData
	for _, path := range manifestsAround(manifest) {
		sources = append(sources, memberData{Manifest: &path})
	}
	unit := valueOf(d.Unit)
	if unit == "" {
		unit = usualUnit
	}
	for _, source := range append(sources, memberData{Unit: &unit}) {
		var found diagnose.Options
		// What can't be read names nothing.
		if source.expect(ctx, w, &found) == nil && found.DataDir != o.DataDir && !slices.Contains(o.Named, found.DataDir) {
			o.Named = append(o.Named, found.DataDir)
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
