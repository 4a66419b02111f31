package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"runbook/engine"
)

func accessSpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_access",
		Doc: "Checks whether somebody may do something, as the API server itself decides it: that the roles are back after a restore, or that what must be forbidden is. " +
			"Exactly one of user and service_account is set. The answer is waited for: an API server that has just started has not read its roles yet.",
		ReadOnly: true,
		Attributes: append(append(connectionAttributes(),
			engine.Attribute{Name: "user", Type: cty.String, Check: checkText, Doc: "The user's name. Being authenticated, it also belongs to system:authenticated."},
			engine.Attribute{Name: "groups", Type: cty.List(cty.String), Check: checkTexts, Doc: "The groups that user belongs to."},
			engine.Attribute{Name: "service_account", Type: cty.String, Check: checkAccount, Doc: `A service account, as "NAMESPACE:NAME", with the groups that it has by itself.`},
			engine.Attribute{Name: "verb", Type: cty.String, Required: true, Check: checkText, Doc: `What it does: "get", "list", "watch", "create", "update", "patch", "delete", "*".`},
			engine.Attribute{Name: "resource", Type: cty.String, Required: true, Check: checkText, Doc: `To what, as "RESOURCE.GROUP": "secrets", "deployments.apps".`},
			engine.Attribute{Name: "subresource", Type: cty.String, Check: checkText, Doc: `The part of it, such as "log", "exec" or "status".`},
			engine.Attribute{Name: "namespace", Type: cty.String, Check: checkText, Doc: "In which namespace; in all where it isn't set."},
			engine.Attribute{Name: "name", Type: cty.String, Check: checkText, Doc: "The object's name; any where it isn't set."},
			engine.Attribute{Name: "expect", Type: cty.Bool, Default: cty.True, Doc: "Whether it has to be allowed, or refused."}),
			waitingAttributes(60)...),
		Results: []engine.Attribute{
			{Name: "allowed", Type: cty.Bool, Doc: "Whether it is allowed."},
			{Name: "reason", Type: cty.String, Doc: "What the API server gives as the reason; empty where it gives none."},
		},
		Example: `step "kubernetes_access" "payment_reads_its_secret" {
  service_account = "production:payment"
  verb            = "get"
  resource        = "secrets"
  namespace       = "production"
  name            = "payment-db"
}`,
		New: func() engine.Action { return new(access) },
	}
}

type access struct {
	Kubeconfig     string   `cty:"kubeconfig"`
	Context        *string  `cty:"context"`
	User           *string  `cty:"user"`
	Groups         []string `cty:"groups"`
	ServiceAccount *string  `cty:"service_account"`
	Verb           string   `cty:"verb"`
	Resource       string   `cty:"resource"`
	Subresource    *string  `cty:"subresource"`
	Namespace      *string  `cty:"namespace"`
	Name           *string  `cty:"name"`
	Expect         bool     `cty:"expect"`
	Timeout        int64    `cty:"timeout_seconds"`
	Interval       int64    `cty:"interval_seconds"`
}

var _ engine.Action = (*access)(nil)

func checkAccount(v cty.Value) error {
	namespace, name, ok := strings.Cut(v.AsString(), ":")
	if !ok || namespace == "" || name == "" || strings.Contains(name, ":") {
		return errors.New(`a service account is written "NAMESPACE:NAME"`)
	}
	return nil
}

// subject returns who it is about, with all its groups.
func (a *access) subject() (user string, groups []string, err error) {
	switch {
	case (a.User == nil) == (a.ServiceAccount == nil):
		return "", nil, engine.Errorf("kubernetes_access", "either user or service_account has to be set").
			WithHint("Name the one that is meant.").WithAttribute("user")
	case a.User != nil:
		return *a.User, append(a.Groups[:len(a.Groups):len(a.Groups)], "system:authenticated"), nil
	case len(a.Groups) > 0:
		return "", nil, engine.Errorf("kubernetes_access", "a service account has its groups by itself").
			WithHint("Leave groups out, or set user.").WithAttribute("groups")
	}
	namespace, _, _ := strings.Cut(*a.ServiceAccount, ":")
	groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	return "system:serviceaccount:" + *a.ServiceAccount, groups, nil
}

func (a *access) poll(user string) poll {
	what := a.Resource
	if a.Subresource != nil {
		what += "/" + *a.Subresource
	}
	if a.Name != nil {
		what += " " + *a.Name
	}
	where := "in all namespaces"
	if a.Namespace != nil {
		where = "in " + *a.Namespace
	}
	may := map[bool]string{true: "may", false: "may not"}[a.Expect]
	return poll{what: fmt.Sprintf("%s %s %s %s %s", user, may, a.Verb, what, where), where: user, attribute: "expect",
		timeout: a.Timeout, interval: a.Interval}
}

// Plan implements engine.Action.
func (a *access) Plan(context.Context, engine.World) (engine.Change, error) {
	user, _, err := a.subject()
	if err != nil {
		return engine.Change{}, err
	}
	return a.poll(user).check(), nil
}

// Apply implements engine.Action.
func (a *access) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	user, groups, err := a.subject()
	if err != nil {
		return nil, err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	var allowed bool
	var why string
	_, _, err = a.poll(user).until(ctx, r, func(ctx context.Context) (bool, string, error) {
		got, err := reviewResource.in(cli, "").Create(ctx, a.review(user, groups), metav1.CreateOptions{})
		if err != nil {
			return false, "", err
		}
		allowed, _, _ = unstructured.NestedBool(got.Object, "status", "allowed")
		why, _, _ = unstructured.NestedString(got.Object, "status", "reason")
		return allowed == a.Expect, reason(map[bool]string{true: "it is allowed", false: "it is refused"}[allowed], why), nil
	})
	if err != nil {
		return nil, err
	}
	return engine.Result{"allowed": allowed, "reason": why}, nil
}

// review is the question; the API server keeps nothing of it.
func (a *access) review(user string, groups []string) *unstructured.Unstructured {
	gr := schema.ParseGroupResource(a.Resource)
	var all []any
	for _, g := range groups {
		all = append(all, g)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{
			"user": user, "groups": all,
			"resourceAttributes": map[string]any{
				"verb": a.Verb, "group": gr.Group, "resource": gr.Resource, "subresource": deref(a.Subresource),
				"namespace": deref(a.Namespace), "name": deref(a.Name),
			},
		},
	}}
}

// Undo implements engine.Action; there is nothing to undo.
func (a *access) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
