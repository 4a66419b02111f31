package kube

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// podReady reports whether a pod serves.
func podReady(p corev1.Pod) bool {
	if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// podTrouble says in a few words why a pod doesn't serve, and is empty where it
// does, or has done its work.
func podTrouble(p corev1.Pod) string {
	if p.Status.Phase == corev1.PodSucceeded && p.DeletionTimestamp == nil || podReady(p) {
		return ""
	}
	if p.DeletionTimestamp != nil {
		return "is being deleted"
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if text := containerTrouble(s); text != "" {
			return text
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Reason != "Completed" && (c.Reason != "" || c.Message != "") {
			return reason(c.Reason, c.Message)
		}
	}
	if p.Spec.NodeName == "" {
		return "no node has been chosen for it"
	}
	return reason(cmp.Or(p.Status.Reason, string(p.Status.Phase), "its kubelet has not reported it yet"), p.Status.Message)
}

func containerTrouble(s corev1.ContainerStatus) string {
	switch {
	case s.State.Waiting != nil && s.State.Waiting.Reason != "PodInitializing":
		w := s.State.Waiting
		if last := s.LastTerminationState.Terminated; last != nil && w.Message == "" {
			return reason(w.Reason, fmt.Sprintf("exit code %d", last.ExitCode))
		}
		return reason(w.Reason, w.Message)
	case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
		return reason(s.State.Terminated.Reason, fmt.Sprintf("container %s ended with exit code %d", s.Name, s.State.Terminated.ExitCode))
	case s.State.Running != nil && !s.Ready:
		return "container " + s.Name + " is not ready"
	}
	return ""
}

// reason joins a reason and a message, of which one line is enough.
func reason(reason, message string) string {
	message, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	if r := []rune(message); len(r) > 200 {
		message = string(r[:200]) + "…"
	}
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// podName is how a pod is spoken of.
func podName(p corev1.Pod) string { return place("pod", p.Namespace, p.Name) }

// firstTrouble is the trouble of the first pod that has any.
func firstTrouble(pods []corev1.Pod) string {
	for _, p := range pods {
		if text := podTrouble(p); text != "" {
			return podName(p) + ": " + text
		}
	}
	return ""
}
