package lab

import (
	"strings"
	"testing"

	"runbook/test/kubehost"
)

// Every shipped drill runs from its damage to its score with one command, and
// the cluster has everything afterwards.
func TestDrills(t *testing.T) {
	s := newScene(t)
	s.contains(s.runbook(1, "run", "drills/db-overwritten.hcl", "--yes"), "--drill "+kubehost.Node)
	for _, name := range []string{"db-overwritten", "member-replaced", "data-directory-lost"} {
		t.Run(name, func(t *testing.T) { s.in(t).drill(name) })
	}
	t.Run("disk-full", func(t *testing.T) {
		s := s.in(t)
		s.smallDisk()
		s.drill("disk-full")
	})
}

func (s *scene) drill(name string) {
	s.Helper()
	out := s.runbook(0, "run", "drills/"+name+".hcl", "--yes", "--drill", kubehost.Node)
	s.contains(out, "Finished", "score = Found: ", "Back after")
	s.Log(out[strings.LastIndex(out, "Finished"):])
	s.isBack()
	s.didAsPlanned()
}

// smallDisk gives etcd a disk of its own that a drill may fill.
func (s *scene) smallDisk() {
	s.Helper()
	s.sh("mv /etc/kubernetes/manifests/etcd.yaml /root/ && while pgrep -x etcd; do sleep 0.2; done; " +
		"mv " + dataDir + " /root/etcd && mkdir " + dataDir + " && mount -t tmpfs -o size=400m,mode=0700 tmpfs " + dataDir +
		" && cp -a /root/etcd/. " + dataDir + "/ && mv /root/etcd.yaml /etc/kubernetes/manifests/")
	s.awaitAnswer()
	must(s, s.host.AwaitReady(s.ctx))
}
