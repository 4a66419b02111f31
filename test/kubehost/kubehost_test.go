package kubehost

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Two hosts at once, as their kubelets must not take each other's pods for
// leftovers.
func TestControlPlane(t *testing.T) {
	for _, name := range []string{"one", "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testHost(t)
		})
	}
}

func testHost(t *testing.T) {
	h, err := Boot(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	t.Run("node", func(t *testing.T) {
		if got := kubectl(ctx, t, h, "get", "nodes", "--output=name"); got != "node/"+Node {
			t.Errorf("got %q", got)
		}
	})
	t.Run("etcd", func(t *testing.T) { testEtcd(ctx, t, h) })
	t.Run("workload", func(t *testing.T) { testWorkload(ctx, t, h) })
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if left := h.Leftovers(); len(left) > 0 {
		t.Errorf("the host leaves %s", strings.Join(left, "\n"))
	}
}

// etcd is the one member that kubeadm made, on a disk's file system.
func testEtcd(ctx context.Context, t *testing.T, h *Host) {
	const pki = "/etc/kubernetes/pki/etcd/"
	out, err := h.Output(ctx, "etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert="+pki+"ca.crt",
		"--cert="+pki+"server.crt", "--key="+pki+"server.key", "member", "list", "--write-out=json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Members []struct {
			Name     string
			PeerURLs []string
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(list.Members), fmt.Sprintf("[{%s [https://%s:2380]}]", Node, Address); got != want {
		t.Errorf("the members are %s, want %s", got, want)
	}
	kind, err := h.Output(ctx, "stat", "--file-system", "--format=%T", "/var/lib/etcd/member")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(kind)); got == "tmpfs" || got == "overlayfs" {
		t.Errorf("the data directory is on %s", got)
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: ` + WebImage + `
        imagePullPolicy: Never
        readinessProbe:
          httpGet: {path: /, port: 8080}
          periodSeconds: 1
`

// Pods run, and one reaches another by its address.
func testWorkload(ctx context.Context, t *testing.T, h *Host) {
	if err := h.Apply(ctx, deployment); err != nil {
		t.Fatal(err)
	}
	kubectl(ctx, t, h, "rollout", "status", "deployment/web", "--timeout=3m")
	pods := strings.Fields(kubectl(ctx, t, h, "get", "pods", "--selector=app=web",
		`--output=jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {end}`))
	if len(pods) != 6 {
		t.Fatalf("got %q, want three pods with an address each", pods)
	}
	got := kubectl(ctx, t, h, "exec", pods[0], "--", "curl", "-fsS", "http://"+pods[3]+":8080/hello")
	if want := pods[2] + " /hello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func kubectl(ctx context.Context, t *testing.T, h *Host, args ...string) string {
	t.Helper()
	out, err := h.Kubectl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
