package kubehost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// makeSeedTimeout is how long kubeadm and all around it may take: a minute or
// two on an idle machine.
const makeSeedTimeout = 15 * time.Minute

// makeSeed makes a seed in dir. It appears whole or not at all.
func (k *kit) makeSeed(ctx context.Context, dir string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, makeSeedTimeout)
	defer cancel()
	h, err := k.start(ctx, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	unfinished := dir + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := k.importImages(ctx, h); err != nil {
		return err
	}
	if err := h.keep(ctx, unfinished, "/var/lib/containerd"); err != nil {
		return err
	}
	if err := h.initialise(ctx); err != nil {
		return err
	}
	if err := h.freeze(ctx); err != nil {
		return err
	}
	if err := h.keep(ctx, unfinished,
		"/etc/kubernetes", "/var/lib/etcd", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/instance-config.yaml",
		"/var/lib/kubelet/kubeadm-flags.env", "/var/lib/kubelet/pki"); err != nil {
		return err
	}
	return replace(unfinished, dir)
}

func replace(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// keep copies files of the host into a seed.
func (h *Host) keep(ctx context.Context, seed string, paths ...string) error {
	for _, path := range paths {
		dir := filepath.Join(seed, filepath.Dir(path))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := copyAll(ctx, h.Root()+path, dir); err != nil {
			return err
		}
	}
	return nil
}

// importImages gives the host's container runtime its images, and stops it.
func (k *kit) importImages(ctx context.Context, h *Host) error {
	pause, err := h.pauseImage(ctx)
	if err != nil {
		return err
	}
	const path = "/tmp/images.tar"
	f, err := os.Create(h.Root() + path)
	if err != nil {
		return err
	}
	if err := errors.Join(archive(f, k.images(pause)), f.Close()); err != nil {
		return err
	}
	return h.Run(ctx, "sh", "-ec", `
		systemctl start containerd
		ctr --namespace=k8s.io images import `+path+`
		rm `+path+`
		systemctl stop containerd`)
}

// initialise has kubeadm make a control plane, and waits until it is up.
func (h *Host) initialise(ctx context.Context) error {
	err := h.Run(ctx, "sh", "-ec", `
		systemctl start containerd
		kubeadm init --config=/etc/kubeadm.yaml --ignore-preflight-errors=all --skip-phases=preflight,addon`)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, h.logs())
	}
	return h.AwaitReady(ctx)
}

// freeze brings the control plane to rest in a state that tells of no running
// one: the next finds nobody's lead to wait out, and what is said to be ready
// then is.
func (h *Host) freeze(ctx context.Context) error {
	if err := h.Run(ctx, "systemctl", "stop", "kubelet"); err != nil { // it would start everything again
		return err
	}
	if err := h.endContainers(ctx, "kube-controller-manager", "kube-scheduler"); err != nil {
		return err
	}
	for _, args := range []string{
		"delete leases --namespace=kube-system kube-controller-manager kube-scheduler",
		"delete pods --namespace=kube-system --all --force",
		`patch node ` + Node + ` --subresource=status --patch={"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}}`,
	} {
		if _, err := h.Kubectl(ctx, strings.Fields(args)...); err != nil {
			return err
		}
	}
	return h.endContainers(ctx, "kube-apiserver", "etcd")
}

// endContainers ends containers one after the other, by their names in their
// pods.
func (h *Host) endContainers(ctx context.Context, names ...string) error {
	for _, name := range names {
		err := h.Run(ctx, "sh", "-ec", `
			ctr="ctr --namespace=k8s.io"
			for id in $($ctr containers ls --quiet "labels.\"io.kubernetes.container.name\"==$0"); do
				$ctr tasks kill --signal=SIGTERM $id
				while $ctr tasks ls | grep -q "^$id .*RUNNING"; do sleep 0.1; done
			done`, name)
		if err != nil {
			return fmt.Errorf("end %s: %w", name, err)
		}
	}
	return nil
}
