package kube

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"runbook/engine"
)

// Apply implements engine.Action.
func (a *apply) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var rec record
	if err := c.GetData(&rec); err != nil {
		return nil, err
	}
	wanted, err := a.wanted(asItIs)
	if err != nil {
		return nil, err
	}
	if err := a.asPlanned(rec, wanted); err != nil {
		return nil, err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	for _, o := range rec.Objects {
		r.Progress(engine.Progress{Doing: "applying " + o.place()})
		if err := a.applyOne(ctx, cli, o, wanted[o.Nth]); err != nil {
			return nil, failedAt(o.place(), "manifests", err)
		}
	}
	return c.Results, nil
}

// asPlanned is an error where an object is no longer wanted as it was planned,
// which is looked at before any is sent.
func (a *apply) asPlanned(rec record, wanted []unstructured.Unstructured) error {
	for _, o := range rec.Objects {
		is := o.Nth < len(wanted) && wanted[o.Nth].GetKind() == o.Kind && wanted[o.Nth].GetName() == o.Name
		if is && o.Digest != "" { // records once had none
			now, err := a.digest(wanted[o.Nth], rec.Salt)
			if err != nil {
				return err
			}
			is = now == o.Digest
		}
		if !is {
			return engine.Errorf(o.place(), "the files no longer hold what was planned").
				WithHint("Put them back as they were, or roll back and plan again.").WithAttribute("files")
		}
	}
	return nil
}

func (a *apply) applyOne(ctx context.Context, cli *client, o recorded, u unstructured.Unstructured) error {
	r, err := a.awaitKind(ctx, cli, o)
	if err != nil {
		return err
	}
	u = a.settled(u, r)
	live, err := r.in(cli, o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return failed(o.place(), err)
	}
	there := err == nil
	switch {
	case there && o.Mark != "" && markOf(live) != o.Mark:
		return engine.Errorf(o.place(), "somebody else has created it since").
			WithHint("Look whether it is as it should be, then resume with --skip or roll back.")
	case !there && o.Mark == "":
		return engine.Errorf(o.place(), "somebody has deleted it since").WithHint("Find out who did; then roll back and plan again.")
	case o.Mark != "":
		mark(&u, o.Mark)
	}
	if o.Backup != "" {
		tried, err := a.send(ctx, cli, r, u, live, true)
		if err != nil {
			return refused(o.place(), err)
		}
		if err := keep(ctx, cli, r, o, live, tried); err != nil {
			return failed(o.place(), err)
		}
	}
	if _, err := a.send(ctx, cli, r, u, live, false); err != nil {
		return refused(o.place(), err)
	}
	return nil
}

// awaitKind waits for a kind that an object before has defined.
func (a *apply) awaitKind(ctx context.Context, cli *client, o recorded) (resource, error) {
	ctx, cancel := context.WithTimeout(ctx, seconds(a.Timeout))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := cli.of(ctx, o.APIVersion, o.Kind)
		if unknown := (unknownKind{}); !errors.As(err, &unknown) {
			return r, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return r, failed(o.place(), err)
		}
	}
}

// send applies an object, or lets the API server try it.
func (a *apply) send(ctx context.Context, cli *client, r resource, u unstructured.Unstructured, live *unstructured.Unstructured, dry bool) (*unstructured.Unstructured, error) {
	// An object that a run created keeps saying so, or that run could no
	// longer be undone.
	if live != nil && markOf(live) != "" && markOf(&u) == "" {
		u = *u.DeepCopy()
		mark(&u, markOf(live))
	}
	options := metav1.ApplyOptions{FieldManager: manager, Force: a.Force}
	if dry {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return r.in(cli, u.GetNamespace()).Apply(ctx, u.GetName(), &u, options)
}

func markOf(u *unstructured.Unstructured) string { return u.GetAnnotations()[markAnnotation] }

func mark(u *unstructured.Unstructured, by string) {
	all := u.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[markAnnotation] = by
	u.SetAnnotations(all)
}

// The keys of a backup: a whole Secret, as JSON, and the merge patch that puts
// back what the step changes of it.
const (
	keptObject = "object"
	keptBack   = "back"
)

// keep keeps a Secret that would become as tried under another name, once:
// later it is no longer what it was.
func keep(ctx context.Context, cli *client, r resource, o recorded, live, tried *unstructured.Unstructured) error {
	was := plain(*live)
	data, err := json.Marshal(was.Object)
	if err != nil {
		return err
	}
	_, back, err := patches(was, plain(*tried))
	if err != nil {
		return err
	}
	backup := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata":   map[string]any{"name": o.Backup, "namespace": o.Namespace},
		"stringData": map[string]any{keptObject: string(data), keptBack: string(back)},
	}}
	if o.BackupMark != "" {
		mark(backup, o.BackupMark)
	}
	_, err = r.in(cli, o.Namespace).Create(ctx, backup, metav1.CreateOptions{FieldManager: manager})
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	there, err := r.in(cli, o.Namespace).Get(ctx, o.Backup, metav1.GetOptions{})
	if err == nil && !o.kept(there) {
		return engine.Errorf(place("Secret", o.Namespace, o.Backup), "somebody else has created it, and the old values would have to be kept there").
			WithHint("Find out who did, and delete or rename it; then resume.")
	}
	return err
}

// kept reports whether a backup is this step's. Records once had no mark of it.
func (o recorded) kept(backup *unstructured.Unstructured) bool {
	return o.BackupMark == "" || markOf(backup) == o.BackupMark
}

// Undo implements engine.Action.
func (a *apply) Undo(ctx context.Context, c engine.Change, r engine.Reporter) error {
	if c.Empty() {
		return nil
	}
	var rec record
	if err := c.GetData(&rec); err != nil {
		return err
	}
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return err
	}
	for _, o := range slices.Backward(rec.Objects) {
		r.Progress(engine.Progress{Doing: "putting back " + o.place()})
		if err := a.undoOne(ctx, cli, o, r); err != nil {
			return failed(o.place(), err)
		}
	}
	return nil
}

func (a *apply) undoOne(ctx context.Context, cli *client, o recorded, report engine.Reporter) error {
	r, err := cli.of(ctx, o.APIVersion, o.Kind)
	if unknown := (unknownKind{}); errors.As(err, &unknown) && o.Mark != "" {
		return nil // its kind never came
	}
	if err != nil {
		return err
	}
	live, err := r.in(cli, o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	there := !apierrors.IsNotFound(err)
	switch {
	case there && err != nil:
		return err
	case o.Mark != "":
		if !there || markOf(live) != o.Mark {
			return nil
		}
		return a.delete(ctx, cli, r, live, report)
	case !there:
		return engine.Errorf(o.place(), "somebody has deleted it since").
			WithHint("Create it again as it was, then roll back again.")
	case o.Backup != "":
		return bringBack(ctx, cli, r, o, live)
	}
	return putBack(ctx, cli, r, live, o.Back)
}

// delete deletes this very object, and waits until it is gone.
func (a *apply) delete(ctx context.Context, cli *client, r resource, live *unstructured.Unstructured, report engine.Reporter) error {
	uid := live.GetUID()
	background := metav1.DeletePropagationBackground
	err := r.in(cli, live.GetNamespace()).Delete(ctx, live.GetName(), metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	name := place(r.kind, live.GetNamespace(), live.GetName())
	p := poll{what: name + " is gone", where: name, attribute: "timeout_seconds", timeout: a.Timeout, interval: 1}
	_, _, err = p.until(ctx, report, func(ctx context.Context) (bool, string, error) {
		list, err := cli.find(ctx, r, live.GetNamespace(), live.GetName(), "")
		if err != nil || len(list) == 0 || list[0].GetUID() != uid {
			return err == nil, "", err
		}
		return lookGone(ctx, cli, list)
	})
	return err
}

// putBack sets fields back. Where they are so already, that changes nothing.
func putBack(ctx context.Context, cli *client, r resource, live *unstructured.Unstructured, patch json.RawMessage) error {
	_, err := r.in(cli, live.GetNamespace()).Patch(ctx, live.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	return err
}

// bringBack puts back what its backup holds of a Secret, and removes the backup.
func bringBack(ctx context.Context, cli *client, r resource, o recorded, live *unstructured.Unstructured) error {
	backup, err := r.in(cli, o.Namespace).Get(ctx, o.Backup, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // Apply didn't get that far, or this is done already
	}
	if err != nil {
		return err
	}
	if !o.kept(backup) {
		return nil // so Apply has refused to change anything
	}
	back, err := keptIn(*backup, *live)
	if err != nil {
		return err
	}
	if err := putBack(ctx, cli, r, live, back); err != nil {
		return err
	}
	uid := backup.GetUID()
	return r.in(cli, o.Namespace).Delete(ctx, o.Backup, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
}

// keptIn is the merge patch by which a Secret gets back what its backup holds. A
// backup without one has the whole Secret alone.
func keptIn(backup, live unstructured.Unstructured) (json.RawMessage, error) {
	held, err := typed[secret](backup)
	if err != nil {
		return nil, err
	}
	if back := held.Data[keptBack]; back != nil {
		return back, nil
	}
	var was unstructured.Unstructured
	if err := json.Unmarshal(held.Data[keptObject], &was.Object); err != nil {
		return nil, err
	}
	_, back, err := patches(was, plain(live))
	return back, err
}

// secret is the part of a Secret that counts here.
type secret struct {
	Data map[string][]byte `json:"data"`
}
