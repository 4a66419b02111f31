// Package locate finds out by itself what runs etcd on a host, and where its
// data and its backups are. It only reads, and takes a host as it is: what is
// broken or missing is told, and doesn't keep the rest from being found.
package locate

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"
)

// What runs etcd.
const (
	StaticPod = "static_pod"
	Unit      = "unit"
)

// usualData is where etcd's data is where nobody says it.
const usualData = "/var/lib/etcd"

// Installation is how etcd is installed on a host. What isn't there is empty.
type Installation struct {
	RunsAs        string // StaticPod, Unit, or nothing
	Manifest      string // where the static pod's manifest is, or should be
	ManifestsDir  string // kubelet's folder of manifests
	StoppedDir    string // where the shipped runbooks set manifests aside
	ManifestFound string // where the manifest can be read now
	// Pods are the static pods of the control plane that have a manifest, which
	// etcd's need not, in the order in which they are to stop.
	Pods       []string
	Unit       string
	Config     string // etcd's configuration file
	Kubelet    string // kubelet's unit
	Kubeconfig string
	DataDir    string
	WALDir     string   // where the log isn't in the data directory
	BackupDirs []string // never none
	Archives   []string // the newest first
	Sources    []string // what was read, and what it told

	// Starters is what could be read of all that starts an etcd here. The first
	// is the one that counts, unless that can't be read.
	Starters []*Starter
}

// Starter is what could be read of what starts etcd; nil where nothing could.
func (i Installation) Starter() *Starter {
	if len(i.Starters) == 0 || i.Starters[0].Unit != i.Unit {
		return nil
	}
	return i.Starters[0]
}

// Find looks for etcd on a host. The error is that an earlier step will change
// what there is to see, or ctx's.
func Find(ctx context.Context, files Files) (Installation, error) {
	l := &look{files: files}
	services := l.services(ctx)
	i := Installation{Kubelet: services.kubelet, ManifestsDir: l.folder(ctx)}
	i.Kubeconfig = l.first(ctx, "/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf")
	i.BackupDirs = l.backups(ctx, services)
	i.Archives = l.archives(ctx, i.BackupDirs)
	if i.ManifestsDir != "" {
		i.StoppedDir = stoppedFolder(i.ManifestsDir)
		i.Pods = l.pods(ctx, i.ManifestsDir)
	}
	all := l.units(ctx, services)
	if pod, ok := l.pod(ctx, i.ManifestsDir, i.Archives); ok {
		all = append([]candidate{pod}, all...)
	}
	l.rank(ctx, all)
	i.choose(ctx, l, all)
	i.Sources = l.told
	if l.unknown != nil {
		return i, l.unknown
	}
	return i, ctx.Err()
}

// candidate is one thing that may be what starts etcd here: a static pod or a
// unit.
type candidate struct {
	unit            string
	manifest, found string // where the manifest should be, and where it was found
	starter         *Starter
	starts          bool // it is enabled, or kubelet's

	config, dataDir, walDir string
	written                 time.Time // when its data was; never where there is none
}

// name is what starts etcd, for messages.
func (c candidate) name() string { return cmp.Or(c.unit, c.found, c.manifest) }

// rank looks at the candidates' data and puts the one first that counts: what
// is enabled, or kubelet's; and among these whose data was written last.
func (l *look) rank(ctx context.Context, all []candidate) {
	for n := range all {
		l.measure(ctx, &all[n])
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(-compareBool(a.starts, b.starts), b.written.Compare(a.written), -compareBool(a.unit == usualUnit, b.unit == usualUnit))
	})
	for _, c := range all[min(1, len(all)):] {
		l.tell(c.name(), "it starts an etcd too, and is passed over for %s: %s", all[0].name(), all[0].before(c))
	}
}

// before says why c counts before another one.
func (c candidate) before(other candidate) string {
	switch {
	case c.starts != other.starts:
		return "that is enabled, and this isn't"
	case !c.written.Equal(other.written):
		return "its data was written last"
	}
	return "nothing else tells them apart"
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// measure finds a candidate's data.
func (l *look) measure(ctx context.Context, c *candidate) {
	if c.starter == nil {
		return
	}
	c.config = c.starter.ConfigFile()
	m, err := c.starter.Member(ctx, l.files)
	if err != nil {
		l.fault(c.name(), err)
	}
	if m.DataDir == "" {
		return
	}
	c.dataDir, c.walDir = filepath.Clean(m.DataDir), m.WALDir
	c.written = l.changed(ctx, filepath.Join(c.dataDir, "member", "snap", "db"))
	l.tell(c.name(), "etcd's data is in %s", c.dataDir)
}
