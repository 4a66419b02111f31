package actions_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/contract"
)

// These tests use the namespace of TestContract's scenes. They can: TestContract
// ends before the next of them begins.

func TestKubernetesInventory(t *testing.T) {
	k := served(t)
	k.make("secrets", "metadata: {name: db}")
	res := read(t, "kubernetes_inventory", k.config(config{"names_of": texts("pods", "deployments.apps")}))
	counts := res["counts"].(map[string]int)
	for key, want := range map[string]int{"pods/contract": 2, "deployments.apps/contract": 1, "secrets/contract": 1, "nodes/": 1, "leases.coordination.k8s.io/kube-node-lease": 0} {
		if counts[key] != want {
			t.Errorf("%s: %d, want %d", key, counts[key], want)
		}
	}
	names := res["names"].(map[string][]string)
	if got := fmt.Sprint(names); got != "map[deployments.apps/contract:[web] pods/contract:[web-1 web-2]]" {
		t.Errorf("names: %s", got)
	}
	sum := 0
	for _, n := range counts {
		sum += n
	}
	if res["total"] != sum || res["kinds"].(map[string]int)["pods"] != 2 || !strings.Contains(fmt.Sprint(res["namespaces"]), "contract") {
		t.Errorf("total %v, kinds %v, namespaces %v", res["total"], res["kinds"], res["namespaces"])
	}
}

// More objects than one answer holds are counted all the same.
func TestKubernetesInventoryOfManyPages(t *testing.T) {
	k := freshKube(t)
	for i := range 501 {
		k.make("configmaps", fmt.Sprintf("metadata: {name: c%d}", i))
	}
	res := read(t, "kubernetes_inventory", k.config(nil))
	if n := res["counts"].(map[string]int)["configmaps/contract"]; n != 501 {
		t.Errorf("%d of 501", n)
	}
}

func TestKubernetesPods(t *testing.T) {
	k := served(t)
	k.do(http.MethodPatch, space("pods")+"/web-2/status", "status: "+pullingPod)
	c := k.config(config{"namespace": cty.StringVal(kubeSpace)})
	res := read(t, "kubernetes_pods", c)
	if got := fmt.Sprint(res["total"], res["ready"], res["troubled"]); got != "2 1 map[contract/web-2:ImagePullBackOff: Back-off pulling image web]" {
		t.Error(got)
	}
	k.node(time.Now().Add(-time.Hour))
	if got := fmt.Sprint(read(t, "kubernetes_pods", c)["troubled"]); !strings.Contains(got, "contract/web-1:node n1: its kubelet gave its last sign") {
		t.Error(got)
	}
}

func TestKubernetesEvents(t *testing.T) {
	k := freshKube(t)
	k.do(http.MethodDelete, space("events"), "")
	for _, name := range []string{"Warning", "Normal"} {
		k.make("events", fmt.Sprintf("{metadata: {name: %s}, type: %s, reason: Failed, message: it failed, involvedObject: {kind: Pod, namespace: contract, name: web-1}, lastTimestamp: %q}",
			strings.ToLower(name), name, time.Now().UTC().Format(time.RFC3339)))
	}
	res := read(t, "kubernetes_events", k.config(config{"namespace": cty.StringVal(kubeSpace)}))
	text, err := json.Marshal(res["events"])
	must(t, err)
	if !strings.HasPrefix(string(text), `[{"type":"Warning","reason":"Failed","message":"it failed","object":"pod contract/web-1","count":1,`) || strings.Contains(string(text), "Normal") {
		t.Errorf("%s", text)
	}
}

// A data source is read when everything may be down: that is what it tells.
func TestKubernetesDataOfNoAPIServer(t *testing.T) {
	for _, source := range []string{"kubernetes_inventory", "kubernetes_pods", "kubernetes_events"} {
		c := config{}
		apiDown(t, c)
		if res := read(t, source, c); res["reachable"] != false || !strings.Contains(res["error"].(string), "connection refused") {
			t.Errorf("%s: %v", source, res)
		}
		c["kubeconfig"] = cty.StringVal("/no/such")
		if res := read(t, source, c); res["reachable"] != false || !strings.Contains(res["error"].(string), "no such file") {
			t.Errorf("%s: %v", source, res)
		}
	}
}

// planned plans an action with its defaults.
func planned(t *testing.T, action string, c config) (*host.Local, engine.StepRequest, engine.Change) {
	t.Helper()
	return plannedAs(t, "step", action, c)
}

// plannedAs plans the step of a name.
func plannedAs(t *testing.T, step, action string, c config) (*host.Local, engine.StepRequest, engine.Change) {
	t.Helper()
	reg := actions.Registry(hclog.NewNullLogger())
	spec, ok := reg.Action(action)
	if !ok {
		t.Fatalf("there is no action %s", action)
	}
	h := host.NewLocal(reg)
	req := engine.StepRequest{Run: engine.RunInfo{ID: "run", Step: step}, Action: action, Config: withDefaults(t, spec.Attributes, c)}
	change, err := h.Plan(t.Context(), req)
	must(t, err)
	return h, req, change
}

// What a Secret holds is in no part of what is shown or recorded.
func TestKubernetesApplyTellsNoSecrets(t *testing.T) {
	for name, scene := range map[string]func(*testing.T) contract.Scene{"new": applyNew, "over": applyOver} {
		_, _, change := planned(t, "kubernetes_apply", scene(t).Config)
		text, err := json.Marshal(change)
		must(t, err)
		for _, secret := range []string{"hunter2", "aHVudGVyMg", "b2xk"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: %s shows in %s", name, secret, text)
			}
		}
		if !strings.Contains(string(text), "password") {
			t.Errorf("%s: the Secret isn't named in %s", name, text)
		}
	}
}

// What can't be tried yet, because the same step brings its namespace or its
// kind, is planned as created, and then is.
func TestKubernetesApplyBringsNamespaceAndKind(t *testing.T) {
	k := freshKube(t)
	name := fmt.Sprintf("n%d", time.Now().UnixNano()) // a namespace needs a controller to go
	manifests := fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.%[1]s.example.com},
 spec: {group: %[1]s.example.com, scope: Namespaced, names: {kind: Thing, plural: things, singular: thing, listKind: ThingList},
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}
---
{apiVersion: %[1]s.example.com/v1, kind: Thing, metadata: {name: a, namespace: %[1]s}, size: 3}
`, name)
	h, req, change := planned(t, "kubernetes_apply", k.config(config{"manifests": cty.StringVal(manifests)}))
	if len(change.Items) != 3 {
		t.Fatalf("items: %+v", change.Items)
	}
	for _, it := range change.Items {
		if it.Before != "absent" || it.After != "created" {
			t.Errorf("%+v", it)
		}
	}
	_, err := h.Apply(t.Context(), req, change, nobodyListens{})
	must(t, err)
	var thing struct{ Size int }
	must(t, k.try(http.MethodGet, "/apis/"+name+".example.com/v1/namespaces/"+name+"/things/a", "", &thing))
	if again, err := h.Plan(t.Context(), req); err != nil || !again.Empty() || thing.Size != 3 {
		t.Errorf("size %d, then %+v, %v", thing.Size, again.Items, err)
	}
}

type nobodyListens struct{}

func (nobodyListens) Progress(engine.Progress) {}

// What somebody else creates after the plan is neither taken over nor, when
// the step is undone, deleted.
func TestKubernetesApplyLeavesWhatIsOthers(t *testing.T) {
	scene := applyNew(t)
	h, req, change := planned(t, "kubernetes_apply", scene.Config)
	server, err := kubeServer()
	must(t, err)
	kube{t, server}.make("configmaps", "{metadata: {name: settings}, data: {colour: red}}")
	before := scene.Observe(t)
	_, err = h.Apply(t.Context(), req, change, nobodyListens{})
	if err == nil || !strings.Contains(err.Error(), "somebody else has created it since") || engine.HintOf(err) == "" {
		t.Errorf("Apply: %v", err)
	}
	must(t, h.Undo(t.Context(), req, change, nobodyListens{}))
	if after := scene.Observe(t); after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}

// kubeStep is a kubernetes_apply that has been carried out.
type kubeStep struct {
	host   *host.Local
	req    engine.StepRequest
	change engine.Change
}

// applied carries a step with a manifest out.
func (k kube) applied(step, manifest string) kubeStep {
	k.t.Helper()
	h, req, change := plannedAs(k.t, step, "kubernetes_apply", k.config(config{"manifests": cty.StringVal(manifest), "namespace": cty.StringVal(kubeSpace), "force": cty.True}))
	_, err := h.Apply(k.t.Context(), req, change, nobodyListens{})
	must(k.t, err)
	return kubeStep{h, req, change}
}

func (s kubeStep) undo(t *testing.T) {
	t.Helper()
	must(t, s.host.Undo(t.Context(), s.req, s.change, nobodyListens{}))
}

// What an earlier step has created is known as that step's also after a later
// one that gave it its first annotations and labels has been undone.
func TestKubernetesApplyUndoneTwice(t *testing.T) {
	for kind, path := range map[string]string{"ConfigMap": "configmaps", "Secret": "secrets"} {
		t.Run(kind, func(t *testing.T) {
			k := freshKube(t)
			first := k.applied("first", "{apiVersion: v1, kind: "+kind+", metadata: {name: a}}")
			before := k.seen(path)(t)
			second := k.applied("second", "{apiVersion: v1, kind: "+kind+", metadata: {name: a, annotations: {by: runbook}, labels: {app: web}}, data: {key: dmFsdWU=}}")
			second.undo(t)
			if after := k.seen(path)(t); after != before {
				t.Errorf("after the second's Undo:\n%s\nwas\n%s", after, before)
			}
			first.undo(t)
			if after := k.seen(path)(t); after != "" {
				t.Errorf("after the first's Undo there is still %s", after)
			}
		})
	}
}

// Undoing takes away what the step has added, and nothing that others have
// added since.
func TestKubernetesApplyUndoneLeavesWhatOthersAdd(t *testing.T) {
	for kind, path := range map[string]string{"ConfigMap": "configmaps", "Secret": "secrets"} {
		t.Run(kind, func(t *testing.T) {
			k := freshKube(t)
			k.make(path, "metadata: {name: a}")
			step := k.applied("step", "{apiVersion: v1, kind: "+kind+", metadata: {name: a, annotations: {ours: x}, labels: {ours: x}}, data: {ours: b3Vycw==}}")
			k.do(http.MethodPatch, space(path)+"/a", "{metadata: {annotations: {others: x}, labels: {others: x}}, data: {others: dGhlaXJz}}")
			step.undo(t)
			after := k.seen(path)(t)
			if n := strings.Count(after, `{"others":`); n != 3 || strings.Contains(after, "ours") {
				t.Errorf("%d of 3 left: %s", n, after)
			}
		})
	}
}

// Two steps of a run that change the same Secret keep what each has found.
func TestKubernetesApplyKeepsASecretForEachStep(t *testing.T) {
	k := freshKube(t)
	manifest := func(value string) string {
		return "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {key: " + value + "}}"
	}
	k.make("secrets", "{metadata: {name: a}, data: {key: YWE=}}")
	first := k.seen("secrets")(t)
	one := k.applied("one", manifest("YmI="))
	two := k.applied("two", manifest("Y2M="))
	two.undo(t)
	if after := k.seen("secrets")(t); !strings.Contains(after, "YmI=") {
		t.Errorf("after the second's Undo: %s", after)
	}
	one.undo(t)
	if after := k.seen("secrets")(t); after != first {
		t.Errorf("after the first's Undo:\n%s\nwas\n%s", after, first)
	}
}

// A Secret of somebody else's isn't taken for a backup, whatever its name.
func TestKubernetesApplyTakesNoSecretOfOthersForItsBackup(t *testing.T) {
	k := freshKube(t)
	k.make("secrets", "{metadata: {name: a}, data: {key: YWE=}}")
	c := k.config(config{"manifests": cty.StringVal("{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {key: YmI=}}"), "namespace": cty.StringVal(kubeSpace), "force": cty.True})
	h, req, change := planned(t, "kubernetes_apply", c)
	_, backup, _ := strings.Cut(change.Items[0].Note, kubeSpace+"/")
	k.make("secrets", "{metadata: {name: "+backup+"}, data: {object: e30=}}")
	before := k.seen("secrets")(t)
	_, err := h.Apply(t.Context(), req, change, nobodyListens{})
	if err == nil || !strings.Contains(err.Error(), "somebody else has created it") || engine.HintOf(err) == "" {
		t.Errorf("Apply: %v", err)
	}
	must(t, h.Undo(t.Context(), req, change, nobodyListens{}))
	if after := k.seen("secrets")(t); after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}

// A Secret may have the longest name that there is.
func TestKubernetesApplyKeepsASecretOfALongName(t *testing.T) {
	k := freshKube(t)
	name := strings.Repeat("a.", 126) + "b"
	k.make("secrets", "{metadata: {name: "+name+"}, data: {key: YWE=}}")
	before := k.seen("secrets")(t)
	step := k.applied("step", "{apiVersion: v1, kind: Secret, metadata: {name: "+name+"}, data: {key: YmI=}}")
	step.undo(t)
	if after := k.seen("secrets")(t); after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}

const webManifest = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, " +
	"spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}}"

// What the files hold only since the plan is not sent: nobody has agreed to it.
func TestKubernetesApplySendsWhatWasPlanned(t *testing.T) {
	const planned, secret = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {key: a}}", "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {key: a}}"
	for name, c := range map[string]struct{ planned, now string }{
		"another value":         {planned, strings.Replace(planned, "key: a", "key: b", 1)},
		"another secret":        {secret, strings.Replace(secret, "key: a", "key: b", 1)},
		"another namespace":     {planned, strings.Replace(planned, "name: a", "name: a, namespace: default", 1)},
		"another version":       {webManifest, strings.Replace(webManifest, "apps/v1", "apps/v1beta1", 1)},
		"nothing but the order": {planned, "# The same.\n{data: {key: a}, metadata: {name: a}, kind: ConfigMap, apiVersion: v1}"},
	} {
		t.Run(name, func(t *testing.T) {
			k := freshKube(t)
			file := t.TempDir() + "/a.yaml"
			must(t, os.WriteFile(file, []byte(c.planned), 0o600))
			h, req, change := plannedAs(t, "step", "kubernetes_apply", k.config(config{"files": texts(file), "namespace": cty.StringVal(kubeSpace)}))
			must(t, os.WriteFile(file, []byte(c.now), 0o600))
			_, err := h.Apply(t.Context(), req, change, nobodyListens{})
			if name == "nothing but the order" {
				must(t, err)
				return
			}
			if err == nil || !strings.Contains(err.Error(), "no longer hold what was planned") || engine.HintOf(err) == "" {
				t.Errorf("Apply: %v", err)
			}
			if got := k.seen("configmaps", "secrets", "apps/deployments")(t); got != "" {
				t.Errorf("there is %s", got)
			}
		})
	}
}

// By a digest nobody can find out what a Secret holds with a table made once for
// all runs. A plan that no run follows needs none.
func TestKubernetesApplySaltsDigests(t *testing.T) {
	h, req, _ := planned(t, "kubernetes_apply", applyNew(t).Config)
	seen := map[string]bool{}
	for _, id := range []string{"one", "two", engine.PlannedRunID} {
		req.Run.ID = id
		change, err := h.Plan(t.Context(), req)
		must(t, err)
		var record struct{ Objects []struct{ Digest string } }
		must(t, change.GetData(&record))
		for _, o := range record.Objects {
			if (o.Digest == "") != (id == engine.PlannedRunID) || o.Digest != "" && seen[o.Digest] {
				t.Errorf("run %s: digest %q", id, o.Digest)
			}
			seen[o.Digest] = true
		}
	}
}

// Records made before there were digests have none.
func TestKubernetesApplyGoesOnFromARecordWithoutDigests(t *testing.T) {
	scene := applyNew(t)
	h, req, change := planned(t, "kubernetes_apply", scene.Config)
	var record map[string]any
	must(t, change.GetData(&record))
	for _, o := range record["objects"].([]any) {
		delete(o.(map[string]any), "digest")
	}
	must(t, change.SetData(record))
	_, err := h.Apply(t.Context(), req, change, nobodyListens{})
	must(t, err)
	scene.Applied(t)
}

// A restart waits until new pods serve, and says what is missing.
func TestKubernetesRestartWaits(t *testing.T) {
	k := served(t)
	c := k.config(config{"workloads": texts(kubeSpace + "/deployment/web"), "timeout_seconds": cty.NumberIntVal(1)})
	h, req, change := planned(t, "kubernetes_restart", c)
	_, err := h.Apply(t.Context(), req, change, nobodyListens{})
	if err == nil || !strings.Contains(err.Error(), "deployment contract/web: its controller has seen generation 1 of 2") {
		t.Errorf("Apply: %v", err)
	}
	k.do(http.MethodPatch, space("apps/deployments")+"/web/status", "status: {observedGeneration: 2}")
	_, err = h.Apply(t.Context(), req, change, nobodyListens{})
	must(t, err)
	if again, err := h.Plan(t.Context(), req); err != nil || !again.Empty() {
		t.Errorf("then %+v, %v", again.Items, err)
	}
}
