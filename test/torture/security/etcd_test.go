package security

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"runbook/test/etcddir"
)

// member is an etcd that runs as long as the tests do, and a snapshot of it.
var member = sync.OnceValues(func() (*etcddir.Member, error) {
	const dir = "/var/backups/member"
	m, err := etcddir.Start(context.Background(), "3.6", dir)
	if err != nil {
		return nil, err
	}
	if err := m.Put(context.Background(), 0, 50); err != nil {
		return nil, err
	}
	return m, m.Save(context.Background(), snapshot)
})

const snapshot = "/var/backups/snapshot.db"

var etcdDeeds = []deed{
	{name: "etcd_snapshot_restore", steps: `
step "etcd_snapshot_restore" "it" {
  snapshot                    = "/var/backups/snapshot.db"
  data_dir                    = "DIR/u/d/etcd"
  wal_dir                     = "DIR/u/d/wal"
  name                        = "m1"
  initial_advertise_peer_urls = ["http://127.0.0.1:2380"]
  owner                       = "4711"
  group                       = "4711"
}`},
	{name: "etcd_snapshot_save", steps: `
step "etcd_snapshot_save" "it" {
  endpoints = ["ENDPOINT"]
  path      = "DIR/u/d/snap.db"
  copies    = ["DIR/u/d/sub"]
}`},
	{name: "etcd_snapshot_prune", steps: `
step "etcd_snapshot_prune" "it" {
  directory = "DIR/u/d"
  keep_last = 1
}`, lay: func(g *ground) {
		for i, name := range []string{"1.db", "2.db"} {
			sh(g.T, fmt.Sprintf("cp %s %s; touch -d @%d %s; cp %s %s; chmod 600 %s", snapshot, g.path("u/d/"+name),
				1700000000+i, g.path("u/d/"+name), snapshot, g.path("victim/"+name), g.path("victim/"+name)))
		}
	}},
}

// The same of what makes a new data directory for etcd, and backups.
func TestNobodyLeadsARestoreAway(t *testing.T) {
	m, err := member()
	must(t, err)
	for _, d := range etcdDeeds {
		d.steps = strings.ReplaceAll(d.steps, "ENDPOINT", m.Endpoint)
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newScene(t).standUp(d)
		})
	}
}
