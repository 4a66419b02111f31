package kube

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	"runbook/engine"
)

// object reads one object.
func object(t *testing.T, text string) unstructured.Unstructured {
	t.Helper()
	all, err := parse("test", "", text)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d objects: %v", len(all), err)
	}
	return all[0]
}

func as[T any](t *testing.T, text string) T {
	t.Helper()
	var out T
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPodTrouble(t *testing.T) {
	for _, c := range []struct{ name, pod, want string }{
		{"ready", `{status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, ""},
		{"has done its work", `{status: {phase: Succeeded}}`, ""},
		{"deleted", `{metadata: {deletionTimestamp: "2026-01-02T03:04:05Z"}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, "is being deleted"},
		{"crashing", `{status: {phase: Running, containerStatuses: [{name: a, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3}}}]}}`, "CrashLoopBackOff: exit code 3"},
		{"crashing at first", `{status: {phase: Pending, initContainerStatuses: [{name: i, state: {terminated: {exitCode: 1, reason: Error}}}], containerStatuses: [{name: a, state: {waiting: {reason: PodInitializing}}}]}}`, "Error: container i ended with exit code 1"},
		{"not ready", `{status: {phase: Running, containerStatuses: [{name: a, ready: false, state: {running: {}}}]}}`, "container a is not ready"},
		{"unschedulable", `{status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes\nmore"}]}}`, "Unschedulable: 0/1 nodes"},
		{"new", `{status: {phase: Pending}}`, "no node has been chosen for it"},
		{"unseen", `{spec: {nodeName: a}}`, "its kubelet has not reported it yet"},
		{"evicted", `{spec: {nodeName: a}, status: {phase: Failed, reason: Evicted, message: no room}}`, "Evicted: no room"},
	} {
		if got := podTrouble(as[corev1.Pod](t, c.pod)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNodeTrouble(t *testing.T) {
	now := time.Now()
	ready := as[corev1.Node](t, `{status: {conditions: [{type: Ready, status: "True"}]}}`)
	for _, c := range []struct {
		node    corev1.Node
		renewed time.Time
		want    string
	}{
		{ready, now.Add(-leaseFresh), ""},
		{ready, now.Add(-leaseFresh - time.Second), "its kubelet gave its last sign 1m1s ago"},
		{ready, time.Time{}, "its kubelet has no lease"},
		{corev1.Node{}, now, "not ready: "},
		{as[corev1.Node](t, `{status: {conditions: [{type: Ready, status: "Unknown", reason: NodeStatusUnknown}]}}`), now, "not ready: NodeStatusUnknown"},
	} {
		if got := nodeTrouble(c.node, c.renewed, now); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if ok, saw := nodesReady(nil, nil); ok || saw != "no node has registered" {
		t.Errorf("without nodes: %v %q", ok, saw)
	}
}

func TestRollouts(t *testing.T) {
	deployment := func(text string) string { return deploymentRollout(as[appsv1.Deployment](t, text)).says }
	stateful := func(text string) string { return statefulSetRollout(as[appsv1.StatefulSet](t, text)).says }
	daemon := func(text string) string { return daemonSetRollout(as[appsv1.DaemonSet](t, text)).says }
	const rolling = "updateStrategy: {type: RollingUpdate}"
	for _, c := range []struct{ got, want string }{
		{deployment(`{status: {replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`), ""},
		{deployment(`{spec: {replicas: 0}}`), ""},
		{deployment(`{spec: {replicas: 2}, status: {replicas: 2, updatedReplicas: 1}}`), "1 of 2 replicas are updated"},
		{deployment(`{status: {replicas: 2, updatedReplicas: 1}}`), "1 old replicas are still there"},
		{stateful(`{spec: {replicas: 2, ` + rolling + `}, status: {readyReplicas: 2, updatedReplicas: 2, currentRevision: a, updateRevision: a}}`), ""},
		{stateful(`{spec: {replicas: 2}, status: {readyReplicas: 1}}`), "1 of 2 replicas are ready"},
		{stateful(`{spec: {replicas: 2, ` + rolling + `}, status: {readyReplicas: 2, updatedReplicas: 1}}`), "1 of 2 replicas are updated"},
		{stateful(`{spec: {replicas: 2, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}}, status: {readyReplicas: 2, updatedReplicas: 1, updateRevision: b}}`), ""},
		{stateful(`{spec: {` + rolling + `}, status: {readyReplicas: 1, updatedReplicas: 1, updateRevision: b, currentRevision: a}}`), "it is between two revisions"},
		{daemon(`{spec: {` + rolling + `}, status: {desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}}`), ""},
		{daemon(`{spec: {` + rolling + `}, status: {desiredNumberScheduled: 2, updatedNumberScheduled: 1}}`), "1 of 2 pods are updated"},
		{daemon(`{status: {desiredNumberScheduled: 2, numberAvailable: 1}}`), "1 of 2 pods are available"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestFailingChecks(t *testing.T) {
	body := "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n"
	if got, want := failingChecks(body), "etcd, poststarthook/rbac/bootstrap-roles"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// No part of a difference, nor of what names it, may show what a Secret holds.
func TestSecretsAreHidden(t *testing.T) {
	before := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: "b2xk"}}, data: {password: b2xk, user: bWU=}}`)
	after := object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {password: bmV3, user: bWU=}, stringData: {more: cleartext}}`)
	text := difference("secret a", before, after)
	for _, hidden := range []string{"b2xk", "bmV3", "bWU=", "cleartext"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s shows in\n%s", hidden, text)
		}
	}
	for _, shown := range []string{"-  password: (hidden, old value)", "+  password: (hidden, new value)", "   user: (hidden)", "+  more: (hidden)"} {
		if !strings.Contains(text, shown) {
			t.Errorf("there is no %q in\n%s", shown, text)
		}
	}
	if got := strings.Join(secretKeys(before, after), " "); got != "password" {
		t.Errorf("keys that change: %s", got)
	}
	// Of a ConfigMap everything is shown.
	config := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {password: b2xk}}`)
	if text := difference("a", unstructured.Unstructured{}, config); !strings.Contains(text, "+  password: b2xk") {
		t.Errorf("of a config map: %s", text)
	}
}

func TestPatchesGoBothWays(t *testing.T) {
	before := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: "1", gone: "x"}}`)
	after := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {b: c}}, data: {a: "2"}}`)
	forth, back, err := patches(before, after)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(back); got != `{"data":{"a":"1","gone":"x"},"metadata":{"labels":{"b":null}}}` {
		t.Errorf("back: %s", got)
	}
	if digest(forth) == digest(back) || !strings.HasPrefix(digest(back), "sha256:") {
		t.Errorf("digests: %s, %s", digest(forth), digest(back))
	}
}

func TestDiscoveryPrefersTheFirstVersion(t *testing.T) {
	var g groups
	text := `{"items": [{"metadata": {"name": "apps"}, "versions": [
		{"version": "v1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["get", "list"]}, {"resource": "odd"}]},
		{"version": "v1beta1", "resources": [{"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["list"]}]}]}]}`
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		t.Fatal(err)
	}
	c := &client{resources: g.resources()}
	got, err := c.preferred(t.Context())
	if err != nil || len(got) != 1 || got[0].Version != "v1" || got[0].name() != "deployments.apps" || !got[0].namespaced {
		t.Errorf("%+v, %v", got, err)
	}
	if r, err := c.of(t.Context(), "apps/v1beta1", "Deployment"); err != nil || r.Version != "v1beta1" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRecentEvents(t *testing.T) {
	now := time.Now()
	at := func(name, kind string, minutes int) corev1.Event {
		when := metav1.NewTime(now.Add(-time.Duration(minutes) * time.Minute))
		return corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: kind, Reason: name, LastTimestamp: when, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: "b"}}
	}
	d := &events{Minutes: 10, Types: []string{"Warning"}}
	got := d.recent([]corev1.Event{at("older", "Warning", 5), at("normal", "Normal", 1), at("newer", "Warning", 1), at("past", "Warning", 11)}, now)
	if len(got) != 2 || got[0].Reason != "newer" || got[1].Reason != "older" || got[0].Object != "pod a/b" || got[0].Count != 1 {
		t.Errorf("%+v", got)
	}
}

func TestJudge(t *testing.T) {
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		a    execute
		code int
		want string
	}{
		{execute{}, 0, ""},
		{execute{ExitCode: 3}, 3, ""},
		{execute{}, 3, "expected_exit_code"},
		{execute{Output: text(" it is ok\n")}, 0, ""},
		{execute{Output: text("ok")}, 0, "output"},
		{execute{Contains: text("ok")}, 0, ""},
		{execute{Contains: text("no")}, 0, "output_contains"},
		{execute{Matches: text("^it .* ok$")}, 0, ""},
		{execute{Matches: text("^ok")}, 0, "output_matches"},
	} {
		got := ""
		if err := c.a.judge(nil, "pod", c.code, "it is ok", ""); err != nil {
			got = err.(*engine.Error).Attribute
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
}

// What client-go logs must not get between the lines on the terminal.
func TestLogGoesToTheLog(t *testing.T) {
	var log bytes.Buffer
	SetLogger(hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug}))
	defer klog.ClearLogger()
	klog.Error("something odd")
	klog.Flush()
	if !strings.Contains(log.String(), "[DEBUG] kubernetes:") || !strings.Contains(log.String(), "something odd") {
		t.Errorf("logged: %q", log.String())
	}
}

// touched is a world in which an earlier step changes something.
type touched struct{ engine.World }

func (touched) Touched() string { return "start_control_plane" }

// Where an earlier step is what brings the API server up, a plan can't know
// what it will hold.
func TestKnownAfterWhateverTouches(t *testing.T) {
	text := "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
	for name, a := range map[string]engine.Action{
		"apply":   &apply{Kubeconfig: "/no/such", Manifests: &text},
		"restart": &restart{Kubeconfig: "/no/such", Workloads: []string{"a/deployment/b"}},
	} {
		_, err := a.Plan(t.Context(), touched{})
		if unknown, ok := err.(*engine.UnknownError); !ok || unknown.Step != "start_control_plane" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Relative paths in a kubeconfig are meant from where it is.
func TestKubeconfigNamesFilesBesideIt(t *testing.T) {
	dir := t.TempDir()
	text := `{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: "https://127.0.0.1:1", certificate-authority: ca.crt}}],
		users: [{name: a, user: {token: t}}], contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}`
	path := filepath.Join(dir, "admin.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := connection{kubeconfig: path}.read()
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "ca.crt")) {
		t.Error(err)
	}
}

// The first looks follow each other fast, and none is later than the interval says.
func TestPause(t *testing.T) {
	p := poll{interval: 2}
	for waited, want := range map[time.Duration]time.Duration{
		0: 100 * time.Millisecond, 4 * time.Second: 500 * time.Millisecond, time.Hour: 2 * time.Second,
	} {
		if got := p.pause(waited); got != want {
			t.Errorf("after %s it is %s, want %s", waited, got, want)
		}
	}
}
