package etcd

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// inventoryData counts what a snapshot or a stopped member's database holds of
// Kubernetes.
type inventoryData struct {
	Path    *string  `cty:"path"`
	DataDir *string  `cty:"data_dir"`
	Prefix  string   `cty:"prefix"`
	Exclude []string `cty:"exclude"`
}

var _ engine.DataSource = (*inventoryData)(nil)

// ephemeral are the resources whose objects come and go by themselves: their
// numbers say nothing about a recovery.
var ephemeral = []string{"events", "events.events.k8s.io", "leases.coordination.k8s.io"}

func inventoryDataSpec() engine.DataSpec {
	var exclude []cty.Value
	for _, name := range ephemeral {
		exclude = append(exclude, cty.StringVal(name))
	}
	return engine.DataSpec{
		Name: "etcd_inventory",
		Doc: "Counts the objects of Kubernetes in a snapshot, or in the database of an etcd that is stopped, without any server. " +
			"Only live keys count. Encrypted objects are counted by their keys. The file is verified first.",
		Attributes: []engine.Attribute{
			{Name: "path", Type: cty.String, Check: checkAbsolute, Doc: "The snapshot, or a file member/snap/db. Either this or data_dir is set."},
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "etcd's data directory, in place of path. etcd must not be running on it."},
			{Name: "prefix", Type: cty.String, Default: cty.StringVal("/registry"), Check: checkAbsolute,
				Doc: "Where the API server keeps its objects, as in its flag --etcd-prefix."},
			{Name: "exclude", Type: cty.List(cty.String), Default: cty.ListVal(exclude),
				Doc: "The resources not to count, such as \"events\": those that come and go by themselves."},
		},
		Results: []engine.Attribute{
			{Name: "counts", Type: cty.Map(cty.Number), Doc: `How many objects there are, by "RESOURCE.GROUP/NAMESPACE": "deployments.apps/production", "secrets/production", and "clusterroles.rbac.authorization.k8s.io/" for what is in no namespace.`},
			{Name: "kinds", Type: cty.Map(cty.Number), Doc: `How many there are by "RESOURCE.GROUP".`},
			{Name: "namespaces", Type: cty.List(cty.String), Doc: "The namespaces that hold any of them, in the order of the alphabet."},
			{Name: "total", Type: cty.Number, Doc: "How many there are in all."},
			{Name: "encrypted", Type: cty.Map(cty.Number), Doc: "How many of them are encrypted, by \"RESOURCE.GROUP\"."},
			{Name: "encryption_keys", Type: cty.Map(cty.Number), Doc: `How many of all objects, excluded ones too, were encrypted with each "PROVIDER/KEY": without these keys they can't be read.`},
			{Name: "other_keys", Type: cty.Number, Doc: "How many keys are no object of an API."},
			{Name: "revision", Type: cty.Number, Doc: "The newest revision in the file."},
		},
		Example: `data "etcd_inventory" "backup" {
  path = "/var/backups/etcd/backup-1.db"
}`,
		New: func() engine.DataSource { return &inventoryData{} },
	}
}

// Read implements engine.DataSource.
func (d *inventoryData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	path, attribute, err := d.file()
	if err != nil {
		return nil, err
	}
	now, err := w.Source(ctx, path)
	if err != nil {
		return nil, engine.Errorf(path, "it can't be read: %w", err).WithHint("Check the path.").WithAttribute(attribute)
	}
	inv, err := inspect.CountObjects(ctx, now, d.Prefix)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return nil, engine.Errorf(path, "its objects can't be counted: %s", damaged.Reason).
			WithHint("Take another snapshot; if etcd is in the way, stop it first.").WithAttribute(attribute)
	}
	if err != nil {
		return nil, err
	}
	return d.result(inv), nil
}

func (d *inventoryData) file() (path, attribute string, err error) {
	switch {
	case (d.Path == nil) == (d.DataDir == nil):
		return "", "", engine.Errorf("etcd_inventory", "either path or data_dir has to be set, and not both").
			WithHint("Set path to a snapshot, or data_dir to the directory of a stopped etcd.").WithAttribute("path")
	case d.Path != nil:
		return *d.Path, "path", nil
	}
	return filepath.Join(*d.DataDir, "member", "snap", "db"), "data_dir", nil
}

func (d *inventoryData) result(inv inspect.Inventory) engine.Result {
	counts, kinds, encrypted := map[string]int64{}, map[string]int64{}, map[string]int64{}
	namespaces, total := map[string]bool{}, int64(0)
	for resource, in := range inv.Objects {
		if slices.Contains(d.Exclude, resource) {
			continue
		}
		for namespace, n := range in {
			counts[resource+"/"+namespace] = n
			kinds[resource] += n
			total += n
			if namespace != "" {
				namespaces[namespace] = true
			}
		}
		if n := inv.Encrypted[resource]; n > 0 {
			encrypted[resource] = n
		}
	}
	return engine.Result{
		"counts": counts, "kinds": kinds, "total": total, "encrypted": encrypted,
		"namespaces":      append([]string{}, slices.Sorted(maps.Keys(namespaces))...),
		"encryption_keys": inv.Keys, "other_keys": inv.Other, "revision": inv.Info.Revision,
	}
}
