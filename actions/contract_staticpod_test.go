package actions_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
	"runbook/test/fakecri"
)

// Where the scenes' manifests are: in the fake kubelet's folder, beside it, and
// on another file system.
const (
	podsDir   = "/var/lib/contract-pods"
	manifests = podsDir + "/manifests"
	aside     = podsDir + "/stopped"
	elsewhere = "/dev/shm/contract-pods"
)

func staticPodCases() []contract.Case {
	return append(podMoveCases(), podEditCases()...)
}

func podMoveCases() []contract.Case {
	const action = "static_pod_move"
	slow := fakecri.Behaviour{StopTakes: 20 * time.Millisecond}
	return []contract.Case{
		{Name: "stop a control plane", Action: action, Bad: badPodStop(), Fails: failingPodStop(),
			Setup: podScene(slow, moveTo(manifests, aside), in(manifests, controlPlane...))},
		{Name: "start a control plane", Action: action, Bad: badPodStart(), Fails: failingPodStart(),
			Setup: podScene(slow, moveTo(aside, manifests), in(aside, controlPlane...))},
		{Name: "stop what is half stopped", Action: action,
			Setup: podScene(slow, moveTo(manifests, aside), in(manifests, "kube-scheduler", "etcd"), in(aside, "kube-apiserver"))},
		{Name: "stop to another file system", Action: action,
			Setup: podScene(slow, moveTo(manifests, elsewhere), in(manifests, controlPlane...))},
		{Name: "start from another file system", Action: action,
			Setup: podScene(slow, moveTo(elsewhere, manifests), in(elsewhere, controlPlane...))},
		{Name: "stop without kubelet", Action: action, Syscalls: []string{"write"},
			Setup: withoutKubelet(podScene(slow, moveTo(manifests, aside), in(manifests, controlPlane...)))},
		{Name: "stop all together", Action: action,
			Setup: podScene(slow, stopTogether(), in(manifests, controlPlane...))},
		{Name: "put in place without kubelet", Action: action,
			Setup: withoutKubelet(podScene(slow, putInPlace(), in(aside, controlPlane...)))},
		{Name: "stopped already", Action: action, Looks: true,
			Setup: podScene(slow, moveTo(manifests, aside), in(aside, controlPlane...))},
		{Name: "started already", Action: action, Looks: true,
			Setup: podScene(slow, moveTo(aside, manifests), in(manifests, controlPlane...))},
	}
}

func podEditCases() []contract.Case {
	const action = "static_pod_edit"
	return []contract.Case{
		{Name: "a manifest aside", Action: action, Bad: badPodEdit(),
			Setup: podScene(fakecri.Behaviour{}, editOf(aside), in(aside, "etcd"))},
		{Name: "a flag's name", Action: action,
			Setup: podScene(fakecri.Behaviour{}, renameOf(aside), in(aside, "etcd"))},
		{Name: "a running pod", Action: action, Fails: failingPodEdit(),
			Setup: podScene(fakecri.Behaviour{}, editOf(manifests), in(manifests, controlPlane...))},
	}
}

// fakeKubelet is the one fake of all scenes, which come one after the other.
var fakeKubelet = sync.OnceValues(func() (*fakecri.Fake, error) {
	if err := os.MkdirAll(podsDir, 0o755); err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return fakecri.Start(podsDir, strings.ToLower(name))
})

var controlPlane = []string{"kube-apiserver", "kube-scheduler", "etcd"}

// probePort is where each pod's probe asks.
var probePort = map[string]int{"kube-apiserver": 16443, "kube-scheduler": 16259, "etcd": 16381}

const podManifest = `apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
  namespace: kube-system
spec:
  containers:
  - name: %[1]s
    command:
    - %[1]s
    - --data-dir=/var/lib/%[1]s  # as it was
    image: registry.k8s.io/%[1]s:1.2.3
    readinessProbe: {httpGet: {host: 127.0.0.1, port: %[2]d, path: /readyz}}
  volumes:
  - {name: data, hostPath: {path: /var/lib/%[1]s, type: Directory}}
`

// in puts manifests into a directory.
func in(dir string, pods ...string) func(*testing.T) {
	return func(t *testing.T) {
		for _, pod := range pods {
			contract.Write(t, filepath.Join(dir, pod+".yaml"), fmt.Sprintf(podManifest, pod, probePort[pod]))
		}
	}
}

func podConfig() config {
	return config{"kubelet_config": cty.StringVal(podsDir + "/kubelet.yaml"), "grace_seconds": cty.NumberIntVal(20), "timeout_seconds": cty.NumberIntVal(20)}
}

func moveTo(from, to string) config {
	c := podConfig()
	c["from"], c["to"] = cty.StringVal(from), cty.StringVal(to)
	c["pods"] = cty.ListVal([]cty.Value{cty.StringVal("kube-apiserver"), cty.StringVal("kube-scheduler"), cty.StringVal("etcd")})
	return c
}

func stopTogether() config {
	c := moveTo(manifests, aside)
	c["together"] = cty.True
	return c
}

func putInPlace() config {
	c := moveTo(aside, manifests)
	c["wait"] = cty.False
	return c
}

func editOf(dir string) config {
	c := podConfig()
	c["manifest"] = cty.StringVal(dir + "/etcd.yaml")
	c["flags"] = cty.MapVal(map[string]cty.Value{"initial-cluster-token": cty.StringVal("t1"), "data-dir": cty.NullVal(cty.String)})
	c["host_paths"] = cty.MapVal(map[string]cty.Value{"data": cty.StringVal("/srv/etcd")})
	c["image"] = cty.StringVal("registry.k8s.io/etcd:1.2.4")
	return c
}

func renameOf(dir string) config {
	c := podConfig()
	c["manifest"] = cty.StringVal(dir + "/etcd.yaml")
	c["rename_flags"] = cty.MapVal(map[string]cty.Value{"data-dir": cty.StringVal("wal-dir")})
	return c
}

// podScene is a kubelet that behaves as b says, once it has come to run the
// manifests that are in its folder.
func podScene(b fakecri.Behaviour, c config, place ...func(*testing.T)) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		f, err := fakeKubelet()
		must(t, err)
		must(t, f.Reset(fakecri.Behaviour{Down: true}))
		for _, dir := range []string{manifests, aside, elsewhere} {
			must(t, os.RemoveAll(dir))
		}
		hidden, err := filepath.Glob(podsDir + "/.*-2*") // what earlier scenes kept
		must(t, err)
		for _, path := range hidden {
			must(t, os.RemoveAll(path))
		}
		must(t, os.Mkdir(manifests, 0o700))
		contract.Write(t, podsDir+"/kubelet.yaml", fmt.Sprintf("staticPodPath: %s\ncontainerRuntimeEndpoint: unix://%s\nhealthzPort: %d\n", manifests, f.Socket, f.Port))
		for _, put := range place {
			put(t)
		}
		must(t, f.Reset(b))
		settled(t, f)
		must(t, f.Reset(b)) // from here on, its starts count
		settled(t, f)
		own := config{}
		for name, v := range c {
			own[name] = v
		}
		return contract.Scene{
			Config:  own,
			Observe: func(t *testing.T) string { settled(t, f); return f.Running() + podFiles(t) },
			Count:   func(*testing.T) string { return fmt.Sprintf("%d starts", f.Starts()) },
		}
	}
}

// podFiles describes the scene's files. What has just been written has a time
// of its own.
func podFiles(t *testing.T) string {
	text := withoutTimes(podsDir)(t)
	if _, err := os.Stat(elsewhere); err == nil {
		text += withoutTimes(elsewhere)(t)
	}
	return text
}

// withoutKubelet is a scene whose kubelet ends before the step. What the
// runtime then stops, nobody can start again, so that isn't looked at.
func withoutKubelet(scene func(*testing.T) contract.Scene) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		s := scene(t)
		f, err := fakeKubelet()
		must(t, err)
		must(t, f.Behave(fakecri.Behaviour{Down: true}))
		s.Observe = podFiles
		s.Applied = func(t *testing.T) {
			if running := f.Running(); running != "" {
				t.Errorf("the runtime still runs\n%s", running)
			}
		}
		return s
	}
}

// settled waits until kubelet has nothing left to do.
func settled(t *testing.T, f *fakecri.Fake) {
	t.Helper()
	for t.Context().Err() == nil && !f.Settled() {
		time.Sleep(time.Millisecond)
	}
}

// behave changes kubelet and runtime once the scene is made.
func behave(b fakecri.Behaviour, short bool) func(*testing.T, config) {
	return func(t *testing.T, c config) {
		f, err := fakeKubelet()
		must(t, err)
		must(t, f.Behave(b))
		if short {
			c["timeout_seconds"] = cty.NumberIntVal(1)
		}
	}
}

func badPodStop() []contract.Bad {
	write := func(path, text string) func(*testing.T, config) {
		return func(t *testing.T, _ config) { contract.Write(t, path, text) }
	}
	etcd := fmt.Sprintf(podManifest, "etcd", 1)
	return []contract.Bad{
		{Name: "relative", Set: set("to", "stopped"), Attribute: "to", Message: "must be absolute"},
		{Name: "no change of place", Set: set("to", manifests+"/"), Attribute: "to", Message: "that the manifests are in"},
		{Name: "inside kubelet's folder", Set: set("to", manifests+"/stopped"), Attribute: "to", Message: "inside kubelet's manifests folder"},
		{Name: "inside it through a link", Attribute: "to", Message: "inside kubelet's manifests folder",
			Set: func(t *testing.T, c config) {
				must(t, os.Symlink(manifests, aside))
				c["to"] = cty.StringVal(aside + "/below")
			}},
		{Name: "not kubelet's folders", Attribute: "from", Message: "neither this nor", Set: set("from", "/etc")},
		{Name: "to a file", Set: set("to", podsDir+"/kubelet.yaml"), Attribute: "to", Message: "is no directory"},
		{Name: "no parent", Set: set("to", "/no/such/place"), Attribute: "to", Message: "there is no such directory"},
		{Name: "to where others may write", Attribute: "to", Message: "others could put a pod of theirs",
			Set: func(t *testing.T, _ config) {
				must(t, os.Mkdir(aside, 0o700))
				must(t, os.Chmod(aside, 0o777))
			}},
		{Name: "no such pod", Attribute: "pods", Message: "neither " + manifests + " nor",
			Set: func(_ *testing.T, c config) { c["pods"] = cty.ListVal([]cty.Value{cty.StringVal("etcd-events")}) }},
		{Name: "a pod twice", Attribute: "pods", Message: "named twice",
			Set: func(_ *testing.T, c config) {
				c["pods"] = cty.ListVal([]cty.Value{cty.StringVal("etcd"), cty.StringVal("etcd")})
			}},
		{Name: "two files of a pod", Attribute: "pods", Message: "and so does", Set: write(manifests+"/etcd.yaml.bak", etcd)},
		{Name: "a pod in both", Attribute: "pods", Message: "and so does", Set: write(aside+"/etcd.yaml", etcd)},
		{Name: "the name is taken", Attribute: "to", Message: "something else is here", Set: write(aside+"/etcd.yaml", "kind: Secret\n")},
		{Name: "a link", Attribute: "pods", Message: "is no regular file",
			Set: func(t *testing.T, _ config) {
				must(t, os.Rename(manifests+"/etcd.yaml", podsDir+"/.etcd-2"))
				must(t, os.Symlink(podsDir+"/.etcd-2", manifests+"/etcd.yaml"))
			}},
		{Name: "no configuration", Set: set("kubelet_config", "/no/such"), Attribute: "kubelet_config", Message: "there is no such file"},
		{Name: "another configuration", Set: set("kubelet_config", manifests+"/etcd.yaml"), Attribute: "kubelet_config", Message: "names no folder"},
		{Name: "no runtime", Set: set("runtime_endpoint", "unix:///no/such.sock"), Attribute: "runtime_endpoint", Message: "doesn't answer"},
		{Name: "no socket", Set: set("runtime_endpoint", "tcp://h:1"), Attribute: "runtime_endpoint", Message: "absolute path"},
		{Name: "another node", Set: set("node", "cp7"), Attribute: "node", Message: "on node cp7 it would be named"},
		{Name: "no time", Attribute: "timeout_seconds", Message: "1 or more",
			Set: func(_ *testing.T, c config) { c["timeout_seconds"] = cty.NumberIntVal(0) }},
		{Name: "less than no grace", Attribute: "grace_seconds", Message: "0 or more",
			Set: func(_ *testing.T, c config) { c["grace_seconds"] = cty.NumberIntVal(-1) }},
	}
}

func failingPodStop() []contract.Bad {
	return []contract.Bad{
		{Name: "too slow", Message: "kube-apiserver: container container-", Set: behave(fakecri.Behaviour{StopTakes: 1500 * time.Millisecond}, true)},
	}
}

func badPodStart() []contract.Bad {
	return []contract.Bad{
		{Name: "kubelet is down", Attribute: "to", Message: "nothing else starts static pods", Set: behave(fakecri.Behaviour{Down: true}, false)},
		{Name: "the name is taken", Attribute: "to", Message: "something else is here",
			Set: func(t *testing.T, _ config) { contract.Write(t, manifests+"/etcd.yaml", "kind: Secret\n") }},
	}
}

func failingPodStart() []contract.Bad {
	return []contract.Bad{
		{Name: "it crashes", Message: "container etcd has ended with 1", Set: behave(fakecri.Behaviour{Crashes: "name: etcd"}, true)},
		{Name: "it is never ready", Message: "runs and is not ready: http://127.0.0.1:16443/readyz answers with 503",
			Set: behave(fakecri.Behaviour{Unready: "kube-apiserver"}, true)},
		{Name: "kubelet does nothing", Message: "kubelet has not started it yet", Set: behave(fakecri.Behaviour{Hangs: true}, true)},
	}
}

func badPodEdit() []contract.Bad {
	value := func(attribute string, v cty.Value) func(*testing.T, config) {
		return func(_ *testing.T, c config) { c[attribute] = v }
	}
	return []contract.Bad{
		{Name: "relative", Set: set("manifest", "etcd.yaml"), Attribute: "manifest", Message: "must be absolute"},
		{Name: "absent", Set: set("manifest", aside+"/none.yaml"), Attribute: "manifest", Message: "there is no such file"},
		{Name: "a directory", Set: set("manifest", aside), Attribute: "manifest", Message: "is no regular file"},
		{Name: "no such container", Set: set("container", "db"), Attribute: "manifest", Message: "no container \"db\"; there is etcd"},
		{Name: "a flag with dashes", Attribute: "flags", Message: "without dashes", Set: value("flags", cty.MapVal(map[string]cty.Value{"--name": cty.StringVal("a")}))},
		{Name: "two lines", Attribute: "flags", Message: "on one line", Set: value("flags", cty.MapVal(map[string]cty.Value{"name": cty.StringVal("a\nb")}))},
		{Name: "a name with dashes", Attribute: "rename_flags", Message: "without dashes", Set: value("rename_flags", cty.MapVal(map[string]cty.Value{"name": cty.StringVal("--a")}))},
		{Name: "no new name", Attribute: "rename_flags", Message: "needs its new name", Set: value("rename_flags", cty.MapVal(map[string]cty.Value{"name": cty.NullVal(cty.String)}))},
		{Name: "its own name", Attribute: "rename_flags", Message: "has that name already", Set: value("rename_flags", cty.MapVal(map[string]cty.Value{"name": cty.StringVal("name")}))},
		{Name: "one name for two", Attribute: "rename_flags", Message: "both a and b", Set: value("rename_flags", cty.MapVal(map[string]cty.Value{"a": cty.StringVal("c"), "b": cty.StringVal("c")}))},
		{Name: "no such flag", Attribute: "manifest", Message: "neither flag --lisen nor --listen", Set: value("rename_flags", cty.MapVal(map[string]cty.Value{"lisen": cty.StringVal("listen")}))},
		{Name: "a relative path", Attribute: "host_paths", Message: "must be absolute", Set: value("host_paths", cty.MapVal(map[string]cty.Value{"data": cty.StringVal("etcd")}))},
		{Name: "no such volume", Attribute: "manifest", Message: "no volume \"wal\"; there is data", Set: value("host_paths", cty.MapVal(map[string]cty.Value{"wal": cty.StringVal("/w")}))},
		{Name: "no image", Attribute: "image", Message: "name:tag", Set: set("image", " ")},
		{Name: "nothing", Attribute: "manifest", Message: "nothing is to be changed",
			Set: func(_ *testing.T, c config) { delete(c, "flags"); delete(c, "host_paths"); delete(c, "image") }},
		{Name: "no pod", Attribute: "manifest", Message: "describes no Pod",
			Set: func(t *testing.T, _ config) { contract.Write(t, aside+"/etcd.yaml", "kind: Deployment\n") }},
	}
}

func failingPodEdit() []contract.Bad {
	return []contract.Bad{{Name: "it crashes then", Message: "container etcd has ended with 1", Set: behave(fakecri.Behaviour{Crashes: "initial-cluster-token"}, true)}}
}
