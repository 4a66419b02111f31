package kube

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"runbook/engine"
)

// planner plans one kubernetes_apply, object by object.
type planner struct {
	*apply
	cli     *client
	run     engine.RunInfo
	wanted  []unstructured.Unstructured
	items   []engine.Item
	record  record
	outcome map[string][]string // names, by result
}

// object plans the nth object.
func (p *planner) object(ctx context.Context, n int) error {
	u := p.wanted[n]
	sum, err := p.planned(u)
	if err != nil {
		return err
	}
	r, brought, err := p.resource(ctx, u)
	if err != nil {
		return err
	}
	u = p.settled(u, r)
	rec := recorded{Nth: n, APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Digest: sum}
	if p.twice(rec) {
		return engine.Errorf(rec.place(), "the manifests hold it twice").WithHint("Keep one of the two.").WithAttribute("manifests")
	}
	if brought || p.brings("Namespace", rec.Namespace) {
		p.create(u, rec)
		return nil
	}
	live, err := r.in(p.cli, rec.Namespace).Get(ctx, rec.Name, metav1.GetOptions{})
	absent := apierrors.IsNotFound(err)
	if err != nil && !absent {
		return failed(rec.place(), err)
	}
	tried, err := p.send(ctx, p.cli, r, u, live, true)
	if err != nil {
		return refused(rec.place(), err)
	}
	if absent {
		p.create(u, rec)
		return nil
	}
	return p.compare(live, tried, rec)
}

// twice reports whether an object has been planned already.
func (p *planner) twice(rec recorded) bool {
	for _, names := range p.outcome {
		if slices.Contains(names, rec.APIVersion+" "+rec.place()) {
			return true
		}
	}
	return false
}

// resource finds the resource of an object's kind. brought says that an
// earlier object of this step defines it.
func (p *planner) resource(ctx context.Context, u unstructured.Unstructured) (r resource, brought bool, err error) {
	r, err = p.cli.of(ctx, u.GetAPIVersion(), u.GetKind())
	if unknown := (unknownKind{}); !errors.As(err, &unknown) {
		return r, false, err
	}
	for _, w := range p.wanted {
		group, _, _ := unstructured.NestedString(w.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(w.Object, "spec", "names", "kind")
		if w.GetKind() == "CustomResourceDefinition" && kind == u.GetKind() && strings.HasPrefix(u.GetAPIVersion(), group+"/") {
			scope, _, _ := unstructured.NestedString(w.Object, "spec", "scope")
			return resource{kind: kind, namespaced: scope == "Namespaced"}, true, nil
		}
	}
	return r, false, engine.Errorf(place(u.GetKind(), u.GetNamespace(), u.GetName()), "%w", err).
		WithHint("Is its CustomResourceDefinition installed, and the apiVersion one that this cluster serves? See: kubectl api-resources.").WithAttribute("manifests")
}

// settled is an object with its namespace.
func (a *apply) settled(u unstructured.Unstructured, r resource) unstructured.Unstructured {
	u = *u.DeepCopy()
	if r.namespaced && u.GetNamespace() == "" {
		u.SetNamespace(a.Namespace)
	}
	if !r.namespaced {
		u.SetNamespace("")
	}
	return u
}

// planned is a manifest's digest. A plan that no run follows needs none, and has
// no salt for it.
func (p *planner) planned(u unstructured.Unstructured) (string, error) {
	if p.run.ID == engine.PlannedRunID {
		return "", nil
	}
	return p.digest(u, p.run.ID)
}

// digest names a manifest with all that it holds, and its namespace.
func (a *apply) digest(u unstructured.Unstructured, salt string) (string, error) {
	text, err := json.Marshal([]any{a.Namespace, u.Object})
	if err != nil {
		return "", err
	}
	sum := hmac.New(sha256.New, []byte(salt))
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// brings reports whether this step will have created an object of a kind.
func (p *planner) brings(kind, name string) bool {
	return slices.ContainsFunc(p.record.Objects, func(o recorded) bool {
		return o.Kind == kind && o.Name == name && o.Mark != "" && name != ""
	})
}

// create plans an object that isn't there.
func (p *planner) create(u unstructured.Unstructured, rec recorded) {
	rec.Mark = p.mark()
	p.items = append(p.items, engine.Item{Target: rec.place(), Before: "absent", After: "created",
		Diff: difference(rec.place(), unstructured.Unstructured{}, u)})
	p.take("created", rec)
}

// mark is what marks an object as created by this step.
func (p *planner) mark() string { return strings.TrimSuffix(p.run.ID+"/"+p.run.Step, "/") }

func (p *planner) take(outcome string, rec recorded) {
	p.outcome[outcome] = append(p.outcome[outcome], rec.APIVersion+" "+rec.place())
	if outcome != "unchanged" {
		p.record.Objects = append(p.record.Objects, rec)
	}
}

// compare plans an object that is there, and would be as tried.
func (p *planner) compare(live, tried *unstructured.Unstructured, rec recorded) error {
	before, after := plain(*live), plain(*tried)
	forth, back, err := patches(before, after)
	if err != nil {
		return err
	}
	if string(forth) == "{}" {
		p.take("unchanged", rec)
		return nil
	}
	item := engine.Item{Target: rec.place(), Before: digest(back), After: digest(forth), Diff: difference(rec.place(), before, after)}
	if isSecret(*live) {
		rec.Backup, rec.BackupMark = keptAs(rec.Name, p.run), p.mark()
		item.Before = "as of resource version " + live.GetResourceVersion()
		item.After = "changed: " + strings.Join(secretKeys(before, after), ", ")
		item.Note = "what it held is kept as secret " + rec.Namespace + "/" + rec.Backup
	} else {
		rec.Back = back
	}
	p.items = append(p.items, item)
	p.take("changed", rec)
	return nil
}

// patches are the merge patches from one object to another, and back.
func patches(before, after unstructured.Unstructured) (forth, back json.RawMessage, err error) {
	before, after = withMapsOf(before, after), withMapsOf(after, before)
	a, err := json.Marshal(before.Object)
	if err != nil {
		return nil, nil, err
	}
	b, err := json.Marshal(after.Object)
	if err != nil {
		return nil, nil, err
	}
	if forth, err = jsonpatch.CreateMergePatch(a, b); err != nil {
		return nil, nil, err
	}
	back, err = jsonpatch.CreateMergePatch(b, a)
	return forth, back, err
}

// withMapsOf is an object with an empty map for each that only the other has of
// those that many write to. A patch then names what goes key by key: one that
// has the whole map go would take along what others have put there since.
func withMapsOf(u, other unstructured.Unstructured) unstructured.Unstructured {
	u = *u.DeepCopy()
	for _, path := range sharedMaps(u) {
		_, has, _ := unstructured.NestedMap(u.Object, path...)
		if _, wanted, _ := unstructured.NestedMap(other.Object, path...); wanted && !has {
			_ = unstructured.SetNestedMap(u.Object, map[string]any{}, path...) // its parents are maps
		}
	}
	return u
}

// sharedMaps are the maps of an object that anyone may add to.
func sharedMaps(u unstructured.Unstructured) [][]string {
	all := [][]string{{"metadata", "annotations"}, {"metadata", "labels"}}
	if isSecret(u) || u.GetKind() == "ConfigMap" && u.GetAPIVersion() == "v1" {
		all = append(all, []string{"data"}, []string{"stringData"}, []string{"binaryData"})
	}
	return all
}

func (p *planner) change() (engine.Change, error) {
	results := engine.Result{}
	for name, places := range p.outcome {
		for i, text := range places {
			_, places[i], _ = strings.Cut(text, " ")
		}
		results[name] = places
	}
	c := engine.Change{Items: p.items, Results: results}
	if len(p.items) == 0 {
		return c, nil
	}
	c.Effects = []engine.Effect{{Elsewhere: "kubernetes"}}
	p.record.Salt = p.run.ID // no secret, but every run has another
	return c, c.SetData(p.record)
}

// refused is why the API server would not have an object.
func refused(where string, err error) error {
	e := failed(where, err)
	if apierrors.IsConflict(err) {
		return e.WithHint("These fields belong to others, who may set them again. Leave them out of the manifest, or set force = true to take them over.")
	}
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsInternalError(err) || apierrors.IsNotFound(err) {
		return e.WithHint("Correct the manifest as the API server says.")
	}
	return e
}

// keptAs is the name of a Secret's backup, which is another one for each step: of
// two steps that change the same Secret each keeps what it has found. Of a long
// name the digest tells what has no room.
func keptAs(name string, run engine.RunInfo) string {
	sum := sha256.Sum256([]byte(run.Step + "\x00" + name))
	tail := fmt.Sprintf(".before-%s-%x", run.ID, sum[:5])
	if room := validation.DNS1123SubdomainMaxLength - len(tail); len(name) > room {
		name = strings.TrimRight(name[:room], "-.")
	}
	return name + tail
}
