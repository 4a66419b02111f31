// Package causes finds out what around etcd keeps it, or the API server before
// it, from serving: kubelet and the container runtime, manifests and units,
// certificates, ports, room, the clock. It changes nothing, asks nobody but this
// host, and waits for nothing for long.
package causes

import (
	"context"
	"sync"
	"time"

	"runbook/actions/etcd/diagnose"
)

// Options say where to look.
type Options struct {
	// Manifest is where the manifest of etcd's static pod is or should be, Unit
	// the systemd unit that starts etcd, Config its own configuration file. All
	// may be empty.
	Manifest, Unit, Config string
	DataDir, WALDir        string
	// Version is etcd's version that is to run; empty if it isn't known.
	Version string
	// Archives are the archives of backups, the newest first.
	Archives []string
	// Meanwhile is closed once whoever asked has nothing else to do: until then an
	// API server that is slow to answer isn't given up. It may be nil.
	Meanwhile <-chan struct{}
}

// Report is what was found.
type Report struct {
	Findings []diagnose.Finding // nearest to the cause first
	// Served tells whether this host's API server says that it is ready; nil
	// where there is none.
	Served *bool
}

// within bounds what this host is asked, and answersWithin what may well not
// answer: a container runtime, an API server that waits for its etcd, a name
// service. None of them is waited for after another.
const (
	within        = 3 * time.Second
	answersWithin = 600 * time.Millisecond
)

// look is one look at a host. What several parts of it need is read once.
type look struct {
	host
	o Options

	units    func() units
	kubelet  func() kubeletConfig
	pods     func() pods
	etcd     func() etcdSettings
	archives func() archives
	runtime  func() runtimeState
	served   func() *bool
	said     func() []string // etcd's last words
}

// parts are the looks at one thing each, nearest to the cause first.
var parts = []func(context.Context, *look) []finding{
	lookAtRoom, lookAtClock, lookAtRuntime, lookAtKubelet, lookAtManifests, lookAtUnit, lookAtFlags,
	lookAtPlaces, lookAtCertificates, lookAtPorts, lookAtImages, lookAtMemory, lookAtSaid, lookAtName,
}

// Look looks at this host.
func Look(ctx context.Context, o Options) Report { return lookAt(ctx, thisHost(), o) }

func lookAt(ctx context.Context, h host, o Options) Report {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	l := &look{host: h, o: o}
	l.prepare(ctx)
	found := make([][]finding, len(parts))
	var all sync.WaitGroup
	all.Go(func() { l.served() })
	for i, part := range parts {
		all.Go(func() { found[i] = part(ctx, l) })
	}
	all.Wait()
	return Report{Findings: l.settle(found), Served: l.served()}
}
