package causes

import (
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	kubeletUnit      = "kubelet.service"
	kubeletConfigAt  = "/var/lib/kubelet/config.yaml"
	usualManifests   = "/etc/kubernetes/manifests"
	containerdUnit   = "containerd.service"
	containerdSocket = "/run/containerd/containerd.sock"
)

// kubeletConfig is what this host's kubelet is configured to do.
type kubeletConfig struct {
	err       error // why its configuration can't be read
	manifests string
	socket    string // the container runtime's
}

// readKubeletConfig reads the part that matters here.
func (h host) readKubeletConfig() kubeletConfig {
	var k kubeletConfig
	text, err := h.read(kubeletConfigAt)
	if err != nil {
		k.err = err
	}
	var c struct {
		StaticPodPath            string `json:"staticPodPath"`
		ContainerRuntimeEndpoint string `json:"containerRuntimeEndpoint"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		k.err = err
	}
	k.manifests, k.socket = c.StaticPodPath, c.ContainerRuntimeEndpoint
	for _, path := range []string{"/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"} {
		text, err := h.read(path)
		if err == nil { // most hosts have but one of them
			k.flags(string(text))
		}
	}
	if k.socket = strings.TrimPrefix(k.socket, "unix://"); k.socket == "" {
		k.socket = containerdSocket
	}
	if k.manifests != "" {
		k.manifests = filepath.Clean(k.manifests)
	}
	return k
}

// flags takes over the flags that a file of variables has for kubelet.
func (k *kubeletConfig) flags(text string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\"'", r) }) {
		at := strings.Index(word, "--")
		if at < 0 {
			continue
		}
		switch name, value, _ := strings.Cut(word[at:], "="); name {
		case "--container-runtime-endpoint":
			k.socket = value
		case "--pod-manifest-path":
			k.manifests = value
		}
	}
}

// runtimeUnit is the unit of the container runtime, as its socket tells.
func (k kubeletConfig) runtimeUnit() string {
	switch {
	case strings.Contains(k.socket, "crio"):
		return "crio.service"
	case strings.Contains(k.socket, "cri-dockerd"):
		return "cri-docker.service"
	}
	return containerdUnit
}

// folder is where the manifests of this host's static pods are.
func (l *look) folder() string {
	if l.o.Manifest != "" {
		return filepath.Dir(l.o.Manifest)
	}
	return usualManifests
}

// hosted reports whether kubelet has to run here for etcd or the API server to:
// the manifests' folder is the one that kubelet reads, or the usual one.
func (l *look) hosted() bool {
	if l.o.Manifest == "" {
		return l.hasAPIServer()
	}
	return l.folder() == usualManifests || l.folder() == l.kubelet().manifests
}
