package kube

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

func readySpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_ready",
		Doc: "Waits until the API server says that it is ready, and until the nodes are. " +
			"A node is ready where its condition says so and its kubelet has renewed its lease within the last minute, by this host's clock: after a restore the condition alone may be as old as the snapshot. " +
			"Nothing is looked at before the step is carried out, as an earlier step may be what starts the API server.",
		ReadOnly: true,
		Attributes: append(append(connectionAttributes(),
			engine.Attribute{Name: "nodes", Type: cty.List(cty.String), Check: checkTexts,
				Doc: "The nodes that have to be ready; all that are registered, and at least one, where it isn't set. With [] only the API server counts."}),
			waitingAttributes(300)...),
		Results: []engine.Attribute{
			{Name: "version", Type: cty.String, Doc: "The API server's version, such as v1.36.3."},
			{Name: "nodes", Type: cty.List(cty.String), Doc: "The names of all nodes that are ready, in the order of the alphabet."},
			{Name: "seconds", Type: cty.Number, Doc: "How long it took."},
		},
		Example: `step "kubernetes_ready" "cluster" {
  nodes           = ["cp1"]
  timeout_seconds = 600
}`,
		New: func() engine.Action { return new(ready) },
	}
}

type ready struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Nodes      []string `cty:"nodes"`
	Timeout    int64    `cty:"timeout_seconds"`
	Interval   int64    `cty:"interval_seconds"`
}

var _ engine.Action = (*ready)(nil)

func (a *ready) poll() poll {
	what := "the API server is ready"
	switch {
	case a.Nodes == nil:
		what += ", and all nodes are"
	case len(a.Nodes) > 0:
		what += ", and " + strings.Join(a.Nodes, ", ")
	}
	return poll{what: what, where: "kubernetes", timeout: a.Timeout, interval: a.Interval}
}

// Plan implements engine.Action.
func (a *ready) Plan(context.Context, engine.World) (engine.Change, error) {
	return a.poll().check(), nil
}

// Apply implements engine.Action.
func (a *ready) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	var version string
	up := []string{}
	_, took, err := a.poll().until(ctx, r, func(ctx context.Context) (so bool, saw string, err error) {
		if version, saw, err = cli.serving(ctx); err != nil || saw != "" {
			return false, saw, err
		}
		troubles, err := cli.nodeTroubles(ctx)
		if err != nil {
			return false, "", err
		}
		up = up[:0]
		for _, name := range slices.Sorted(maps.Keys(troubles)) {
			if troubles[name] == "" {
				up = append(up, name)
			}
		}
		if a.Nodes != nil && len(a.Nodes) == 0 {
			return true, "the API server is ready", nil
		}
		so, saw = nodesReady(troubles, slices.Clone(a.Nodes))
		return so, saw, nil
	})
	if err != nil {
		return nil, err
	}
	return engine.Result{"version": version, "nodes": up, "seconds": took}, nil
}

// serving returns the API server's version, and the checks that its readiness
// fails on, or nothing where it is ready.
func (c *client) serving(ctx context.Context) (version, failing string, err error) {
	status, body, err := c.get(ctx, "/readyz", "verbose", "text/plain")
	if err != nil {
		return "", "", err
	}
	if status != http.StatusOK {
		if failing := failingChecks(body); failing != "" {
			return "", "the API server is not ready: " + failing, nil
		}
		return "", "", answered("/readyz", status, body, nil)
	}
	status, body, err = c.get(ctx, "/version", "", "application/json")
	if err := answered("/version", status, body, err); err != nil {
		return "", "", err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	err = json.Unmarshal([]byte(body), &v)
	return v.GitVersion, "", err
}

// failingChecks lists the checks of a verbose answer that failed.
func failingChecks(body string) string {
	var names []string
	for line := range strings.Lines(body) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			name, _, _ = strings.Cut(name, " failed")
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Undo implements engine.Action; there is nothing to undo.
func (a *ready) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
