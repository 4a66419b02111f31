// Package staticpod holds the actions on static pods: pods that kubelet runs
// because their manifests are in its folder, such as a kubeadm control plane.
package staticpod

import (
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions on static pods.
func Actions() []engine.Spec { return []engine.Spec{moveSpec, editSpec} }

// hostAttributes are those that both actions have: about the host's kubelet,
// and how long to wait.
func hostAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "kubelet_config", Type: cty.String, Default: cty.StringVal("/var/lib/kubelet/config.yaml"), Check: checkPath,
			Doc: "Absolute path of kubelet's configuration, which names its manifests folder. Flags in kubeadm-flags.env beside it and in /etc/default/kubelet or /etc/sysconfig/kubelet count too."},
		{Name: "runtime_endpoint", Type: cty.String, Check: checkEndpoint,
			Doc: "Socket of the container runtime, as a path or unix:///path. Without it, the one that kubelet's configuration names, or else that of containerd, CRI-O or cri-dockerd, whichever is there."},
		{Name: "node", Type: cty.String,
			Doc: "The node's name, which kubelet puts behind the names of static pods. Without it, kubelet's --hostname-override, or this host's name."},
		{Name: "grace_seconds", Type: cty.Number, Default: cty.NumberIntVal(3), Check: checkCount,
			Doc: "How long, in seconds, kubelet has to stop a pod before the runtime is asked to; a container that the runtime stops has as long again to end before it is killed. An API server often uses all of it, and holds nothing that could be lost. With 0 the runtime is asked at once, and kills."},
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(300), Check: checkWhole,
			Doc: "How long to wait, in seconds, for pods that are stopped or started together."},
	}
}

func checkPath(v cty.Value) error {
	path := v.AsString()
	switch {
	case !filepath.IsAbs(path):
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	case strings.ContainsRune(path, 0):
		return errors.New("a path can't contain a NUL character")
	case slices.Contains(strings.Split(path, "/"), ".."):
		return errors.New(`the path must not contain "..": write the path that is meant`)
	}
	return nil
}

func checkEndpoint(v cty.Value) error {
	if !filepath.IsAbs(socketPath(v.AsString())) {
		return errors.New("the runtime's socket is written as an absolute path or as unix:///path")
	}
	return nil
}

func checkWhole(v cty.Value) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < 1 || n > 1<<31 {
		return errors.New("it has to be a whole number of seconds, 1 or more")
	}
	return nil
}

func checkCount(v cty.Value) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < 0 || n > 1<<31 {
		return errors.New("it has to be a whole number, 0 or more")
	}
	return nil
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// inside reports whether path is dir or below it.
func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// real is path with the symbolic links in it followed, as far as it exists.
func real(path string) string {
	path = filepath.Clean(path)
	if there, err := filepath.EvalSymlinks(path); err == nil {
		return there
	}
	if path == "/" {
		return path
	}
	return filepath.Join(real(filepath.Dir(path)), filepath.Base(path))
}

func plural(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return fmt.Sprintf("%s and %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}
