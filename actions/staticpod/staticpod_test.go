package staticpod

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"runbook/actions/file"
	"runbook/actions/staticpod/manifest"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/fakecri"
)

const text = `apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: kube-system}
spec:
  containers:
  - name: %[1]s
    command: [%[1]s]
    %[2]s
`

// scene is a directory with a fake kubelet that runs what is in its folder.
type scene struct {
	*fakecri.Fake
	dir, aside, config string
}

func newScene(t *testing.T, b fakecri.Behaviour, pods map[string]string) scene {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pods") // a socket's path has to be short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	f, err := fakecri.Start(dir, "node1")
	must(t, err)
	s := scene{f, dir, dir + "/aside", dir + "/config.yaml"}
	must(t, os.WriteFile(s.config, fmt.Appendf(nil, "staticPodPath: %s\ncontainerRuntimeEndpoint: unix://%s\nhealthzPort: %d\n", f.Manifests, f.Socket, f.Port), 0o600))
	for name, more := range pods {
		must(t, os.WriteFile(filepath.Join(f.Manifests, name+".yaml"), fmt.Appendf(nil, text, name, more), 0o600))
	}
	must(t, f.Reset(fakecri.Behaviour{}))
	for t.Context().Err() == nil && !f.Settled() {
		time.Sleep(time.Millisecond)
	}
	must(t, f.Behave(b))
	t.Cleanup(func() { must(t, f.Reset(fakecri.Behaviour{Down: true})) })
	return s
}

// stop is the step that stops pods.
func (s scene) stop(pods ...string) *move {
	node := "node1"
	return &move{From: s.Manifests, To: s.aside, Pods: pods, Wait: true, KubeletConfig: s.config, Node: &node, Grace: 1, Timeout: 10}
}

// start is the step that starts pods whose manifests are aside.
func (s scene) start(pods ...string) *move {
	a := s.stop(pods...)
	a.From, a.To = s.aside, s.Manifests
	return a
}

// putAside writes a manifest where kubelet doesn't find it.
func (s scene) putAside(t *testing.T, pods ...string) {
	t.Helper()
	must(t, os.MkdirAll(s.aside, 0o700))
	for _, pod := range pods {
		must(t, os.WriteFile(filepath.Join(s.aside, pod+".yaml"), fmt.Appendf(nil, text, pod, ""), 0o600))
	}
}

func plan(t *testing.T, a engine.Action) engine.Change {
	t.Helper()
	c, err := a.Plan(t.Context(), world{})
	must(t, err)
	return c
}

// world is this machine as it is.
type world struct{}

var here = host.NewLocal(&engine.Registry{})

func (world) Stat(ctx context.Context, path string) (engine.PathFact, error) {
	return here.Stat(ctx, path, false, nil)
}

func (world) Walk(ctx context.Context, root string, fn func(engine.PathFact) error) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		fact, err := here.Stat(ctx, filepath.Join(root, e.Name()), false, nil)
		if err = errors.Join(err, fn(fact)); err != nil {
			return err
		}
	}
	return err
}

func (world) Source(_ context.Context, path string) (string, error) {
	_, err := os.Stat(path)
	return path, err
}

func (world) Unit(context.Context, string) (engine.UnitFact, error) {
	return engine.UnitFact{LoadState: "not-found"}, nil
}

func (world) Touched() string { return "" }

func (world) Run() engine.RunInfo { return engine.RunInfo{ID: "run1"} }

// listener remembers what an action said.
type listener struct {
	mu   sync.Mutex
	said []string
}

func (l *listener) Progress(p engine.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, p.Doing)
}

// Where kubelet hangs, the runtime stops the pods once the grace is over, and
// the step says so.
func TestHangingKubelet(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Hangs: true}, map[string]string{"etcd": "", "kube-apiserver": ""})
	var heard listener
	a := s.stop("kube-apiserver", "etcd")
	got, err := a.Apply(t.Context(), plan(t, a), &heard)
	must(t, err)
	if by := got["stopped_by_runtime"]; !reflect.DeepEqual(by, []string{"etcd", "kube-apiserver"}) {
		t.Errorf("stopped by the runtime: %v", by)
	}
	want := []map[string]any{{"pod": "kube-apiserver", "container": "kube-apiserver", "exit_code": int32(137)}, {"pod": "etcd", "container": "etcd", "exit_code": int32(137)}}
	if !reflect.DeepEqual(got["stopped"], want) {
		t.Errorf("stopped %v", got["stopped"])
	}
	if said := "waiting until kube-apiserver is gone: kube-apiserver: container container-"; !strings.Contains(strings.Join(heard.said, "\n"), said) {
		t.Errorf("it said %q", heard.said)
	}
	if running := s.Running(); running != "" {
		t.Errorf("it still runs:\n%s", running)
	}
}

// A kubelet that was killed between making a container and starting it leaves
// one that never ends. It is removed, whether kubelet is gone or only hangs.
func TestNeverStarted(t *testing.T) {
	for name, b := range map[string]fakecri.Behaviour{"kubelet is gone": {Down: true}, "kubelet hangs": {Hangs: true}} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, fakecri.Behaviour{Unstarted: true}, nil)
			must(t, os.WriteFile(filepath.Join(s.Manifests, "etcd.yaml"), fmt.Appendf(nil, text, "etcd", ""), 0o600))
			for t.Context().Err() == nil && s.Running() == "" {
				time.Sleep(time.Millisecond)
			}
			must(t, s.Behave(b))
			a := s.stop("etcd")
			c := plan(t, a)
			if want := "pod etcd: not running: container etcd is created"; c.Items[1].Note != want {
				t.Errorf("it plans %q, want %q", c.Items[1].Note, want)
			}
			_, err := a.Apply(t.Context(), c, new(listener))
			must(t, err)
			if left := s.Running(); left != "" {
				t.Errorf("there is still\n%s", left)
			}
		})
	}
}

// What was made and not started doesn't hide the container that kubelet has
// started instead.
func TestStartedInsteadOf(t *testing.T) {
	s := sandbox{ready: true, containers: []container{
		{name: "etcd", state: cri.ContainerState_CONTAINER_CREATED}, {name: "etcd", state: cri.ContainerState_CONTAINER_RUNNING},
	}}
	if why := new(waiter).unready(t.Context(), s, manifest.Container{Name: "etcd"}); why != "" {
		t.Errorf("got %q", why)
	}
}

// A process that outlives its container, and whatever else has the pod's port,
// keep the pod from being gone.
func TestWitnesses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	sleep := exec.Command("sleep", "60")
	must(t, sleep.Start())
	defer func() { _ = sleep.Process.Kill(); _ = sleep.Wait() }() // it may have ended
	port := l.Addr().(*net.TCPAddr).Port
	for name, tt := range map[string]struct {
		behaviour fakecri.Behaviour
		more      string
		want      string
	}{
		"a process": {fakecri.Behaviour{Survivor: sleep.Process.Pid}, "", fmt.Sprintf("its process %d lives", sleep.Process.Pid)},
		"a port":    {fakecri.Behaviour{}, fmt.Sprintf("startupProbe: {tcpSocket: {host: 127.0.0.1, port: %d}}", port), fmt.Sprintf("something answers at 127.0.0.1:%d", port)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, tt.behaviour, map[string]string{"etcd": tt.more})
			a := s.stop("etcd")
			a.Timeout = 1
			_, err := a.Apply(t.Context(), plan(t, a), new(listener))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// etcd is stopped after what needs it, and started before.
func TestWaves(t *testing.T) {
	pods := map[string]string{"etcd": "", "a": "", "b": "", "c": ""}
	s := newScene(t, fakecri.Behaviour{}, pods)
	for _, tt := range []struct {
		order []string
		want  string
	}{
		{[]string{"a", "b", "etcd"}, "[[a b] [etcd]]"},
		{[]string{"etcd", "a", "b"}, "[[etcd] [a b]]"},
		{[]string{"a", "etcd", "b", "c"}, "[[a] [etcd] [b c]]"},
		{[]string{"etcd"}, "[[etcd]]"},
	} {
		m := moved{From: s.Manifests, To: s.aside}
		for _, name := range tt.order {
			m.Pods = append(m.Pods, movedPod{Name: name, File: name + ".yaml"})
		}
		waves, err := m.waves()
		must(t, err)
		var got [][]string
		for _, wave := range waves {
			got = append(got, names(podsOf(wave)))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%v: got %v, want %s", tt.order, got, tt.want)
		}
	}
}

// A wait that is cut short says so, and what was seen last.
func TestCutShort(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Hangs: true}, map[string]string{"etcd": ""})
	a := s.stop("etcd")
	a.Grace = 100
	c := plan(t, a)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := reporter(func(p engine.Progress) {
		if strings.Contains(p.Doing, "is running") {
			cancel(errors.New("the operator wants it"))
		}
	})
	_, err := a.Apply(ctx, c, stop)
	if err == nil || !strings.Contains(err.Error(), "cut short: the operator wants it; last seen: etcd: container") {
		t.Errorf("got %v", err)
	}
}

type reporter func(engine.Progress)

func (r reporter) Progress(p engine.Progress) { r(p) }

func TestReadKubelet(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	config := write("config.yaml", "kind: KubeletConfiguration\nstaticPodPath: "+dir+"/pods\nhealthzBindAddress: 127.0.0.1\n")
	write("kubeadm-flags.env", `KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/x.sock --hostname-override=CP1 --v=2"`+"\n")
	k, err := readKubelet(t.Context(), world{}, config, nil)
	must(t, err)
	if want := (kubelet{Manifests: dir + "/pods", Socket: "unix:///run/x.sock", Node: "cp1", Health: "http://127.0.0.1:10248/healthz"}); k != want {
		t.Errorf("got %+v", k)
	}
	named := "/run/named.sock"
	for endpoint, want := range map[*string]string{nil: "/run/x.sock", &named: named} {
		if got, err := k.socket(endpoint); err != nil || got != want {
			t.Errorf("got the socket %s, %v", got, err)
		}
	}
	write("kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=--pod-manifest-path=/srv/pods\n")
	write("config.yaml", "healthzPort: 0\n")
	node := "N7"
	k, err = readKubelet(t.Context(), world{}, config, &node)
	must(t, err)
	if want := (kubelet{Manifests: "/srv/pods", Node: "n7"}); k != want {
		t.Errorf("got %+v", k)
	}
}

// A pod that runs under another node's name isn't taken for gone.
func TestOtherNode(t *testing.T) {
	pod := manifest.Pod{Name: "etcd", Namespace: "kube-system", Containers: []manifest.Container{{Name: "etcd"}}}
	events := sandbox{pod: "etcd-events-cp1", namespace: "kube-system", ready: true, containers: []container{{name: "events"}}}
	other := sandbox{pod: "etcd-cp7", namespace: "kube-system", ready: true, containers: []container{{name: "etcd"}}}
	k := kubelet{Node: "cp1"}
	if err := k.otherNode([]sandbox{events}, pod); err != nil {
		t.Errorf("another pod was taken for it: %v", err)
	}
	if err := k.otherNode([]sandbox{events, other}, pod); err == nil || !strings.Contains(engine.HintOf(err), `node = "cp7"`) {
		t.Errorf("got %v", err)
	}
}

// What an earlier step will have moved or written is planned with.
func TestPlanUnderEffects(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{}, map[string]string{"etcd": "", "kube-apiserver": ""})
	reg := &engine.Registry{Actions: Actions(), Facts: noUnits{}}
	h := host.NewLocal(reg)
	steps := []struct{ action, config string }{
		{"static_pod_move", s.configOf(`"from":%q,"to":%q,"pods":["kube-apiserver","etcd"],"together":false,"keep_sandboxes":false,"wait":true,"most_failures":0`, s.Manifests, s.aside)},
		{"static_pod_edit", s.configOf(`"manifest":%q,"container":null,"rename_flags":null,"flags":{"name":"a"},"host_paths":null,"image":null`, s.aside+"/etcd.yaml")},
		{"static_pod_move", s.configOf(`"from":%q,"to":%q,"pods":["etcd","kube-apiserver"],"together":false,"keep_sandboxes":false,"wait":true,"most_failures":0`, s.aside, s.Manifests)},
	}
	var effects []engine.Effect
	var got []string
	for _, step := range steps {
		c, err := h.Plan(t.Context(), engine.StepRequest{Run: engine.RunInfo{ID: "run1"}, Action: step.action, Config: []byte(step.config), Effects: effects})
		must(t, err)
		effects = append(effects, c.Effects...)
		for _, i := range c.Items {
			got = append(got, strings.ReplaceAll(i.Target+": "+i.Attribute+i.Before+" -> "+i.After, s.dir, ""))
		}
	}
	want := []string{
		"/aside: absent -> directory, 0700 root:root",
		"/manifests/kube-apiserver.yaml: in /manifests -> in /aside", "/manifests/etcd.yaml: in /manifests -> in /aside",
		"/aside/etcd.yaml: flag --namenot set -> a",
		"/aside/etcd.yaml: in /aside -> in /manifests", "/aside/kube-apiserver.yaml: in /aside -> in /manifests",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A second file of a pod is moved out of kubelet's folder by the action move,
// and what follows is planned as if it were gone.
func TestSecondManifest(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{}, map[string]string{"etcd": "", "kube-apiserver": ""})
	second, away := s.Manifests+"/etcd.yaml.bak", s.dir+"/etcd.yaml.second"
	must(t, os.WriteFile(second, fmt.Appendf(nil, text, "etcd", "image: other"), 0o600))
	for t.Context().Err() == nil && !s.Settled() {
		time.Sleep(time.Millisecond)
	}
	h := host.NewLocal(&engine.Registry{Actions: append(file.Actions(), Actions()...), Facts: noUnits{}})
	request := func(action, config string) engine.StepRequest {
		return engine.StepRequest{Run: engine.RunInfo{ID: "run1"}, Action: action, Config: []byte(config)}
	}
	stop := request("static_pod_move", s.configOf(`"from":%q,"to":%q,"pods":["etcd"],"together":false,"keep_sandboxes":false,"wait":true,"most_failures":0`, s.Manifests, s.aside))
	if _, err := h.Plan(t.Context(), stop); err == nil || !strings.Contains(err.Error(), "describes the pod etcd, and so does") {
		t.Fatalf("beside a second file: %v", err)
	}
	move := request("move", fmt.Sprintf(`{"from":%q,"to":%q}`, second, away))
	first, err := h.Plan(t.Context(), move)
	must(t, err)
	stop.Effects = first.Effects
	then, err := h.Plan(t.Context(), stop)
	must(t, err)
	if got := then.Items[len(then.Items)-1].Target; got != s.Manifests+"/etcd.yaml" {
		t.Errorf("it would move %s", got)
	}
	stop.Effects = nil
	steps := []struct {
		request engine.StepRequest
		change  engine.Change
	}{{move, first}, {stop, then}}
	for _, step := range steps {
		_, err := h.Apply(t.Context(), step.request, step.change, &listener{})
		must(t, err)
	}
	if running := s.Running(); strings.Contains(running, "etcd") {
		t.Errorf("it still runs:\n%s", running)
	}
	for _, step := range slices.Backward(steps) {
		must(t, h.Undo(t.Context(), step.request, step.change, &listener{}))
	}
	for _, path := range []string{second, s.Manifests + "/etcd.yaml"} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("undone: %v", err)
		}
	}
}

func (s scene) configOf(format string, values ...any) string {
	return "{" + fmt.Sprintf(format, values...) + fmt.Sprintf(`,"kubelet_config":%q,"runtime_endpoint":null,"node":"node1","grace_seconds":5,"timeout_seconds":10}`, s.config)
}

type noUnits struct{}

func (noUnits) Unit(_ context.Context, name string) (engine.UnitFact, error) {
	return engine.UnitFact{Name: name, LoadState: "not-found"}, nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A runtime that doesn't answer yet may be what an earlier step starts.
func TestPlanWithoutARuntime(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{}, map[string]string{"etcd": ""})
	must(t, os.WriteFile(s.config, fmt.Appendf(nil, "staticPodPath: %s\ncontainerRuntimeEndpoint: unix://%s/none.sock\n", s.Manifests, s.dir), 0o600))
	reg := &engine.Registry{Actions: Actions(), Facts: noUnits{}}
	req := engine.StepRequest{Run: engine.RunInfo{ID: "run1"}, Action: "static_pod_move",
		Config: []byte(s.configOf(`"from":%q,"to":%q,"pods":["etcd"],"together":false,"keep_sandboxes":false,"wait":true,"most_failures":0`, s.Manifests, s.aside))}
	_, err := host.NewLocal(reg).Plan(t.Context(), req)
	var unknown *engine.UnknownError
	if err == nil || errors.As(err, &unknown) {
		t.Errorf("nothing starts it: %v", err)
	}
	req.Effects = []engine.Effect{{Unit: &engine.UnitFact{Name: "containerd.service", ActiveState: "active"}, Step: "start_runtime"}}
	if _, err := host.NewLocal(reg).Plan(t.Context(), req); !errors.As(err, &unknown) || unknown.Step != "start_runtime" {
		t.Errorf("the step before may start it: %v", err)
	}
}
