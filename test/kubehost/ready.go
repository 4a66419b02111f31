package kubehost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// staticPods are kubeadm's.
var staticPods = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// AwaitReady waits until every static pod is ready and the node is, or ctx
// ends. It believes the API: an etcd that was restored tells for a while what
// was so when its backup was taken.
func (h *Host) AwaitReady(ctx context.Context) error {
	return h.Await(ctx, "the control plane is up", func() error { return h.notReady(ctx) })
}

// Await waits until a condition finds nothing to say, or ctx ends: its error
// then is the condition's last.
func (h *Host) Await(ctx context.Context, what string, condition func() error) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := condition()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err // not what the end of ctx made of it
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %w\n%s", what, ctx.Err(), last, h.logs())
		}
	}
}

// notReady says what the control plane still lacks.
func (h *Host) notReady(ctx context.Context) error {
	pods, err := h.objects(ctx, "pods", "--namespace=kube-system")
	if err != nil {
		return err
	}
	for _, name := range staticPods {
		name += "-" + Node
		if !slices.ContainsFunc(pods, func(o object) bool { return o.Metadata.Name == name && o.ready() }) {
			return fmt.Errorf("pod %s isn't ready", name)
		}
	}
	nodes, err := h.objects(ctx, "nodes")
	if err != nil {
		return err
	}
	if len(nodes) != 1 || !nodes[0].ready() {
		return errors.New("the node isn't ready")
	}
	if len(nodes[0].Spec.Taints) > 0 {
		return fmt.Errorf("the node is tainted: %v", nodes[0].Spec.Taints)
	}
	return nil
}

// An object is a pod or a node, as far as it matters here.
type object struct {
	Metadata struct{ Name string }
	Spec     struct{ Taints []any }
	Status   struct {
		Conditions []struct{ Type, Status string }
	}
}

func (o object) ready() bool {
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

func (h *Host) objects(ctx context.Context, args ...string) ([]object, error) {
	out, err := h.Kubectl(ctx, append([]string{"get", "--output=json", "--request-timeout=5s"}, args...)...)
	if err != nil {
		return nil, err
	}
	var list struct{ Items []object }
	err = json.Unmarshal([]byte(out), &list)
	return list.Items, err
}

// logs returns the last words of what runs the control plane.
func (h *Host) logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := h.Output(ctx, "sh", "-c", `
		journalctl --no-pager --lines=20 --output=cat --unit=kubelet --unit=containerd
		tail -n 5 /var/log/containers/*.log`)
	if err != nil {
		out = append(out, err.Error()...)
	}
	return strings.TrimSpace(string(out))
}
