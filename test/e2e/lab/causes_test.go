package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"runbook/test/torture/tally"
)

// troubles are what befalls a control plane whose data is well: how, what is to
// be named as the first cause, and how a runbook puts it right. What a person is
// told to type does so as well.
// Those that the disasters' own selection has as well wait for `make torture`.
var troubles = []struct{ name, script, class, remedy string }{
	{"kubelet stopped", "systemctl stop kubelet", "kubelet_stopped", "start_kubelet"},
	{"kubelet masked", "mv /etc/systemd/system/kubelet.service /usr/lib/systemd/system/; systemctl daemon-reload; systemctl mask --now kubelet", "kubelet_masked", "start_kubelet"},
	{"containerd stopped", "systemctl stop containerd", "runtime_stopped", "start_runtime"},
	{"etcd's manifest gone", "rm /etc/kubernetes/manifests/etcd.yaml", "manifest_missing", "put_back"},
	{"API server's manifest set aside", "mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/", "manifest_missing", "put_back"},
	{"flag misspelt", "sed -i s/--snapshot-count/--snapshot-cuont/ /etc/kubernetes/manifests/etcd.yaml", "unknown_flag", "rename_flag"},
	{"no such image", "sed -i 's/etcd:3/etcd:2/' /etc/kubernetes/manifests/etcd.yaml", "image_missing", ""},
	{"certificate gone", "rm /etc/kubernetes/pki/etcd/server.crt; pkill -KILL -x etcd", "pki_lost", "put_back"},
	{"API server looks elsewhere", "sed -i s/127.0.0.1:2379/127.0.0.1:2378/ /etc/kubernetes/manifests/kube-apiserver.yaml", "apiserver_elsewhere", ""},
	{"port taken", `mv /etc/kubernetes/manifests/etcd.yaml /root/etcd.yaml
while pgrep -x etcd; do sleep 0.2; done
systemd-run --unit=squatter "$(command -v kubectl)" --kubeconfig=/etc/kubernetes/admin.conf proxy --port=2379
until bash -c ": < /dev/tcp/127.0.0.1/2379" 2>/dev/null; do sleep 0.2; done
mv /root/etcd.yaml /etc/kubernetes/manifests/etcd.yaml`, "port_taken", "stop_unit"},
}

// quickTroubles are tried in `make test-lab`.
var quickTroubles = []string{"kubelet_stopped", "runtime_stopped"}

// diagnosed is what a diagnosis tells of causes.
type diagnosed struct {
	Healthy     bool
	Served      *bool
	Recommended string
	Classes     []string
	Causes      []struct{ Class, Finding, Remedy, Path, Command string }
}

func (s *scene) diagnose() diagnosed {
	s.Helper()
	out, err := s.host.Output(s.ctx, "runbook", "read", "etcd_diagnosis", "--json")
	if err != nil {
		s.Fatal(err)
	}
	var doc struct{ Result diagnosed }
	if err := json.Unmarshal(out, &doc); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return doc.Result
}

// What keeps a control plane from serving while its data is well is named, first
// and alone, and the command that goes with it brings it back.
func TestCauses(t *testing.T) {
	s := newScene(t)
	s.isWell()
	for _, trouble := range troubles {
		if !tally.Full() && !slices.Contains(quickTroubles, trouble.class) {
			continue
		}
		well := t.Run(trouble.name, func(t *testing.T) {
			s := s.in(t)
			s.sh(trouble.script)
			var d diagnosed
			must(s, s.host.Await(s.ctx, trouble.class+" is found", func() error {
				if d = s.diagnose(); len(d.Causes) == 0 || d.Causes[0].Class != trouble.class {
					return fmt.Errorf("%+v", d)
				}
				return nil
			}))
			first := d.Causes[0]
			if first.Class != trouble.class || first.Remedy != trouble.remedy || len(d.Causes) != 1 || d.Healthy {
				t.Errorf("%+v", d)
			}
			if d.Recommended != "" && d.Recommended != "restart" {
				t.Errorf("the data would be given to %s", d.Recommended)
			}
			t.Logf("%s\n%s\n%s", strings.Join(d.Classes, " "), first.Finding, first.Command)
			s.sh(first.Command + "; systemctl restart kubelet")
			must(s, s.host.AwaitReady(s.ctx))
			s.isWell()
		})
		if !well {
			return // the others begin from a control plane that is well
		}
		tally.Count(t, "causes of a broken control plane, named and put right as typed", 1)
	}
	s.isBack()
}

// isWell waits until a diagnosis finds nothing wrong.
func (s *scene) isWell() {
	s.Helper()
	must(s, s.host.Await(s.ctx, "all is well", func() error {
		if d := s.diagnose(); !d.Healthy || d.Served == nil || !*d.Served || len(d.Causes) != 0 {
			return fmt.Errorf("%+v", d)
		}
		return nil
	}))
}
