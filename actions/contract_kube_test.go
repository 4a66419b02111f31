package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
	"runbook/test/kubeapi"
)

func kubeCases() []contract.Case {
	return []contract.Case{
		{Name: "new objects", Action: "kubernetes_apply", Syscalls: sendCalls, Setup: applyNew, Bad: badApply()},
		{Name: "over what is there", Action: "kubernetes_apply", Syscalls: sendCalls, Setup: applyOver, Bad: badApplyOver()},
		{Name: "a workload", Action: "kubernetes_restart", Syscalls: sendCalls, Setup: restartScene, Bad: badRestart()},
		{Name: "with a node", Action: "kubernetes_ready", Setup: readyScene, Bad: badTime(), Fails: failingReady()},
		{Name: "a condition", Action: "kubernetes_wait", Setup: podsWait("condition", cty.StringVal("Ready")), Bad: badPodsWait(), Fails: failingPodsWait()},
		{Name: "a field", Action: "kubernetes_wait", Setup: waitForField, Fails: failingField()},
		{Name: "a count", Action: "kubernetes_wait", Setup: podsWait("count", cty.NumberIntVal(2)), Fails: failingCount()},
		{Name: "nothing left", Action: "kubernetes_wait", Setup: waitForNone, Fails: failingGone()},
		{Name: "a rollout", Action: "kubernetes_wait", Setup: waitForRollout, Bad: badRollout(), Fails: failingRollout()},
		{Name: "a service account", Action: "kubernetes_access", Setup: accessScene, Bad: badAccess(), Fails: failingAccess()},
		{Name: "what must be refused", Action: "kubernetes_access", Setup: refusedScene, Fails: failingRefusal()},
		{Name: "against what was", Action: "kubernetes_compare", Setup: compareKube, Bad: badCompareKube(), Fails: failingCompareKube()},
		{Name: "where no kubelet runs", Action: "kubernetes_exec", AlwaysFails: true, Setup: execScene, Bad: badExec(), Fails: failingExec()},
	}
}

// kubeServer is the API server that all of these tests share. It ends with the
// host.
var kubeServer = sync.OnceValues(func() (*kubeapi.Server, error) {
	dir, err := os.MkdirTemp("", "kubeapi")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	return kubeapi.Start(ctx, dir)
})

// kube is the API server in one scene.
type kube struct {
	t      *testing.T
	server *kubeapi.Server
}

// kubeSpace is the namespace of all scenes.
const kubeSpace = "contract"

// freshKube empties the namespace of scenes.
func freshKube(t *testing.T) kube {
	t.Helper()
	server, err := kubeServer()
	must(t, err)
	k := kube{t, server}
	if err := k.try(http.MethodPost, "/api/v1/namespaces", "metadata: {name: "+kubeSpace+"}", nil); statusOf(err) != http.StatusConflict {
		must(t, err)
	}
	for _, path := range []string{"configmaps", "secrets", "pods", "apps/deployments"} {
		k.do(http.MethodDelete, space(path), "gracePeriodSeconds: 0")
	}
	return k
}

func statusOf(err error) int {
	if e := (*kubeapi.Error)(nil); errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// space is the path of a resource in the namespace of scenes.
func space(path string) string {
	if group, resource, ok := strings.Cut(path, "/"); ok && group == "apps" {
		return "/apis/apps/v1/namespaces/" + kubeSpace + "/" + resource
	}
	return "/api/v1/namespaces/" + kubeSpace + "/" + path
}

func (k kube) try(method, path, body string, out any) error {
	return k.server.Do(context.WithoutCancel(k.t.Context()), method, path, body, out)
}

func (k kube) do(method, path, body string) {
	k.t.Helper()
	must(k.t, k.try(method, path, body, nil))
}

func (k kube) make(path, manifest string) {
	k.t.Helper()
	k.do(http.MethodPost, space(path), manifest)
}

// config is a step's configuration with what all of them need.
func (k kube) config(more config) config {
	c := config{"kubeconfig": cty.StringVal(k.server.Kubeconfig)}
	for name, v := range more {
		c[name] = v
	}
	return c
}

// seen describes objects by what a user sees of them.
func (k kube) seen(paths ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		var all []string
		for _, path := range paths {
			var list struct {
				Items []struct {
					Metadata struct {
						Name                string
						Labels, Annotations map[string]string
					}
					Data map[string]string
					Type string
				}
			}
			must(t, k.try(http.MethodGet, space(path), "", &list))
			for _, it := range list.Items {
				text, err := json.Marshal(it)
				must(t, err)
				all = append(all, path+" "+string(text))
			}
		}
		return strings.Join(all, "\n")
	}
}

const newObjects = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  colour: blue
---
# A comment alone.
---
apiVersion: v1
kind: Secret
metadata:
  name: password
  namespace: contract
stringData:
  password: hunter2
`

func applyNew(t *testing.T) contract.Scene {
	k := freshKube(t)
	return contract.Scene{
		Config:  k.config(config{"manifests": cty.StringVal(newObjects), "namespace": cty.StringVal(kubeSpace)}),
		Observe: k.seen("configmaps", "secrets"),
		Applied: func(t *testing.T) {
			if got := k.seen("configmaps", "secrets")(t); !strings.Contains(got, `"colour":"blue"`) || !strings.Contains(got, "aHVudGVyMg==") {
				t.Errorf("applied: %s", got)
			}
		},
	}
}

// applyOver changes what others have made: of a map one value and one new one,
// a secret, and nothing of what is so already.
func applyOver(t *testing.T) contract.Scene {
	k := freshKube(t)
	k.make("configmaps", "{metadata: {name: settings, labels: {app: web}}, data: {colour: red, size: large}}")
	k.make("configmaps", "{metadata: {name: same}, data: {a: b}}")
	k.make("secrets", "{metadata: {name: password}, stringData: {password: old, user: me}}")
	manifests := `{apiVersion: v1, kind: List, items: [
		{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, annotations: {by: runbook}}, data: {colour: blue, new: "yes"}},
		{apiVersion: v1, kind: ConfigMap, metadata: {name: same}, data: {a: b}},
		{apiVersion: v1, kind: Secret, metadata: {name: password}, data: {password: aHVudGVyMg==}}]}`
	return contract.Scene{
		Config:  k.config(config{"manifests": cty.StringVal(manifests), "namespace": cty.StringVal(kubeSpace), "force": cty.True}),
		Observe: k.seen("configmaps", "secrets"),
		Applied: func(t *testing.T) {
			got := k.seen("configmaps", "secrets")(t)
			for _, want := range []string{`"colour":"blue"`, `"size":"large"`, `"new":"yes"`, "aHVudGVyMg==", "password.before-20260102-030405-abcd"} {
				if !strings.Contains(got, want) {
					t.Errorf("there is no %s in %s", want, got)
				}
			}
		},
	}
}

func badKubeconfig() []contract.Bad {
	return []contract.Bad{
		{Name: "relative kubeconfig", Set: set("kubeconfig", "admin.conf"), Attribute: "kubeconfig", Message: "must be absolute"},
		{Name: "no kubeconfig", Set: set("kubeconfig", "/no/such"), Attribute: "kubeconfig", Message: "no such file"},
		{Name: "no kubeconfig at all", Set: set("kubeconfig", "/etc/passwd"), Attribute: "kubeconfig", Message: "can't be used"},
		{Name: "no context", Set: set("context", "nowhere"), Attribute: "context", Message: `has no context "nowhere"`},
		{Name: "stranger", Set: set("context", "stranger"), Attribute: "kubeconfig", Message: "Unauthorized"},
		{Name: "nobody", Set: set("context", "nobody"), Attribute: "kubeconfig", Message: "forbidden"},
		{Name: "API server is down", Set: apiDown, Attribute: "kubeconfig", Message: "the API server doesn't answer: dial tcp 127.0.0.1:1: connect: connection refused"},
	}
}

// apiDown makes a kubeconfig of an API server that is down.
func apiDown(t *testing.T, c config) {
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: %q}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}", "https://127.0.0.1:1")
	path := t.TempDir() + "/admin.conf"
	must(t, os.WriteFile(path, []byte(text), 0o600))
	c["kubeconfig"] = cty.StringVal(path)
}

func badApply() []contract.Bad {
	manifest := func(text string) func(*testing.T, config) { return set("manifests", text) }
	return append(badKubeconfig(), []contract.Bad{
		{Name: "nothing", Set: setTo("manifests", cty.NullVal(cty.String)), Attribute: "manifests", Message: "nothing to apply"},
		{Name: "comments", Set: manifest("# none"), Attribute: "manifests", Message: "hold no object"},
		{Name: "no YAML", Set: manifest("a: b: c"), Attribute: "manifests", Message: "document 1 is no manifest"},
		{Name: "a key twice", Set: manifest("kind: A\nkind: B"), Attribute: "manifests", Message: "already set in map"},
		{Name: "no name", Set: manifest("{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a}}"), Attribute: "manifests", Message: "has no metadata.name"},
		{Name: "twice", Set: manifest(newObjects + "---\n" + newObjects), Attribute: "manifests", Message: "hold it twice"},
		{Name: "unknown kind", Set: manifest("{apiVersion: no.such/v1, kind: Thing, metadata: {name: a}}"), Attribute: "manifests", Message: "knows no kind Thing of no.such/v1"},
		{Name: "unknown field", Set: manifest("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, datum: {}}"), Attribute: "manifests", Message: "datum"},
		{Name: "no namespace", Set: set("namespace", "no-such"), Attribute: "manifests", Message: `namespaces "no-such" not found`},
		{Name: "no file", Set: setTo("files", cty.ListVal([]cty.Value{cty.StringVal("/no/such")})), Attribute: "files", Message: "can't be read"},
		{Name: "relative file", Set: setTo("files", cty.ListVal([]cty.Value{cty.StringVal("a.yaml")})), Attribute: "files", Message: "must be absolute"},
	}...)
}

func badApplyOver() []contract.Bad {
	return []contract.Bad{
		{Name: "fields of others", Set: setTo("force", cty.False), Attribute: "manifests", Message: "conflict"},
	}
}

const webDeployment = `{metadata: {name: web, labels: {app: web}}, spec: {replicas: 2, selector: {matchLabels: {app: web}},
	template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}}`

func restartScene(t *testing.T) contract.Scene {
	k := freshKube(t)
	k.make("apps/deployments", webDeployment)
	return contract.Scene{
		Config: k.config(config{"wait": cty.False, "workloads": texts(kubeSpace+"/deployment/web", kubeSpace+"/deployment/*")}),
		// A restart can't be undone, so it only counts.
		Observe: func(*testing.T) string { return "" },
		Count: func(t *testing.T) string {
			var got struct{ Metadata struct{ Generation int } }
			must(t, k.try(http.MethodGet, space("apps/deployments")+"/web", "", &got))
			return fmt.Sprintf("generation %d", got.Metadata.Generation)
		},
	}
}

func badRestart() []contract.Bad {
	return append(badKubeconfig(), []contract.Bad{
		{Name: "form", Set: setTo("workloads", texts("web")), Attribute: "workloads", Message: "NAMESPACE/KIND/NAME"},
		{Name: "kind", Set: setTo("workloads", texts("a/pod/web")), Attribute: "workloads", Message: "can't be restarted so"},
		{Name: "none", Set: setTo("workloads", texts(kubeSpace+"/daemonset/web")), Attribute: "workloads", Message: "there is none"},
		{Name: "paused", Attribute: "workloads", Message: "is paused", Set: func(t *testing.T, _ config) {
			server, err := kubeServer()
			must(t, err)
			kube{t, server}.do(http.MethodPatch, space("apps/deployments")+"/web", "spec: {paused: true}")
		}},
	}...)
}
