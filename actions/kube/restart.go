package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"runbook/engine"
)

func restartSpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_restart",
		Doc: "Restarts the pods of workloads, as kubectl rollout restart does: after a restore they may hold on to what they watched before it. " +
			"Workloads are Deployments, StatefulSets and DaemonSets. Static pods, those of the control plane among them, are no workload: static_pod_move restarts them, and systemd_unit the kubelet. " +
			"Each gets an annotation that names the run and the step, so that it is restarted once, whenever the step is carried out. " +
			"Where an earlier step of the runbook changes anything, the plan of this step is known after that one only.",
		Attributes: append(append(connectionAttributes(),
			engine.Attribute{Name: "workloads", Type: cty.List(cty.String), Required: true, Check: checkWorkloads,
				Doc: `What to restart, as "NAMESPACE/KIND/NAME": "kube-system/daemonset/kube-proxy"; "kube-system/deployment/*" are all Deployments in there.`},
			engine.Attribute{Name: "wait", Type: cty.Bool, Default: cty.True, Doc: "Whether to wait until all are rolled out, as kubernetes_wait does."}),
			waitingAttributes(600)...),
		Results: []engine.Attribute{
			{Name: "restarted", Type: cty.List(cty.String), Doc: `What was restarted, as "daemonset kube-system/kube-proxy".`},
		},
		Example: `step "kubernetes_restart" "old_watches" {
  workloads = ["kube-system/daemonset/kube-proxy", "kube-system/deployment/coredns"]
}`,
		New: func() engine.Action { return new(restart) },
	}
}

type restart struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Workloads  []string `cty:"workloads"`
	Wait       bool     `cty:"wait"`
	Timeout    int64    `cty:"timeout_seconds"`
	Interval   int64    `cty:"interval_seconds"`
}

var _ engine.Action = (*restart)(nil)

// restartedAt is the annotation by which kubectl restarts as well.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// restarted is one workload in kubernetes_restart's Change.Data.
type restarted struct {
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

func (w restarted) place() string { return place(w.Kind, w.Namespace, w.Name) }

// restarts is the action's Change.Data. Value is what the annotation is set
// to: a workload that has it has been restarted by this step.
type restarts struct {
	Value     string      `json:"value"`
	Workloads []restarted `json:"workloads"`
}

// workloadResources are the kinds that can be restarted, by the names that
// they go by.
var workloadResources = map[string]resource{
	"deployment": workloadResource("deployments", "Deployment"), "statefulset": workloadResource("statefulsets", "StatefulSet"),
	"daemonset": workloadResource("daemonsets", "DaemonSet"),
}

func workloadResource(name, kind string) resource { return known("apps", name, kind, true) }

func checkWorkloads(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("it must not be empty")
	}
	return each(v, func(s string) error {
		p := strings.Split(s, "/")
		if len(p) != 3 || p[0] == "" || p[2] == "" {
			return fmt.Errorf(`%q is not of the form "NAMESPACE/KIND/NAME"`, s)
		}
		if _, ok := workloadResources[strings.ToLower(p[1])]; !ok {
			return fmt.Errorf(`%q can't be restarted so: the kind is deployment, statefulset or daemonset`, p[1])
		}
		return nil
	})
}

// Plan implements engine.Action.
func (a *restart) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	if step := w.Touched(); step != "" {
		return engine.Change{}, &engine.UnknownError{Step: step}
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return engine.Change{}, err
	}
	rec := restarts{Value: valueOf(w.Run())}
	var c engine.Change
	names := []string{}
	for _, entry := range a.Workloads {
		list, err := cli.workloads(ctx, entry)
		if err != nil {
			return engine.Change{}, err
		}
		for _, u := range list {
			one := restarted{u.GetKind(), u.GetNamespace(), u.GetName(), u.GetUID()}
			if slices.Contains(rec.Workloads, one) || annotationOf(u) == rec.Value {
				continue
			}
			if err := restartable(u); err != nil {
				return engine.Change{}, err
			}
			rec.Workloads = append(rec.Workloads, one)
			names = append(names, one.place())
			c.Items = append(c.Items, engine.Item{Target: one.place(), Attribute: "pods", Before: "running", After: "newly started"})
		}
	}
	if c.Results = (engine.Result{"restarted": names}); c.Empty() {
		return c, nil
	}
	c.Effects = []engine.Effect{{Elsewhere: "kubernetes"}}
	c.Irreversible = "a restart can't be taken back."
	if a.Wait {
		c.Checks = []string{"all of them are rolled out, within " + seconds(a.Timeout).String()}
	}
	return c, c.SetData(rec)
}

// valueOf is the same whenever the step is carried out in one run, and another
// in every other.
func valueOf(run engine.RunInfo) string {
	return fmt.Sprintf("%s by runbook %s, step %s", run.Started.UTC().Format(time.RFC3339), run.ID, run.Step)
}

// workloads finds what an entry of the list names.
func (c *client) workloads(ctx context.Context, entry string) ([]unstructured.Unstructured, error) {
	p := strings.Split(entry, "/")
	r := workloadResources[strings.ToLower(p[1])]
	name := p[2]
	if name == "*" {
		name = ""
	}
	list, err := c.find(ctx, r, p[0], name, "")
	if err != nil {
		return nil, failedAt(entry, "workloads", err)
	}
	if len(list) == 0 && name != "" {
		return nil, engine.Errorf(place(r.kind, p[0], name), "there is none").
			WithHint("List them with: kubectl get %s -n %s.", r.Resource, p[0]).WithAttribute("workloads")
	}
	for i := range list { // a list's objects may lack what the list says
		list[i].SetKind(r.kind)
	}
	return list, nil
}

func annotationOf(u unstructured.Unstructured) string {
	s, _, _ := unstructured.NestedString(u.Object, "spec", "template", "metadata", "annotations", restartedAt)
	return s
}

// restartable tells why a workload's pods would not be restarted, or nil.
func restartable(u unstructured.Unstructured) error {
	where := place(u.GetKind(), u.GetNamespace(), u.GetName())
	if paused, _, _ := unstructured.NestedBool(u.Object, "spec", "paused"); paused {
		return engine.Errorf(where, "its rollout is paused, so it can't be restarted").
			WithHint("Resume it with: kubectl rollout resume %s -n %s.", strings.ToLower(u.GetKind())+"/"+u.GetName(), u.GetNamespace()).WithAttribute("workloads")
	}
	if how, _, _ := unstructured.NestedString(u.Object, "spec", "updateStrategy", "type"); how == "OnDelete" {
		return engine.Errorf(where, "its pods are only replaced when somebody deletes them (updateStrategy OnDelete)").
			WithHint("Delete them one by one, or leave it out.").WithAttribute("workloads")
	}
	return nil
}

// Apply implements engine.Action.
func (a *restart) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var rec restarts
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	for _, w := range rec.Workloads {
		r.Progress(engine.Progress{Doing: "restarting " + w.place()})
		if err := cli.restart(ctx, w, rec.Value); err != nil {
			return nil, err
		}
	}
	if a.Wait {
		if err := a.await(ctx, cli, rec, r); err != nil {
			return nil, err
		}
	}
	return c.Results, nil
}

// restart sets the annotation. That it has that value already changes nothing.
func (c *client) restart(ctx context.Context, w restarted, value string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": w.UID}, // of this one, and of none that was made anew
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{restartedAt: value}}}},
	})
	if err != nil {
		return err
	}
	r := workloadResources[strings.ToLower(w.Kind)]
	_, err = r.in(c, w.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return engine.Errorf(w.place(), "it is gone, or another one by now: %w", worded{said(err), err}).
			WithHint("What was made anew needs no restart: resume with --skip.").WithAttribute("workloads")
	}
	if err != nil {
		return failed(w.place(), err)
	}
	return nil
}

func (a *restart) await(ctx context.Context, cli *client, rec restarts, r engine.Reporter) error {
	p := poll{what: "all that was restarted is rolled out", where: "kubernetes_restart", attribute: "workloads", timeout: a.Timeout, interval: a.Interval}
	_, _, err := p.until(ctx, r, func(ctx context.Context) (bool, string, error) {
		var all []unstructured.Unstructured
		for _, w := range rec.Workloads {
			list, err := cli.find(ctx, workloadResources[strings.ToLower(w.Kind)], w.Namespace, w.Name, "")
			if err != nil {
				return false, "", err
			}
			all = append(all, list...)
		}
		return cli.rolledOut(ctx, all)
	})
	return err
}

// Undo implements engine.Action; a restart can't be taken back.
func (a *restart) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
