package actions_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

// node makes the node n1, which is ready and whose kubelet gave its last sign
// at a time.
func (k kube) node(sign time.Time) {
	k.t.Helper()
	for _, path := range []string{"/api/v1/nodes/n1", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1"} {
		if err := k.try(http.MethodDelete, path, "", nil); statusOf(err) != http.StatusNotFound {
			must(k.t, err)
		}
	}
	k.do(http.MethodPost, "/api/v1/nodes", "metadata: {name: n1}")
	k.do(http.MethodPatch, "/api/v1/nodes/n1/status", `status: {conditions: [{type: Ready, status: "True", reason: KubeletReady}]}`)
	k.do(http.MethodPost, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
		fmt.Sprintf("{metadata: {name: n1}, spec: {holderIdentity: n1, renewTime: %q}}", sign.UTC().Format("2006-01-02T15:04:05.000000Z")))
}

// pod makes a pod of the deployment web on n1.
func (k kube) pod(name, status string) {
	k.t.Helper()
	k.make("pods", "{metadata: {name: "+name+", labels: {app: web}}, spec: {nodeName: n1, containers: [{name: web, image: web}]}}")
	k.do(http.MethodPatch, space("pods")+"/"+name+"/status", "status: "+status)
}

const (
	servingPod = `{phase: Running, conditions: [{type: Ready, status: "True"}]}`
	pullingPod = `{phase: Pending, conditions: [{type: Ready, status: "False", reason: ContainersNotReady}],
		containerStatuses: [{name: web, image: web, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: "Back-off pulling image web"}}}]}`
)

// served makes the deployment web with two pods, as it is once all is well.
func served(t *testing.T) kube {
	k := freshKube(t)
	k.node(time.Now())
	k.make("apps/deployments", webDeployment)
	k.do(http.MethodPatch, space("apps/deployments")+"/web/status",
		"status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2}")
	k.pod("web-1", servingPod)
	k.pod("web-2", servingPod)
	return k
}

func (k kube) looks(c config) contract.Scene {
	return contract.Scene{Config: k.config(c), Observe: k.seen("configmaps", "secrets", "pods")}
}

// hasty sets what makes a wait fail at once.
func hasty(change func(*testing.T, kube, config)) func(*testing.T, config) {
	return func(t *testing.T, c config) {
		server, err := kubeServer()
		must(t, err)
		c["timeout_seconds"] = cty.NumberIntVal(1)
		change(t, kube{t, server}, c)
	}
}

func give(attribute string, v cty.Value) func(*testing.T, kube, config) {
	return func(_ *testing.T, _ kube, c config) { c[attribute] = v }
}

// failsToConnect is what every action meets that looks only when it is carried
// out.
func failsToConnect(attribute string) []contract.Bad {
	return []contract.Bad{
		{Name: "no kubeconfig", Set: set("kubeconfig", "/no/such"), Attribute: "kubeconfig", Message: "no such file"},
		{Name: "stranger", Set: set("context", "stranger"), Attribute: "kubeconfig", Message: "Unauthorized"},
		{Name: "API server is down", Attribute: attribute, Message: "connection refused",
			Set: hasty(func(t *testing.T, _ kube, c config) { apiDown(t, c) })},
	}
}

func badTime() []contract.Bad {
	return []contract.Bad{
		{Name: "time", Set: setTo("timeout_seconds", cty.NumberIntVal(0)), Attribute: "timeout_seconds", Message: "whole number"},
		{Name: "relative kubeconfig", Set: set("kubeconfig", "admin.conf"), Attribute: "kubeconfig", Message: "must be absolute"},
	}
}

func readyScene(t *testing.T) contract.Scene { return served(t).looks(nil) }

func failingReady() []contract.Bad {
	return append(failsToConnect(""), []contract.Bad{
		{Name: "no such node", Set: hasty(give("nodes", texts("n2", "n1"))), Message: "1 of 2 nodes are ready; node n2: it is not registered"},
		{Name: "not ready", Message: "node n1: not ready: KubeletNotReady: no CNI", Set: hasty(func(_ *testing.T, k kube, _ config) {
			k.do(http.MethodPatch, "/api/v1/nodes/n1/status", `status: {conditions: [{type: Ready, status: "False", reason: KubeletNotReady, message: no CNI}]}`)
		})},
		{Name: "as old as the snapshot", Message: "its kubelet gave its last sign", Set: hasty(func(_ *testing.T, k kube, _ config) {
			k.node(time.Now().Add(-time.Hour))
		})},
		{Name: "forbidden", Set: hasty(give("context", cty.StringVal("nobody"))), Message: "nodes is forbidden"},
	}...)
}

func podsWait(attribute string, v cty.Value) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		return served(t).looks(config{"kind": cty.StringVal("Pod"), "namespace": cty.StringVal(kubeSpace), "selector": cty.StringVal("app=web"), attribute: v})
	}
}

func badPodsWait() []contract.Bad {
	return append(badTime(), []contract.Bad{
		{Name: "nothing", Set: setTo("condition", cty.NullVal(cty.String)), Attribute: "kind", Message: "nothing to wait for"},
		{Name: "two", Set: setTo("gone", cty.True), Attribute: "gone", Message: "both set"},
		{Name: "name and selector", Set: set("name", "web-1"), Attribute: "selector", Message: "both set"},
		{Name: "selector", Set: set("selector", "a=b=c"), Attribute: "selector", Message: "found"},
		{Name: "condition", Set: set("condition", "=True"), Attribute: "condition", Message: "is written"},
		{Name: "field alone", Set: func(_ *testing.T, c config) { delete(c, "condition"); c["field"] = cty.StringVal("{.a}") }, Attribute: "value", Message: "go together"},
		{Name: "field", Set: set("field", ".a"), Attribute: "field", Message: "in braces"},
		{Name: "count of a name", Attribute: "count", Message: "one object at most", Set: func(_ *testing.T, c config) {
			delete(c, "condition")
			delete(c, "selector")
			c["name"], c["count"] = cty.StringVal("web-1"), cty.NumberIntVal(1)
		}},
		{Name: "only ready", Set: setTo("only_ready", cty.True), Attribute: "only_ready", Message: "count isn't set"},
	}...)
}

func failingPodsWait() []contract.Bad {
	return append(failsToConnect("condition"), []contract.Bad{
		{Name: "not so", Attribute: "condition", Message: "1 of 2 are so; pod contract/web-2: Ready is False; ContainersNotReady",
			Set: hasty(func(_ *testing.T, k kube, _ config) {
				k.do(http.MethodPatch, space("pods")+"/web-2/status", "status: "+pullingPod)
			})},
		{Name: "no such condition", Set: hasty(give("condition", cty.StringVal("Odd"))), Attribute: "condition", Message: "it has no condition Odd"},
		{Name: "none", Set: hasty(give("selector", cty.StringVal("app=none"))), Attribute: "condition", Message: "there is none"},
		{Name: "unknown kind", Set: hasty(give("kind", cty.StringVal("Pud"))), Attribute: "condition", Message: "knows no kind Pud of v1"},
		{Name: "no namespace", Attribute: "namespace", Message: "none is set", Set: func(_ *testing.T, c config) {
			delete(c, "namespace")
			delete(c, "selector")
			c["name"] = cty.StringVal("web-1")
		}},
	}...)
}

func waitForField(t *testing.T) contract.Scene {
	return served(t).looks(config{"kind": cty.StringVal("Pod"), "namespace": cty.StringVal(kubeSpace), "name": cty.StringVal("web-1"),
		"field": cty.StringVal("{.status.phase}"), "value": cty.StringVal("Running")})
}

func failingField() []contract.Bad {
	return []contract.Bad{
		{Name: "value", Set: hasty(give("value", cty.StringVal("Failed"))), Attribute: "field", Message: `{.status.phase} = "Running"`},
		{Name: "absent", Set: hasty(give("field", cty.StringVal("{.status.nothing}"))), Attribute: "field", Message: `{.status.nothing} = ""`},
	}
}

func failingCount() []contract.Bad {
	return []contract.Bad{
		{Name: "three", Set: hasty(give("count", cty.NumberIntVal(3))), Attribute: "count", Message: "there are 2"},
		{Name: "ready", Attribute: "count", Message: "1 of 2 are ready; pod contract/web-2: ImagePullBackOff: Back-off pulling image web",
			Set: hasty(func(_ *testing.T, k kube, c config) {
				c["only_ready"] = cty.True
				k.do(http.MethodPatch, space("pods")+"/web-2/status", "status: "+pullingPod)
			})},
	}
}

func waitForNone(t *testing.T) contract.Scene {
	return served(t).looks(config{"kind": cty.StringVal("ConfigMap"), "namespace": cty.StringVal(kubeSpace), "name": cty.StringVal("old"), "gone": cty.True})
}

func failingGone() []contract.Bad {
	return []contract.Bad{
		{Name: "there", Attribute: "gone", Message: "configmap contract/old is there", Set: hasty(func(_ *testing.T, k kube, _ config) {
			k.make("configmaps", "metadata: {name: old}")
		})},
	}
}

func waitForRollout(t *testing.T) contract.Scene {
	return served(t).looks(config{"api_version": cty.StringVal("apps/v1"), "kind": cty.StringVal("Deployment"), "namespace": cty.StringVal(kubeSpace), "rollout": cty.True})
}

func badRollout() []contract.Bad {
	return []contract.Bad{{Name: "kind", Set: set("kind", "Job"), Attribute: "rollout", Message: "isn't rolled out"}}
}

func failingRollout() []contract.Bad {
	status := func(text string) func(*testing.T, config) {
		return hasty(func(_ *testing.T, k kube, _ config) {
			k.do(http.MethodPatch, space("apps/deployments")+"/web/status", "status: "+text)
		})
	}
	return []contract.Bad{
		{Name: "a status that lies", Attribute: "rollout", Message: "1 of 2 pods are ready; pod contract/web-2: ImagePullBackOff: Back-off",
			Set: hasty(func(_ *testing.T, k kube, _ config) {
				k.do(http.MethodPatch, space("pods")+"/web-2/status", "status: "+pullingPod)
			})},
		{Name: "a node that is gone", Attribute: "rollout", Message: "0 of 2 pods are ready; pod contract/web-2: node n1: its kubelet gave its last sign",
			Set: hasty(func(_ *testing.T, k kube, _ config) { k.node(time.Now().Add(-time.Hour)) })},
		{Name: "unavailable", Attribute: "rollout", Message: "1 of 2 updated replicas are available", Set: status("{availableReplicas: 1}")},
		{Name: "stuck", Attribute: "rollout", Message: "ProgressDeadlineExceeded", Set: status(
			`{conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded, message: it is stuck}]}`)},
		{Name: "no controller", Attribute: "rollout", Message: "its controller has seen generation 1 of 2",
			Set: hasty(func(_ *testing.T, k kube, _ config) {
				k.do(http.MethodPatch, space("apps/deployments")+"/web", "spec: {replicas: 3}")
			})},
	}
}

// reader makes a role that reads one secret, of one service account.
func reader(t *testing.T) kube {
	k := freshKube(t)
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + kubeSpace
	for path, manifest := range map[string]string{
		"/roles":        "{metadata: {name: reader}, rules: [{apiGroups: [''], resources: [secrets], resourceNames: [db], verbs: [get]}]}",
		"/rolebindings": "{metadata: {name: reader}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{kind: ServiceAccount, name: payment, namespace: contract}]}",
	} {
		if err := k.try(http.MethodPost, rbac+path, manifest, nil); statusOf(err) != http.StatusConflict {
			must(t, err)
		}
	}
	return k
}

func accessScene(t *testing.T) contract.Scene {
	return reader(t).looks(config{"service_account": cty.StringVal(kubeSpace + ":payment"), "verb": cty.StringVal("get"),
		"resource": cty.StringVal("secrets"), "namespace": cty.StringVal(kubeSpace), "name": cty.StringVal("db")})
}

func refusedScene(t *testing.T) contract.Scene {
	return reader(t).looks(config{"user": cty.StringVal("eve"), "verb": cty.StringVal("create"), "resource": cty.StringVal("deployments.apps"), "expect": cty.False})
}

func badAccess() []contract.Bad {
	return append(badTime(), []contract.Bad{
		{Name: "account", Set: set("service_account", "payment"), Attribute: "service_account", Message: "NAMESPACE:NAME"},
		{Name: "two", Set: set("user", "eve"), Attribute: "user", Message: "either user or service_account"},
		{Name: "groups", Set: setTo("groups", texts("a")), Attribute: "groups", Message: "by itself"},
	}...)
}

func failingAccess() []contract.Bad {
	return append(failsToConnect("expect"), []contract.Bad{
		{Name: "refused", Set: hasty(give("name", cty.StringVal("other"))), Attribute: "expect", Message: "last seen: it is refused"},
	}...)
}

func failingRefusal() []contract.Bad {
	return []contract.Bad{
		{Name: "allowed", Set: hasty(give("groups", texts("system:masters"))), Attribute: "expect", Message: "last seen: it is allowed"},
	}
}

func compareKube(t *testing.T) contract.Scene {
	return served(t).looks(config{"expect": cty.MapVal(config{
		"pods/contract": cty.NumberIntVal(2), "deployments.apps/contract": cty.NumberIntVal(1), "nodes/": cty.NumberIntVal(1), "events/contract": cty.NumberIntVal(99),
	})})
}

func badCompareKube() []contract.Bad {
	return append(badTime(), []contract.Bad{
		{Name: "key", Set: setTo("expect", cty.MapVal(config{"pods": cty.NumberIntVal(1)})), Attribute: "expect", Message: "RESOURCE.GROUP/NAMESPACE"},
		{Name: "number", Set: setTo("expect", cty.MapVal(config{"pods/a": cty.NumberIntVal(-1)})), Attribute: "expect", Message: "whole number"},
	}...)
}

func failingCompareKube() []contract.Bad {
	three := cty.MapVal(config{"pods/contract": cty.NumberIntVal(3), "things.example.com/": cty.NumberIntVal(1)})
	one := cty.MapVal(config{"pods/contract": cty.NumberIntVal(1)})
	return append(failsToConnect("expect"), []contract.Bad{
		{Name: "missing", Set: hasty(give("expect", three)), Attribute: "expect", Message: "pods/contract: 2 of 3, things.example.com/: 0 of 1"},
		{Name: "too many", Attribute: "expect", Message: "pods/contract: 2 of 1", Set: hasty(func(_ *testing.T, _ kube, c config) {
			c["expect"], c["exact"] = one, cty.True
		})},
	}...)
}

func execScene(t *testing.T) contract.Scene {
	return served(t).looks(config{"namespace": cty.StringVal(kubeSpace), "selector": cty.StringVal("app=web"), "command": texts("true")})
}

func badExec() []contract.Bad {
	return append(badTime(), []contract.Bad{
		{Name: "no command", Set: setTo("command", cty.ListValEmpty(cty.String)), Attribute: "command", Message: "name a program"},
		{Name: "two", Set: set("pod", "web-1"), Attribute: "pod", Message: "either pod or selector"},
		{Name: "pattern", Set: set("output_matches", "("), Attribute: "output_matches", Message: "missing closing"},
	}...)
}

func failingExec() []contract.Bad {
	return []contract.Bad{
		{Name: "no kubeconfig", Set: set("kubeconfig", "/no/such"), Attribute: "kubeconfig", Message: "no such file"},
		{Name: "API server is down", Set: apiDown, Attribute: "kubeconfig", Message: "connection refused"},
		{Name: "no kubelet", Message: "no preferred addresses found", Set: hasty(func(*testing.T, kube, config) {})},
		{Name: "no such pod", Set: set("selector", "app=none"), Attribute: "selector", Message: "there is none"},
		{Name: "not ready", Attribute: "selector", Message: "none is ready: pod contract/web-1: ImagePullBackOff", Set: hasty(func(_ *testing.T, k kube, _ config) {
			for _, name := range []string{"web-1", "web-2"} {
				k.do(http.MethodPatch, space("pods")+"/"+name+"/status", "status: "+pullingPod)
			}
		})},
	}
}
