package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"runbook/engine"
)

// page is how many objects are asked for at once.
const page = 500

// list returns all objects of a resource that a label selector selects.
func (c *client) list(ctx context.Context, r resource, namespace, selector string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	options := metav1.ListOptions{LabelSelector: selector, Limit: page}
	for {
		got, err := r.in(c, namespace).List(ctx, options)
		if err != nil {
			return nil, err
		}
		all = append(all, got.Items...)
		if options.Continue = got.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

// find returns the object of a name, or those that are selected. There may be
// none.
func (c *client) find(ctx context.Context, r resource, namespace, name, selector string) ([]unstructured.Unstructured, error) {
	if name == "" {
		return c.list(ctx, r, namespace, selector)
	}
	got, err := r.in(c, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []unstructured.Unstructured{*got}, nil
}

// The resources that this package itself looks at.
var (
	podsResource   = known("", "pods", "Pod", true)
	nodesResource  = known("", "nodes", "Node", false)
	eventsResource = known("", "events", "Event", true)
	leasesResource = known("coordination.k8s.io", "leases", "Lease", true)
	reviewResource = known("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false)
)

func known(group, name, kind string, namespaced bool) resource {
	r := resource{kind: kind, namespaced: namespaced, listable: true}
	r.Group, r.Version, r.Resource = group, "v1", name
	return r
}

// typed turns an object into the type of its kind.
func typed[T any](u unstructured.Unstructured) (T, error) {
	var out T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &out); err != nil {
		return out, engine.Errorf(place(u.GetKind(), u.GetNamespace(), u.GetName()), "it isn't as its kind should be: %w", err).
			WithHint("Is this an API server of a version that runbook doesn't know?")
	}
	return out, nil
}

func allTyped[T any](list []unstructured.Unstructured) ([]T, error) {
	out := make([]T, 0, len(list))
	for _, u := range list {
		t, err := typed[T](u)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *client) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := c.list(ctx, podsResource, namespace, selector)
	if err != nil {
		return nil, err
	}
	return allTyped[corev1.Pod](list)
}
