package kube

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"
	corev1 "k8s.io/api/core/v1"

	"runbook/engine"
)

func eventsSpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "kubernetes_events",
		Doc: "The events of the last minutes, the newest first: what Kubernetes itself complains about. " +
			"That the API server doesn't answer is no error: reachable is then false, and error says why.",
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "namespace", Type: cty.String, Check: checkText, Doc: "The namespace; all where it isn't set."},
			engine.Attribute{Name: "minutes", Type: cty.Number, Default: cty.NumberIntVal(15), Check: checkPositive, Doc: "How far back to look, in minutes."},
			engine.Attribute{Name: "types", Type: cty.List(cty.String), Default: cty.ListVal([]cty.Value{cty.StringVal("Warning")}), Check: checkSome, Doc: `The types to list: "Warning", "Normal".`}),
		Results: append(answerResults(),
			engine.Attribute{Name: "events", Type: cty.List(cty.Object(map[string]cty.Type{
				"type": cty.String, "reason": cty.String, "message": cty.String, "object": cty.String, "count": cty.Number, "time": cty.String,
			})), Doc: "The events: type, reason, message, object (\"pod production/payment-1\"), count, and the time of the last one in RFC 3339. 200 at most."}),
		Example: `data "kubernetes_events" "warnings" {
  minutes = 30
}`,
		New: func() engine.DataSource { return new(events) },
	}
}

type events struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Namespace  *string  `cty:"namespace"`
	Minutes    int64    `cty:"minutes"`
	Types      []string `cty:"types"`
}

var _ engine.DataSource = (*events)(nil)

// most is how many events are listed.
const most = 200

type event struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Object  string `json:"object"`
	Count   int    `json:"count"`
	Time    string `json:"time"`
}

// Read implements engine.DataSource.
func (d *events) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	res := engine.Result{"events": []event{}}
	return answer(ctx, res, func(ctx context.Context) error {
		cli, err := connection{d.Kubeconfig, d.Context}.dial()
		if err != nil {
			return err
		}
		list, err := cli.list(ctx, eventsResource, deref(d.Namespace), "")
		if err != nil {
			return err
		}
		all, err := allTyped[corev1.Event](list)
		if err == nil {
			res["events"] = d.recent(all, time.Now())
		}
		return err
	})
}

func (d *events) recent(all []corev1.Event, now time.Time) []event {
	since := now.Add(-time.Duration(d.Minutes) * time.Minute)
	all = slices.DeleteFunc(all, func(e corev1.Event) bool { return lastSeen(e).Before(since) || !slices.Contains(d.Types, e.Type) })
	slices.SortFunc(all, func(a, b corev1.Event) int {
		return cmp.Or(lastSeen(b).Compare(lastSeen(a)), cmp.Compare(a.Name, b.Name))
	})
	out := []event{}
	for _, e := range all[:min(len(all), most)] {
		o := e.InvolvedObject
		out = append(out, event{e.Type, e.Reason, e.Message, place(o.Kind, o.Namespace, o.Name), max(int(e.Count), 1), lastSeen(e).UTC().Format(time.RFC3339)})
	}
	return out
}

// lastSeen is when an event last happened, which is told in one of four ways.
func lastSeen(e corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	if e.Series != nil {
		last = later(last, e.Series.LastObservedTime.Time)
	}
	return later(later(last, e.LastTimestamp.Time), e.EventTime.Time)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func podsSpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "kubernetes_pods",
		Doc: "The pods that neither serve nor have done their work, each with the reason. " +
			"A pod on a node that isn't ready counts among them, whatever its own status says. " +
			"That the API server doesn't answer is no error: reachable is then false, and error says why.",
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "namespace", Type: cty.String, Check: checkText, Doc: "The namespace; all where it isn't set."},
			engine.Attribute{Name: "selector", Type: cty.String, Check: checkSelector, Doc: "A label selector."}),
		Results: append(answerResults(),
			engine.Attribute{Name: "total", Type: cty.Number, Doc: "How many pods there are."},
			engine.Attribute{Name: "ready", Type: cty.Number, Doc: "How many of them serve."},
			engine.Attribute{Name: "troubled", Type: cty.Map(cty.String), Doc: `Why each of the others doesn't, by "NAMESPACE/NAME".`}),
		Example: `data "kubernetes_pods" "now" {
  namespace = "production"
}`,
		New: func() engine.DataSource { return new(podsData) },
	}
}

type podsData struct {
	Kubeconfig string  `cty:"kubeconfig"`
	Context    *string `cty:"context"`
	Namespace  *string `cty:"namespace"`
	Selector   *string `cty:"selector"`
}

var _ engine.DataSource = (*podsData)(nil)

// Read implements engine.DataSource.
func (d *podsData) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	res := engine.Result{"total": 0, "ready": 0, "troubled": map[string]string{}}
	return answer(ctx, res, func(ctx context.Context) error {
		cli, err := connection{d.Kubeconfig, d.Context}.dial()
		if err != nil {
			return err
		}
		pods, err := cli.pods(ctx, deref(d.Namespace), deref(d.Selector))
		if err != nil {
			return err
		}
		nodes, err := cli.nodeTroubles(ctx)
		if err == nil {
			maps.Copy(res, troubled(pods, nodes))
		}
		return err
	})
}

func troubled(pods []corev1.Pod, nodes map[string]string) engine.Result {
	ready, why := 0, map[string]string{}
	for _, p := range pods {
		text := podTrouble(p)
		if node := nodes[p.Spec.NodeName]; text == "" && node != "" && podReady(p) {
			text = fmt.Sprintf("node %s: %s", p.Spec.NodeName, node)
		}
		switch {
		case text != "":
			why[p.Namespace+"/"+p.Name] = text
		case podReady(p):
			ready++
		}
	}
	return engine.Result{"total": len(pods), "ready": ready, "troubled": why}
}
