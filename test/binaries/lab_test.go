package binaries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program of the lab is built anew if what it is built from is another, and
// only then.
func TestLabBuildsWhatChanged(t *testing.T) {
	t.Setenv("RUNBOOK_LAB_CACHE", "/cache")
	dir := t.TempDir()
	write(t, dir, "go.sum", "")
	write(t, dir, "images/web/main.go", "package main")
	write(t, dir, "go.mod", "require k8s.io/kubernetes v1.37.2\n")
	kubelet, web := labPath(t, dir, "kubelet"), labPath(t, dir, "web")
	if !strings.HasPrefix(kubelet, "/cache/kubernetes-v1.37.2-") || filepath.Base(kubelet) != "kubelet" {
		t.Errorf("kubelet is at %s", kubelet)
	}
	if filepath.Dir(labPath(t, dir, "kubeadm")) != filepath.Dir(kubelet) {
		t.Error("kubeadm and kubelet of a version aren't together")
	}
	write(t, dir, "go.mod", "require (\n\tk8s.io/kubernetes v1.36.3\n)\n")
	if got := labPath(t, dir, "kubelet"); !strings.HasPrefix(got, "/cache/kubernetes-v1.36.3-") {
		t.Errorf("another kubelet is at %s", got)
	}
	if got := labPath(t, dir, "web"); got != web {
		t.Errorf("web went to %s with the version of Kubernetes", got)
	}
	write(t, dir, "images/web/main.go", "package main // another")
	if got := labPath(t, dir, "web"); got == web {
		t.Error("another web is where the first was")
	}
}

func TestUnknownProgram(t *testing.T) {
	_, err := Path(t.Context(), "kubectx")
	if err == nil || !strings.Contains(err.Error(), `knows a program "kubectx"`) {
		t.Errorf("got %v", err)
	}
}

func labPath(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := labBuild(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return b.path
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
