package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"

	"runbook/engine"
)

func waitSpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_wait",
		Doc: "Waits until objects of Kubernetes are as they should be: the one that name names, those that selector selects, or all of the kind in the namespace. " +
			"Exactly one of condition, field, count, gone and rollout says what is waited for. " +
			"The API server is asked again and again rather than watched, so it may be restarted meanwhile. " +
			"A rollout is done where kubectl rollout status says so and where, beside that, every pod is ready on a node that is: after a restore the status of a workload may be as old as the snapshot. " +
			"A time-out says what was missing.",
		ReadOnly: true,
		Attributes: append(append(connectionAttributes(),
			engine.Attribute{Name: "api_version", Type: cty.String, Default: cty.StringVal("v1"), Check: checkText, Doc: `The kind's group and version: "v1", "apps/v1".`},
			engine.Attribute{Name: "kind", Type: cty.String, Required: true, Check: checkText, Doc: `The kind, as in a manifest: "Deployment".`},
			engine.Attribute{Name: "namespace", Type: cty.String, Check: checkText, Doc: "The namespace; with a selector or all objects, every namespace where it isn't set."},
			engine.Attribute{Name: "name", Type: cty.String, Check: checkText, Doc: "The object's name. Either this or selector may be set."},
			engine.Attribute{Name: "selector", Type: cty.String, Check: checkSelector, Doc: `A label selector, such as "app=payment,tier!=test".`},
			engine.Attribute{Name: "condition", Type: cty.String, Check: checkCondition, Doc: `A condition that every object has to have, as "TYPE" or "TYPE=STATUS": "Available", "Ready=False".`},
			engine.Attribute{Name: "field", Type: cty.String, Check: checkField, Doc: `A field of every object that has to have value, as a JSONPath: "{.status.phase}".`},
			engine.Attribute{Name: "value", Type: cty.String, Doc: "The text that field has to have."},
			engine.Attribute{Name: "count", Type: cty.Number, Check: checkCount, Doc: "How many objects there have to be, exactly."},
			engine.Attribute{Name: "only_ready", Type: cty.Bool, Default: cty.False, Doc: "Whether count counts only those with the condition Ready."},
			engine.Attribute{Name: "gone", Type: cty.Bool, Default: cty.False, Doc: "Whether there has to be no such object."},
			engine.Attribute{Name: "rollout", Type: cty.Bool, Default: cty.False, Doc: "Whether every object, a Deployment, StatefulSet or DaemonSet, has to be rolled out."}),
			waitingAttributes(300)...),
		Results: []engine.Attribute{
			{Name: "seen", Type: cty.String, Doc: "What was seen at last."},
			{Name: "names", Type: cty.List(cty.String), Doc: `The objects that were looked at, as "NAMESPACE/NAME" or "NAME".`},
			{Name: "seconds", Type: cty.Number, Doc: "How long it took."},
		},
		Example: `step "kubernetes_wait" "payment" {
  api_version = "apps/v1"
  kind        = "Deployment"
  namespace   = "production"
  name        = "payment"
  rollout     = true
}`,
		New: func() engine.Action { return new(wait) },
	}
}

type wait struct {
	Kubeconfig string  `cty:"kubeconfig"`
	Context    *string `cty:"context"`
	APIVersion string  `cty:"api_version"`
	Kind       string  `cty:"kind"`
	Namespace  *string `cty:"namespace"`
	Name       *string `cty:"name"`
	Selector   *string `cty:"selector"`
	Condition  *string `cty:"condition"`
	Field      *string `cty:"field"`
	Value      *string `cty:"value"`
	Count      *int    `cty:"count"`
	OnlyReady  bool    `cty:"only_ready"`
	Gone       bool    `cty:"gone"`
	Rollout    bool    `cty:"rollout"`
	Timeout    int64   `cty:"timeout_seconds"`
	Interval   int64   `cty:"interval_seconds"`
}

var _ engine.Action = (*wait)(nil)

func checkCondition(v cty.Value) error {
	if name, status, given := strings.Cut(v.AsString(), "="); name == "" || given && status == "" {
		return errors.New(`a condition is written "TYPE" or "TYPE=STATUS"`)
	}
	return nil
}

func checkField(v cty.Value) error {
	if !strings.HasPrefix(v.AsString(), "{") {
		return errors.New(`a JSONPath is written in braces: "{.status.phase}"`)
	}
	return jsonpath.New("field").Parse(v.AsString())
}

// goal is what is waited for.
type goal struct {
	attribute, text string
	look            func(context.Context, *client, []unstructured.Unstructured) (so bool, saw string, err error)
}

func (a *wait) goal() (goal, error) {
	var found []goal
	if a.Condition != nil {
		found = append(found, goal{"condition", "has " + *a.Condition, a.every(a.hasCondition)})
	}
	if a.Field != nil {
		found = append(found, goal{"field", fmt.Sprintf("has %s = %q", *a.Field, deref(a.Value)), a.every(a.hasField)})
	}
	if a.Count != nil {
		found = append(found, goal{"count", a.counted(), a.lookCount})
	}
	if a.Gone {
		found = append(found, goal{"gone", "is gone", lookGone})
	}
	if a.Rollout {
		found = append(found, goal{"rollout", "is rolled out", a.lookRollouts})
	}
	switch len(found) {
	case 1:
		return found[0], a.refuse()
	case 0:
		return goal{}, engine.Errorf("kubernetes_wait", "nothing to wait for is set").
			WithHint("Set one of condition, field, count, gone and rollout.").WithAttribute("kind")
	}
	return goal{}, engine.Errorf("kubernetes_wait", "%s and %s are both set", found[0].attribute, found[1].attribute).
		WithHint("Wait for one after the other, in two steps.").WithAttribute(found[1].attribute)
}

// refuse tells what doesn't go together.
func (a *wait) refuse() error {
	wrong := func(attribute, message, hint string) error {
		return engine.Errorf("kubernetes_wait", "%s", message).WithHint("%s", hint).WithAttribute(attribute)
	}
	switch {
	case a.Name != nil && a.Selector != nil:
		return wrong("selector", "name and selector are both set", "A name selects its one object by itself.")
	case a.Name != nil && a.Count != nil:
		return wrong("count", "of one name there is one object at most", "Wait with gone, condition or rollout, or set selector in place of name.")
	case (a.Field == nil) != (a.Value == nil):
		return wrong("value", "field and value go together, and one of them isn't set", "Set both, or neither.")
	case a.OnlyReady && a.Count == nil:
		return wrong("only_ready", "only_ready says what count counts, and count isn't set", "Set count, or wait for the condition Ready.")
	case a.Rollout && (a.APIVersion != "apps/v1" || !rollsOut(a.Kind)):
		return wrong("rollout", "a "+a.Kind+" of "+a.APIVersion+" isn't rolled out", `Only a Deployment, a StatefulSet and a DaemonSet of "apps/v1" are.`)
	}
	return nil
}

func (a *wait) counted() string {
	if a.OnlyReady {
		return fmt.Sprintf("%d are ready", *a.Count)
	}
	return fmt.Sprintf("there are %d", *a.Count)
}

// subject is how the objects are spoken of.
func (a *wait) subject() string {
	if a.Name != nil {
		return place(a.Kind, deref(a.Namespace), *a.Name)
	}
	text := "every " + strings.ToLower(a.Kind)
	if a.Gone || a.Count != nil {
		text = strings.ToLower(a.Kind) + "s"
	}
	if a.Selector != nil {
		text += " with " + *a.Selector
	}
	if a.Namespace != nil {
		text += " in " + *a.Namespace
	}
	return text
}

func (a *wait) poll(g goal) poll {
	text := g.text
	if a.Gone && a.Name == nil {
		text = "are gone"
	}
	join := " "
	if a.Count != nil {
		join = ": "
	}
	return poll{what: a.subject() + join + text, where: a.subject(), attribute: g.attribute, timeout: a.Timeout, interval: a.Interval}
}

// Plan implements engine.Action.
func (a *wait) Plan(context.Context, engine.World) (engine.Change, error) {
	g, err := a.goal()
	if err != nil {
		return engine.Change{}, err
	}
	return a.poll(g).check(), nil
}

// Apply implements engine.Action.
func (a *wait) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	g, err := a.goal()
	if err != nil {
		return nil, err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	names := []string{}
	saw, took, err := a.poll(g).until(ctx, r, func(ctx context.Context) (bool, string, error) {
		res, err := cli.of(ctx, a.APIVersion, a.Kind)
		if err != nil {
			return false, "", err
		}
		if err := a.scoped(res); err != nil {
			return false, "", err
		}
		list, err := cli.find(ctx, res, deref(a.Namespace), deref(a.Name), deref(a.Selector))
		if err != nil {
			return false, "", err
		}
		names = names[:0]
		for _, u := range list {
			names = append(names, fullName(u))
		}
		return g.look(ctx, cli, list)
	})
	if err != nil {
		return nil, err
	}
	return engine.Result{"seen": saw, "names": names, "seconds": took}, nil
}

func (a *wait) scoped(r resource) error {
	if r.namespaced && a.Name != nil && a.Namespace == nil {
		return engine.Errorf(a.subject(), "a %s is in a namespace, and none is set", a.Kind).
			WithHint("Set namespace.").WithAttribute("namespace")
	}
	return nil
}

func fullName(u unstructured.Unstructured) string {
	if u.GetNamespace() == "" {
		return u.GetName()
	}
	return u.GetNamespace() + "/" + u.GetName()
}

// Undo implements engine.Action; there is nothing to undo.
func (a *wait) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
