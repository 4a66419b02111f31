package kube

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/jsonpath"
)

// every makes a look at many objects of one at one: all have to be so, and
// there has to be one.
func (a *wait) every(one func(unstructured.Unstructured) (so bool, saw string)) func(context.Context, *client, []unstructured.Unstructured) (bool, string, error) {
	return func(_ context.Context, _ *client, list []unstructured.Unstructured) (bool, string, error) {
		if len(list) == 0 {
			return false, "there is none", nil
		}
		done, first := 0, ""
		for _, u := range list {
			so, saw := one(u)
			switch text := place(u.GetKind(), u.GetNamespace(), u.GetName()) + ": " + saw; {
			case so:
				done++
			case first == "":
				first = text
			}
		}
		return done == len(list), joined(fmt.Sprintf("%d of %d are so", done, len(list)), first), nil
	}
}

func joined(texts ...string) string {
	var said []string
	for _, t := range texts {
		if t != "" {
			said = append(said, t)
		}
	}
	return strings.Join(said, "; ")
}

func (a *wait) hasCondition(u unstructured.Unstructured) (bool, string) {
	name, want, given := strings.Cut(*a.Condition, "=")
	if !given {
		want = "True"
	}
	if text := behind(u); text != "" {
		return false, text
	}
	status, why := conditionOf(u, name)
	if status == "" {
		return false, "it has no condition " + name
	}
	return strings.EqualFold(status, want), joined(name+" is "+status, why)
}

// behind says that an object's status is older than what is asked of it.
func behind(u unstructured.Unstructured) string {
	seen, found, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if found && seen < u.GetGeneration() {
		return fmt.Sprintf("its controller has seen generation %d of %d", seen, u.GetGeneration())
	}
	return ""
}

// conditionOf returns a condition's status, empty where there is no such
// condition, and its reason.
func conditionOf(u unstructured.Unstructured, name string) (status, why string) {
	all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range all {
		m, _ := c.(map[string]any)
		if is, _ := m["type"].(string); strings.EqualFold(is, name) {
			status, _ = m["status"].(string)
			because, _ := m["reason"].(string)
			message, _ := m["message"].(string)
			return status, reason(because, message)
		}
	}
	return "", ""
}

func (a *wait) hasField(u unstructured.Unstructured) (bool, string) {
	path := jsonpath.New("field").AllowMissingKeys(true)
	var out bytes.Buffer
	err := path.Parse(*a.Field)
	if err == nil {
		err = path.Execute(&out, u.Object)
	}
	if err != nil {
		return false, err.Error()
	}
	return out.String() == *a.Value, fmt.Sprintf("%s = %q", *a.Field, out.String())
}

func (a *wait) lookCount(_ context.Context, _ *client, list []unstructured.Unstructured) (bool, string, error) {
	if !a.OnlyReady {
		return len(list) == *a.Count, fmt.Sprintf("there are %d", len(list)), nil
	}
	n, first := 0, ""
	for _, u := range list {
		so, text, err := isReady(u)
		if err != nil {
			return false, "", err
		}
		if so {
			n++
		} else if first == "" {
			first = place(u.GetKind(), u.GetNamespace(), u.GetName()) + ": " + text
		}
	}
	return n == *a.Count, joined(fmt.Sprintf("%d of %d are ready", n, len(list)), first), nil
}

// isReady knows of pods more than their condition tells.
func isReady(u unstructured.Unstructured) (bool, string, error) {
	if u.GetKind() == "Pod" && u.GetAPIVersion() == "v1" {
		p, err := typed[corev1.Pod](u)
		return podReady(p), podTrouble(p), err
	}
	status, why := conditionOf(u, "Ready")
	return status == "True", joined("Ready is "+status, why), nil
}

func lookGone(_ context.Context, _ *client, list []unstructured.Unstructured) (bool, string, error) {
	if len(list) == 0 {
		return true, "there is none", nil
	}
	first := place(list[0].GetKind(), list[0].GetNamespace(), list[0].GetName()) + " is there"
	if list[0].GetDeletionTimestamp() != nil {
		first += ", and is being deleted"
		if f := list[0].GetFinalizers(); len(f) > 0 {
			first += ", which waits for the finalizers " + strings.Join(f, ", ")
		}
	}
	if len(list) > 1 {
		first = fmt.Sprintf("there are %d; %s", len(list), first)
	}
	return false, first, nil
}
