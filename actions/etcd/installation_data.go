package etcd

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/locate"
	"runbook/engine"
)

// installationData finds what runs etcd on this host.
type installationData struct{}

var _ engine.DataSource = (*installationData)(nil)

func installationDataSpec() engine.DataSpec {
	texts := cty.List(cty.String)
	return engine.DataSpec{
		Name: "etcd_installation",
		Doc: "Finds out what runs etcd on this host, and where its data and its backups are. " +
			"It looks at kubelet's folder of static pods, and where the shipped runbooks, kubeadm and people set manifests aside; at systemd's units; and at the service of an installed backup schedule. " +
			"Nothing has to run for it. What is broken or missing doesn't make it fail: it tells what is left to be seen. " +
			"Of several things that start an etcd the one counts that is enabled, or is in kubelet's folder, and among these the one whose data was written last.",
		Results: []engine.Attribute{
			{Name: "runs_as", Type: cty.String, Doc: "What runs etcd: static_pod or unit; empty where nothing does."},
			{Name: "manifest", Type: cty.String, Doc: "Where the static pod's manifest is, or should be; null where etcd is none."},
			{Name: "manifests_dir", Type: cty.String, Doc: "The folder whose static pods kubelet runs; null where there is none."},
			{Name: "stopped_dir", Type: cty.String, Doc: "Where the shipped runbooks set its manifests aside; null where there is no such folder."},
			{Name: "manifest_found", Type: cty.String, Doc: "Where a manifest of etcd can be read now, which may be one that was set aside; null where there is none."},
			{Name: "pods", Type: texts, Doc: "The static pods of the control plane that have a manifest, in the order in which they are to stop: the API server first, etcd last, which is named even if its manifest is gone. Empty where etcd is no static pod."},
			{Name: "unit", Type: cty.String, Doc: "The unit that starts etcd; null where none does."},
			{Name: "config", Type: cty.String, Doc: "etcd's own configuration file; null where it has none."},
			{Name: "kubelet", Type: cty.String, Doc: "kubelet's unit; null where there is none."},
			{Name: "kubeconfig", Type: cty.String, Doc: "A kubeconfig of an administrator; null where there is none."},
			{Name: "data_dir", Type: cty.String, Doc: "etcd's data directory: as it is configured, by a copy of its manifest in a backup's archive if need be, or the usual one; null where there is no etcd."},
			{Name: "wal_dir", Type: cty.String, Doc: "Its separate directory for the write-ahead log; null where it has none."},
			{Name: "backup_dirs", Type: texts, Doc: "The directories of backups: those of the installed schedule first, then the usual ones that are there. It is never empty: where there are none it is /var/backups/etcd."},
			{Name: "archives", Type: texts, Doc: "The archives in them, *.tar.gz, the newest first."},
			{Name: "sources", Type: texts, Doc: "What was read to find all this, and what it told."},
		},
		Example: `data "etcd_installation" "here" {}`,
		New:     func() engine.DataSource { return &installationData{} },
	}
}

// Read implements engine.DataSource.
func (*installationData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	i, err := locate.Find(ctx, w)
	if err != nil {
		return nil, err
	}
	return engine.Result{
		"runs_as": i.RunsAs, "manifest": orNull(i.Manifest), "manifests_dir": orNull(i.ManifestsDir), "stopped_dir": orNull(i.StoppedDir),
		"pods": podsOf(i), "manifest_found": orNull(i.ManifestFound), "unit": orNull(i.Unit), "config": orNull(i.Config), "kubelet": orNull(i.Kubelet),
		"kubeconfig": orNull(i.Kubeconfig), "data_dir": orNull(i.DataDir), "wal_dir": orNull(i.WALDir),
		"backup_dirs": i.BackupDirs, "archives": i.Archives, "sources": orEmpty(i.Sources),
	}, nil
}

// podsOf are the pods to stop and start with etcd.
func podsOf(i locate.Installation) []string {
	if i.RunsAs != locate.StaticPod {
		return []string{}
	}
	return i.Pods
}

// orNull is a text that is null where it is empty.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// installed is what starts etcd on this host. By attributes it can be named
// instead.
func installed(ctx context.Context, w engine.World, attributes string) (*locate.Starter, error) {
	i, err := locate.Find(ctx, w)
	if err != nil {
		return nil, err
	}
	return starter(ctx, w, i, attributes)
}

// starter is what starts etcd, or why that isn't known.
func starter(ctx context.Context, w engine.World, i locate.Installation, attributes string) (*locate.Starter, error) {
	if s := i.Starter(); s != nil {
		return s, nil
	}
	switch i.RunsAs {
	case locate.Unit:
		return locate.ReadUnit(ctx, w, i.Unit)
	case locate.StaticPod:
		s, err := locate.ReadManifest(ctx, w, i.Manifest)
		if err != nil {
			return nil, engine.Errorf(i.Manifest, "etcd is a static pod of this host, and neither its manifest nor a copy of it can be read: %w", err).
				WithHint("Put the manifest back, then try again. For the only member of a cluster, \"kubeadm init phase etcd local\" writes a new one.").WithAttribute("manifest")
		}
		return s, nil
	}
	return nil, engine.Errorf("etcd", "nothing was found on this host that starts an etcd: no static pod, no unit and no configuration file").
		WithHint("Run this on etcd's own host. If this is it, say where it is: %s.", attributes)
}
