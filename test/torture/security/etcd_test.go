package security

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

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
	{name: "etcd_snapshot_restore, into a mount point", mounted: true, steps: `
step "etcd_snapshot_restore" "it" {
  snapshot                    = "/var/backups/snapshot.db"
  data_dir                    = "DIR/u/d"
  name                        = "m1"
  initial_advertise_peer_urls = ["http://127.0.0.1:2380"]
  owner                       = "4711"
  group                       = "4711"
}`, lay: func(g *ground) {
		g.mount()
		g.takeMember("u/d/member", "")
		g.takeMember("victim/member", hidden)
	}},
	{name: "etcd_adopt", steps: `
step "etcd_adopt" "it" {
  from                        = "DIR/u/d/old"
  data_dir                    = "DIR/u/d/etcd"
  name                        = "m1"
  initial_advertise_peer_urls = ["PEER"]
  owner                       = "4711"
  group                       = "4711"
}`, lay: func(g *ground) {
		sh(g.T, fmt.Sprintf("mkdir -p %s %s; rm -rf %s", g.path("u/d/old"), g.path("victim/old"), g.path("u/d/etcd")))
		g.takeMember("u/d/old/member", "")
		g.takeMember("victim/old/member", hidden)
	}},
	{name: "etcd_salvage, from elsewhere", steps: `
step "etcd_salvage" "it" {
  from                        = "DIR/u/d/old"
  data_dir                    = "DIR/u/d/etcd"
  name                        = "m1"
  initial_advertise_peer_urls = ["PEER"]
  owner                       = "4711"
  group                       = "4711"
}`, lay: func(g *ground) {
		sh(g.T, fmt.Sprintf("mkdir -p %s %s", g.path("u/d/old"), g.path("victim/old")))
		g.takeMember("u/d/old/member", "")
		g.takeMember("victim/old/member", hidden)
	}},
	{name: "etcd_wal_repair", steps: `
step "etcd_wal_repair" "it" {
  data_dir = "DIR/src/etcd"
  wal_dir  = "DIR/u/d"
}`, lay: func(g *ground) {
		g.takeMember("src/etcd/member", "")
		for dir, secret := range map[string]string{"u/d": "", "victim": hidden} {
			g.tear(dir, secret)
		}
	}},
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

// killedPeer is the peer URL of the etcd that was killed.
const killedPeer = "http://127.0.0.1:12380"

// killed is the directory of an etcd that was killed, without most of the zeros
// behind its log.
var killed = sync.OnceValues(func() (string, error) {
	const dir, copied = "/var/backups/killed", "/var/backups/copied"
	m, err := etcddir.StartAt(context.Background(), "3.6", dir, killedPeer)
	if err != nil {
		return "", err
	}
	if err := m.Put(context.Background(), 0, 20); err != nil {
		return "", err
	}
	return copied, errors.Join(m.Kill(), etcddir.Copy(dir, copied))
})

// mount makes u/d a file system of mallory's.
func (g *ground) mount() {
	g.Helper()
	must(g.T, unix.Mount("tmpfs", g.path("u/d"), "tmpfs", 0, fmt.Sprintf("mode=0755,size=300m,uid=%d,gid=%[1]d", mallory)))
	g.fill("u/d", "mallory's")
}

// takeMember puts the killed etcd's directory "member" in a place of its owner's,
// with a secret in its database where there is to be one.
func (g *ground) takeMember(to, secret string) {
	g.Helper()
	from, err := killed()
	must(g.T, err)
	sh(g.T, fmt.Sprintf("rm -rf %[2]s; cp -r %[1]s/member %[2]s; chown -R --reference=$(dirname %[2]s) %[2]s", from, g.path(to)))
	if secret != "" {
		must(g.T, os.WriteFile(g.path(to+"/snap/db"), []byte(secret), 0o600))
	}
}

// tear puts the killed etcd's log into a directory, as its owner's, with a last
// record that was never written to its end, and a secret on its way.
func (g *ground) tear(dir, secret string) {
	g.Helper()
	from, err := killed()
	must(g.T, err)
	logs, err := filepath.Glob(from + "/member/wal/*.wal")
	must(g.T, err)
	for i, path := range logs {
		text, err := os.ReadFile(path)
		must(g.T, err)
		if i == len(logs)-1 {
			text = bytes.TrimRight(text, "\x00")
			text = append(text[:len(text)-20], make([]byte, 8<<10)...)
		}
		copy(text[1000:], secret)
		to := g.path(dir + "/" + filepath.Base(path))
		must(g.T, os.WriteFile(to, text, 0o600))
		sh(g.T, fmt.Sprintf("chown --reference=$(dirname %[1]s) %[1]s", to))
	}
}

// The same of what makes a new data directory for etcd, and backups.
func TestNobodyLeadsARestoreAway(t *testing.T) {
	m, err := member()
	must(t, err)
	for _, d := range etcdDeeds {
		d.steps = strings.NewReplacer("ENDPOINT", m.Endpoint, "PEER", killedPeer).Replace(d.steps)
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newScene(t).standUp(d)
		})
	}
}
