package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// plain is an object without what the API server adds by itself, and without
// its status.
func plain(u unstructured.Unstructured) unstructured.Unstructured {
	u = *u.DeepCopy()
	for _, f := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", markAnnotation)
	if len(u.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
	}
	return u
}

func isSecret(u unstructured.Unstructured) bool {
	return u.GetKind() == "Secret" && u.GetAPIVersion() == "v1"
}

// lastApplied is where kubectl keeps a copy of a whole manifest.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// hidden are the maps of a Secret whose values nobody may see.
var hidden = []string{"data", "stringData"}

// masked is an object that anyone may see. Of other's value it only tells
// whether it is the same.
func masked(u, other unstructured.Unstructured, side string) unstructured.Unstructured {
	if !isSecret(u) {
		return u
	}
	u = *u.DeepCopy()
	for _, field := range hidden {
		values, _, _ := unstructured.NestedMap(u.Object, field)
		others, _, _ := unstructured.NestedMap(other.Object, field)
		for k, v := range values {
			text := "(hidden)"
			if o, there := others[k]; there && o != v {
				text = "(hidden, " + side + " value)"
			}
			_ = unstructured.SetNestedField(u.Object, text, field, k) // its parents are maps
		}
	}
	if a := u.GetAnnotations(); a[lastApplied] != "" {
		a[lastApplied] = "(hidden)"
		u.SetAnnotations(a)
	}
	return u
}

// secretKeys names what of a Secret changes: keys of its values, or "metadata".
func secretKeys(before, after unstructured.Unstructured) []string {
	b, _, _ := unstructured.NestedMap(before.Object, "data")
	a, _, _ := unstructured.NestedMap(after.Object, "data")
	both := maps.Clone(b)
	if both == nil {
		both = map[string]any{}
	}
	maps.Copy(both, a)
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(both)) {
		if old, had := b[k]; !had || a[k] != old {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return []string{"all but the values"}
	}
	return keys
}

// maxDiff is up to where the difference of two texts helps a reader.
const maxDiff = 64 << 10

// difference is that of two objects as YAML, with nothing secret in it. One
// without content is one that isn't there.
func difference(name string, before, after unstructured.Unstructured) string {
	old, err := text(masked(before, after, "old"))
	if err != nil {
		return ""
	}
	now, err := text(masked(after, before, "new"))
	if err != nil || max(len(old), len(now)) >= maxDiff {
		return ""
	}
	_, text, _ := strings.Cut(string(diff.Diff(name, old, name, now)), "\n") // its first line names a command
	return text
}

func text(u unstructured.Unstructured) ([]byte, error) {
	if len(u.Object) == 0 {
		return nil, nil
	}
	return yaml.Marshal(u.Object)
}

// digest names what a merge patch sets.
func digest(patch json.RawMessage) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, patch); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(compact.Bytes()))[:19]
}
