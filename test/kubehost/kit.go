package kubehost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"runbook/test/systemdhost"
)

// A kit is what hosts are made of.
type kit struct {
	versions
	programs map[string]string // paths on this machine, by name
	plugins  string            // the directory of the network's plugins
}

// onHost lists the programs that lie in the host's /usr/bin, as packages have
// them; the rest of the control plane is in images.
var onHost = []string{"kubeadm", "kubelet", "kubectl", "etcdctl", "etcdutl"}

// networkPlugins returns the directory of the CNI plugins.
func networkPlugins() (string, error) {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("the lab needs CNI plugins: apt-get install containernetworking-plugins (or run test/setup lab)")
}

// images are those that kubeadm and the lab's workloads want.
func (k *kit) images(pause string) []image {
	images := []image{
		{pause, []string{k.programs["pause"]}},
		{"registry.k8s.io/etcd:" + strings.TrimPrefix(k.etcd, "v") + "-0",
			[]string{k.programs["etcd"], k.programs["etcdctl"], k.programs["etcdutl"]}},
		{"docker.io/" + WebImage, []string{k.programs["web"], k.programs["curl"]}},
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		images = append(images, image{"registry.k8s.io/" + name + ":" + k.kubernetes, []string{k.programs[name]}})
	}
	return images
}

// start boots a host with all programs and configuration, and nothing of
// Kubernetes running.
func (k *kit) start(ctx context.Context, o Options) (*Host, error) {
	options := systemdhost.Options{Name: Node, Disk: disk, Bind: o.Bind, Containers: true}
	for _, name := range onHost {
		options.Share = append(options.Share, k.programs[name]+":/usr/bin/"+name)
	}
	inner, err := systemdhost.Boot(ctx, options)
	if err != nil {
		return nil, err
	}
	h := &Host{inner}
	if err := k.furnish(ctx, h, o); err != nil {
		return nil, errors.Join(fmt.Errorf("furnish the host: %w", err), h.Close())
	}
	return h, nil
}

// furnish gives the host its network, configuration and units.
func (k *kit) furnish(ctx context.Context, h *Host, o Options) error {
	pause, err := h.pauseImage(ctx)
	if err != nil {
		return err
	}
	// The machine's own containers, if it has any, are set up otherwise.
	if err := h.Run(ctx, "rm", "-rf", "/etc/containerd", "/etc/cni"); err != nil {
		return err
	}
	for path, text := range map[string]string{
		"/etc/containerd/config.toml":            containerdConfig(pause, k.plugins),
		"/etc/cni/net.d/10-lab.conflist":         network,
		"/etc/hosts":                             "127.0.0.1 localhost\n" + Address + " " + Node + "\n",
		"/etc/kubeadm.yaml":                      kubeadmConfig(k.versions),
		"/etc/systemd/system/containerd.service": containerdUnit,
		"/etc/systemd/system/kubelet.service":    kubeletUnit,
		"/etc/profile.d/lab.sh":                  "export KUBECONFIG=" + AdminConfig + "\n",
	} {
		if err := h.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if o.Runbook != "" {
		program, err := os.ReadFile(o.Runbook)
		if err != nil {
			return err
		}
		if err := h.WriteFile("/usr/local/bin/runbook", program, 0o755); err != nil {
			return err
		}
	}
	if err := h.Run(ctx, "sh", "-ec", maskKernel); err != nil {
		return err
	}
	// A bridge without ports, as some kernels have no dummy interfaces.
	return h.Run(ctx, "sh", "-ec", `
		ip link add lab0 address 02:00:c6:12:00:0b type bridge
		ip addr add `+Address+`/24 dev lab0
		ip link set lab0 up
		echo 1 >/proc/sys/net/ipv4/ip_forward
		systemctl daemon-reload`)
}

// maskKernel covers the settings that kubelet makes to the machine's one kernel
// by files that it may write to its heart's content.
const maskKernel = `
	cd /proc/sys
	for f in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
			kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
		mkdir -p /run/kernel/${f%/*}
		cat $f >/run/kernel/$f
		mount --bind /run/kernel/$f $f
	done`

// pauseImage asks kubeadm which image holds a pod's namespaces.
func (h *Host) pauseImage(ctx context.Context) (string, error) {
	// A version keeps it from asking the internet for the newest.
	out, err := h.Output(ctx, "sh", "-ec",
		"kubeadm config images list --kubernetes-version=$(kubeadm version -o short)")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "/pause:") {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("kubeadm names no image \"pause\": %s", out)
}
