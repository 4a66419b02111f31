package staticpod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"runbook/engine"
)

// kubelet is what the host's kubelet is configured to do, as far as it matters
// for static pods. It is part of the records.
type kubelet struct {
	Manifests string `json:"manifests"`        // the folder whose files it runs
	Socket    string `json:"socket"`           // the container runtime's
	Node      string `json:"node"`             // as it is named in the pods' names
	Health    string `json:"health,omitempty"` // where it tells that it is well; empty if nowhere
}

// usualSockets are those of the runtimes that kubelet works with.
var usualSockets = []string{"/run/containerd/containerd.sock", "/var/run/crio/crio.sock", "/run/cri-dockerd.sock"}

// configuration is the part of kubelet's configuration that matters here.
type configuration struct {
	StaticPodPath            string `json:"staticPodPath"`
	ContainerRuntimeEndpoint string `json:"containerRuntimeEndpoint"`
	HealthzBindAddress       string `json:"healthzBindAddress"`
	HealthzPort              *int   `json:"healthzPort"`
}

// readKubelet learns about the host's kubelet from its configuration at path.
// The node's name is the one that a step gives, if it does.
func readKubelet(ctx context.Context, w engine.World, path string, node *string) (kubelet, error) {
	data, err := readSource(ctx, w, path)
	if errors.Is(err, fs.ErrNotExist) {
		return kubelet{}, engine.Errorf(path, "there is no such file, so it can't be told which manifests kubelet runs").
			WithHint("Set kubelet_config to kubelet's configuration; see what its flag --config says.").WithAttribute("kubelet_config")
	}
	if err != nil {
		return kubelet{}, err
	}
	var c configuration
	if err := yaml.Unmarshal(data, &c); err != nil {
		return kubelet{}, engine.Errorf(path, "it can't be read as kubelet's configuration: %w", err).WithAttribute("kubelet_config")
	}
	k := kubelet{Manifests: c.StaticPodPath, Socket: c.ContainerRuntimeEndpoint, Health: c.health()}
	if k.Node, err = os.Hostname(); err != nil {
		return kubelet{}, &engine.Error{Where: "the host's name", Err: err}
	}
	for _, file := range []string{filepath.Join(filepath.Dir(path), "kubeadm-flags.env"), "/etc/default/kubelet", "/etc/sysconfig/kubelet"} {
		text, err := readSource(ctx, w, file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return kubelet{}, err
		}
		k.flags(string(text))
	}
	if k.Manifests == "" {
		return k, engine.Errorf(path, "it names no folder of static pods (staticPodPath)").
			WithHint("Set kubelet_config to the configuration of the kubelet that runs them.").WithAttribute("kubelet_config")
	}
	k.Manifests = real(k.Manifests)
	if node != nil {
		k.Node = *node
	}
	k.Node = strings.ToLower(strings.TrimSpace(k.Node))
	return k, nil
}

func (c configuration) health() string {
	host, port := "127.0.0.1", 10248
	if c.HealthzBindAddress != "" && c.HealthzBindAddress != "0.0.0.0" {
		host = c.HealthzBindAddress
	}
	if c.HealthzPort != nil {
		port = *c.HealthzPort
	}
	if port == 0 {
		return ""
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + "/healthz"
}

// flags takes over the flags that a file of variables has for kubelet.
func (k *kubelet) flags(text string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\"'", r) }) {
		if variable, flag, ok := strings.Cut(word, "=--"); ok && !strings.HasPrefix(variable, "-") {
			word = "--" + flag // the first one, where there are no quotes
		}
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "--container-runtime-endpoint":
			k.Socket = value
		case "--pod-manifest-path":
			k.Manifests = value
		case "--hostname-override":
			k.Node = value
		}
	}
}

// socket is the container runtime's: the one that a step names, that of
// kubelet's configuration, or a usual one that is there.
func (k kubelet) socket(named *string) (string, error) {
	if named != nil {
		return socketPath(*named), nil
	}
	if k.Socket != "" {
		return socketPath(k.Socket), nil
	}
	for _, usual := range usualSockets {
		if _, err := os.Stat(usual); err == nil {
			return usual, nil
		}
	}
	return "", engine.Errorf("container runtime", "it has no socket at any of %s", strings.Join(usualSockets, ", ")).
		WithHint("Start the runtime, or set runtime_endpoint to its socket: without it nobody can tell which containers run.").
		WithAttribute("runtime_endpoint")
}

// socketPath is the path in a runtime's endpoint.
func socketPath(endpoint string) string { return strings.TrimPrefix(endpoint, "unix://") }

func readSource(ctx context.Context, w engine.World, path string) ([]byte, error) {
	now, err := w.Source(ctx, path)
	if err != nil {
		return nil, err
	}
	data, err := readLinked(now)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	return data, nil
}

// willBeDown reports whether kubelet will not be running. An earlier step may
// start or stop its unit; where systemd has none, only kubelet itself can tell.
func (k kubelet) willBeDown(ctx context.Context, w engine.World) (bool, error) {
	unit, err := w.Unit(ctx, "kubelet.service")
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return false, err
	}
	if err == nil && unit.LoadState == "loaded" {
		return unit.ActiveState == "inactive" || unit.ActiveState == "failed", nil
	}
	down, _ := k.down(ctx)
	return down, nil
}

// down reports whether kubelet isn't running, and what was seen. One that
// doesn't answer in time is running and hangs.
func (k kubelet) down(ctx context.Context) (bool, string) {
	if k.Health == "" {
		return false, "it is not asked"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Health, nil)
	if err != nil {
		return false, err.Error()
	}
	resp, err := local.Do(req)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED), err.Error()
	}
	_ = resp.Body.Close() // that it answers is all that counts
	return false, fmt.Sprintf("it answers with %s", resp.Status)
}
