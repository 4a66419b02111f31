package kube

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func rollsOut(kind string) bool {
	return kind == "Deployment" || kind == "StatefulSet" || kind == "DaemonSet"
}

func (a *wait) lookRollouts(ctx context.Context, c *client, list []unstructured.Unstructured) (bool, string, error) {
	if len(list) == 0 {
		return false, "there is none", nil
	}
	return c.rolledOut(ctx, list)
}

// rolledOut reports whether every workload of a list is rolled out, and of the
// first that isn't what is missing.
func (c *client) rolledOut(ctx context.Context, list []unstructured.Unstructured) (bool, string, error) {
	nodes, err := c.nodeTroubles(ctx)
	if err != nil {
		return false, "", err
	}
	done, first := 0, ""
	for _, u := range list {
		text, err := c.missing(ctx, u, nodes)
		if err != nil {
			return false, "", err
		}
		if text == "" {
			done++
		} else if first == "" {
			first = place(u.GetKind(), u.GetNamespace(), u.GetName()) + ": " + text
		}
	}
	return done == len(list), joined(fmt.Sprintf("%d of %d are rolled out", done, len(list)), first), nil
}

// missing says what a workload lacks to be rolled out; nothing where it is.
func (c *client) missing(ctx context.Context, u unstructured.Unstructured, nodes map[string]string) (string, error) {
	r, err := rolloutOf(u)
	if err != nil || r.says != "" && r.selector == nil {
		return r.says, err
	}
	selector, err := metav1.LabelSelectorAsSelector(r.selector)
	if err != nil {
		return "", err
	}
	pods, err := c.pods(ctx, u.GetNamespace(), selector.String())
	if err != nil {
		return "", err
	}
	ready, away := 0, ""
	for _, p := range pods {
		switch text := nodes[p.Spec.NodeName]; {
		case !podReady(p):
		case text != "":
			away = podName(p) + ": node " + p.Spec.NodeName + ": " + text
		default:
			ready++
		}
	}
	if r.says == "" && ready >= r.want {
		return "", nil
	}
	return joined(fmt.Sprintf("%d of %d pods are ready", ready, r.want), r.says, firstTrouble(pods), away), nil
}

// rollout is what a workload's own status says.
type rollout struct {
	want     int // so many pods have to be ready
	selector *metav1.LabelSelector
	says     string // what is missing by its status
}

// rolloutOf decides as kubectl rollout status does.
func rolloutOf(u unstructured.Unstructured) (rollout, error) {
	if text := unseen(u); text != "" {
		return rollout{says: text}, nil
	}
	switch u.GetKind() {
	case "Deployment":
		d, err := typed[appsv1.Deployment](u)
		return deploymentRollout(d), err
	case "StatefulSet":
		s, err := typed[appsv1.StatefulSet](u)
		return statefulSetRollout(s), err
	}
	d, err := typed[appsv1.DaemonSet](u)
	return daemonSetRollout(d), err
}

// unseen says that the controller has yet to look at a workload.
func unseen(u unstructured.Unstructured) string {
	if seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); seen < u.GetGeneration() {
		return fmt.Sprintf("its controller has seen generation %d of %d", seen, u.GetGeneration())
	}
	return ""
}

func replicas(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

func deploymentRollout(d appsv1.Deployment) rollout {
	s, r := d.Status, rollout{want: replicas(d.Spec.Replicas), selector: d.Spec.Selector}
	for _, c := range s.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			r.says = reason(c.Reason, c.Message)
			return r
		}
	}
	switch {
	case int(s.UpdatedReplicas) < r.want:
		r.says = fmt.Sprintf("%d of %d replicas are updated", s.UpdatedReplicas, r.want)
	case s.Replicas > s.UpdatedReplicas:
		r.says = fmt.Sprintf("%d old replicas are still there", s.Replicas-s.UpdatedReplicas)
	case s.AvailableReplicas < s.UpdatedReplicas:
		r.says = fmt.Sprintf("%d of %d updated replicas are available", s.AvailableReplicas, s.UpdatedReplicas)
	}
	return r
}

func statefulSetRollout(d appsv1.StatefulSet) rollout {
	s, r := d.Status, rollout{want: replicas(d.Spec.Replicas), selector: d.Spec.Selector}
	partition := 0
	if u := d.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		partition = int(*u.Partition)
	}
	rolling := d.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType
	switch {
	case int(s.ReadyReplicas) < r.want:
		r.says = fmt.Sprintf("%d of %d replicas are ready", s.ReadyReplicas, r.want)
	case rolling && int(s.UpdatedReplicas) < r.want-partition:
		r.says = fmt.Sprintf("%d of %d replicas are updated", s.UpdatedReplicas, r.want-partition)
	case rolling && partition == 0 && s.UpdateRevision != s.CurrentRevision:
		r.says = "it is between two revisions"
	}
	return r
}

func daemonSetRollout(d appsv1.DaemonSet) rollout {
	s, r := d.Status, rollout{want: int(d.Status.DesiredNumberScheduled), selector: d.Spec.Selector}
	rolling := d.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType
	switch {
	case rolling && s.UpdatedNumberScheduled < s.DesiredNumberScheduled:
		r.says = fmt.Sprintf("%d of %d pods are updated", s.UpdatedNumberScheduled, r.want)
	case s.NumberAvailable < s.DesiredNumberScheduled:
		r.says = fmt.Sprintf("%d of %d pods are available", s.NumberAvailable, r.want)
	}
	return r
}
