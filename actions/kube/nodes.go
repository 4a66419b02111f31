package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
)

// leaseFresh is how old the last sign of a kubelet may be. Kubelets give one
// every ten seconds, and Kubernetes itself waits for forty.
const leaseFresh = 60 * time.Second

// nodeTroubles says of each node, by name, why it isn't ready; empty where it
// is. What a node says of itself may be older than the last restore, so its
// lease has to be fresh as well.
func (c *client) nodeTroubles(ctx context.Context) (map[string]string, error) {
	list, err := c.list(ctx, nodesResource, "", "")
	if err != nil {
		return nil, err
	}
	nodes, err := allTyped[corev1.Node](list)
	if err != nil {
		return nil, err
	}
	if list, err = c.list(ctx, leasesResource, "kube-node-lease", ""); err != nil {
		return nil, err
	}
	leases, err := allTyped[coordinationv1.Lease](list)
	if err != nil {
		return nil, err
	}
	renewed := map[string]time.Time{}
	for _, l := range leases {
		if l.Spec.RenewTime != nil {
			renewed[l.Name] = l.Spec.RenewTime.Time
		}
	}
	all := map[string]string{}
	for _, n := range nodes {
		all[n.Name] = nodeTrouble(n, renewed[n.Name], time.Now())
	}
	return all, nil
}

func nodeTrouble(n corev1.Node, renewed, now time.Time) string {
	ready := corev1.NodeCondition{Status: corev1.ConditionUnknown}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			ready = c
		}
	}
	switch age := now.Sub(renewed); {
	case ready.Status != corev1.ConditionTrue:
		return "not ready: " + reason(ready.Reason, ready.Message)
	case renewed.IsZero():
		return "its kubelet has no lease"
	case age > leaseFresh:
		return fmt.Sprintf("its kubelet gave its last sign %s ago", age.Round(time.Second))
	}
	return ""
}

// nodesReady reports whether the wanted nodes are ready; all where wanted is
// nil, and then at least one.
func nodesReady(troubles map[string]string, wanted []string) (ok bool, saw string) {
	if wanted == nil {
		for name := range troubles {
			wanted = append(wanted, name)
		}
		if len(wanted) == 0 {
			return false, "no node has registered"
		}
	}
	slices.Sort(wanted)
	var missing []string
	for _, name := range wanted {
		switch text, known := troubles[name]; {
		case !known:
			missing = append(missing, "node "+name+": it is not registered")
		case text != "":
			missing = append(missing, "node "+name+": "+text)
		}
	}
	if len(missing) > 0 {
		return false, fmt.Sprintf("%d of %d nodes are ready; %s", len(wanted)-len(missing), len(wanted), strings.Join(missing, "; "))
	}
	return true, fmt.Sprintf("%d of %d nodes are ready", len(wanted), len(wanted))
}
