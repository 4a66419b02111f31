package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

func compareSpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_compare",
		Doc: "Waits until as many objects live in Kubernetes as are expected, such as those that etcd_inventory counted in the snapshot. " +
			"More than expected are as good, unless exact is set; after a recovery controllers make some anew. " +
			"What is missing is named: \"secrets/production: 3 of 4\". " +
			"Equal numbers don't prove that it is the same objects; etcd_compare compares every key.",
		ReadOnly: true,
		Attributes: append(append(connectionAttributes(),
			engine.Attribute{Name: "expect", Type: cty.Map(cty.Number), Required: true, Check: checkExpect,
				Doc: `How many there have to be, by "RESOURCE.GROUP/NAMESPACE", as in the result counts of etcd_inventory and kubernetes_inventory.`},
			engine.Attribute{Name: "exact", Type: cty.Bool, Default: cty.False, Doc: "Whether there must not be more of any that is expected."},
			engine.Attribute{Name: "ignore", Type: cty.List(cty.String), Default: cty.ListVal(ephemeral), Check: checkTexts,
				Doc: `Resources that don't count, as "RESOURCE.GROUP", where * stands for any part of a name.`}),
			waitingAttributes(300)...),
		Results: []engine.Attribute{
			{Name: "counts", Type: cty.Map(cty.Number), Doc: "How many there are of what is expected, by the keys of expect."},
			{Name: "total", Type: cty.Number, Doc: "How many objects there are of what is expected."},
			{Name: "more", Type: cty.Number, Doc: "How many there are beyond what is expected."},
			{Name: "seconds", Type: cty.Number, Doc: "How long it took."},
		},
		Example: `step "kubernetes_compare" "all_is_back" {
  expect = { "deployments.apps/production" = 3, "secrets/production" = 4, "namespaces/" = 5 }
}`,
		New: func() engine.Action { return new(compare) },
	}
}

type compare struct {
	Kubeconfig string         `cty:"kubeconfig"`
	Context    *string        `cty:"context"`
	Expect     map[string]int `cty:"expect"`
	Exact      bool           `cty:"exact"`
	Ignore     []string       `cty:"ignore"`
	Timeout    int64          `cty:"timeout_seconds"`
	Interval   int64          `cty:"interval_seconds"`
}

var _ engine.Action = (*compare)(nil)

func checkExpect(v cty.Value) error {
	for it := v.ElementIterator(); it.Next(); {
		key, n := it.Element()
		if k := key.AsString(); strings.Count(k, "/") != 1 || strings.HasPrefix(k, "/") {
			return fmt.Errorf(`%q is not of the form "RESOURCE.GROUP/NAMESPACE"`, k)
		}
		if n.IsNull() {
			return errors.New("none of them may be null")
		}
		if err := checkCount(n); err != nil {
			return err
		}
	}
	return nil
}

// expected is what counts of what is expected.
func (a *compare) expected() map[string]int {
	out := maps.Clone(a.Expect)
	maps.DeleteFunc(out, func(key string, _ int) bool { return matchesAny(a.Ignore, resourceOf(key)) })
	return out
}

func resourceOf(key string) string {
	name, _, _ := strings.Cut(key, "/")
	return name
}

func (a *compare) poll() poll {
	n := 0
	for _, want := range a.expected() {
		n += want
	}
	how := map[bool]string{true: "exactly the", false: "at least the"}[a.Exact]
	return poll{what: fmt.Sprintf("Kubernetes holds %s %d objects that are expected", how, n), where: "kubernetes", attribute: "expect",
		timeout: a.Timeout, interval: a.Interval}
}

// Plan implements engine.Action.
func (a *compare) Plan(context.Context, engine.World) (engine.Change, error) {
	return a.poll().check(), nil
}

// Apply implements engine.Action.
func (a *compare) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	want := a.expected()
	kinds := map[string]bool{}
	for key := range want {
		kinds[resourceOf(key)] = true
	}
	var total, more int
	counts := map[string]int{}
	_, took, err := a.poll().until(ctx, r, func(ctx context.Context) (bool, string, error) {
		cli.resources = nil // what custom resources define may have come back meanwhile
		names, err := cli.count(ctx, func(name string) bool { return kinds[name] })
		if err != nil {
			return false, "", err
		}
		var missing []string
		missing, total, more = a.differences(want, names)
		for key := range want {
			counts[key] = len(names[key])
		}
		return len(missing) == 0, short(missing), nil
	})
	if err != nil {
		return nil, err
	}
	return engine.Result{"counts": counts, "total": total, "more": more, "seconds": took}, nil
}

// differences lists what isn't as expected.
func (a *compare) differences(want map[string]int, names map[string][]string) (missing []string, total, more int) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		n := len(names[key])
		total += n
		more += max(n-want[key], 0)
		if n < want[key] || a.Exact && n > want[key] {
			missing = append(missing, fmt.Sprintf("%s: %d of %d", key, n, want[key]))
		}
	}
	return missing, total, more
}

// short is a list of which ten are named.
func short(list []string) string {
	if len(list) > 10 {
		return strings.Join(list[:10], ", ") + fmt.Sprintf(" and %d more", len(list)-10)
	}
	return strings.Join(list, ", ")
}

// Undo implements engine.Action; there is nothing to undo.
func (a *compare) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
