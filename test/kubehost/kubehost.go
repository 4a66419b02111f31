// Package kubehost boots a throw-away host that is a whole Kubernetes control
// plane: kubeadm's own static pods under kubelet, containerd and a real
// systemd, and a node that runs pods.
//
//	host, err := kubehost.Boot(ctx, kubehost.Options{})
//	...
//	defer host.Close()
//	out, err := host.Kubectl(ctx, "get", "nodes")
//
// The first host on a machine is initialised by kubeadm and kept; every other
// begins as a copy of that. See docs/lab.md.
package kubehost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"runbook/test/binaries"
	"runbook/test/systemdhost"
)

// disk lists the host's directories on the machine's disk, where fsync and
// rename are real. What is kept of an initialised host is in them.
var disk = []string{"/var/lib", "/etc/kubernetes", "/var/backups", "/tmp"}

// Options say how a host differs from a plain one.
type Options struct {
	// Runbook is the product's program on this machine, which the host gets a
	// copy of at /usr/local/bin/runbook. None if empty.
	Runbook string
	// Bind lists files and directories that the host shares with the machine,
	// as systemdhost.Options has it.
	Bind []string
}

// A Host is a running control plane. Close ends it; so does the end of this
// process.
type Host struct {
	*systemdhost.Host
}

// startTimeout is how long a control plane may take to be up. It takes half a
// minute on an idle machine.
const startTimeout = 5 * time.Minute

// Boot starts a host and waits until its control plane is up and its node is
// ready. ctx bounds the boot only. Where nothing is kept yet of an initialised
// host, or it is out of date, Boot makes one first, and the programs too.
func Boot(ctx context.Context, o Options) (*Host, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	k, err := newKit(ctx)
	if err != nil {
		return nil, err
	}
	seed, err := k.seed(ctx)
	if err != nil {
		return nil, fmt.Errorf("initialise a control plane: %w", err)
	}
	defer seed.release()
	h, err := k.start(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := h.grow(ctx, seed); err != nil {
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), h.Close())
	}
	return h, nil
}

// Available returns an error that says what to do if this machine can't boot
// control planes.
func Available() error {
	if err := systemdhost.Available(); err != nil {
		return err
	}
	for program, pkg := range map[string]string{"containerd": "containerd", "runc": "runc", "ip": "iproute2"} {
		if !onSystem(program) {
			return fmt.Errorf("the lab needs %s: apt-get install %s (or run test/setup lab)", program, pkg)
		}
	}
	_, err := networkPlugins()
	return err
}

// onSystem reports whether a host would find a program, whatever the PATH of
// this process is.
func onSystem(program string) bool {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err == nil {
			return true
		}
	}
	return false
}

// grow makes a plain host the copy of an initialised one, and waits until its
// control plane is up.
func (h *Host) grow(ctx context.Context, s *seed) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := copyAll(ctx, s.dir+"/.", h.Root()); err != nil {
		return err
	}
	s.release()
	if err := h.Run(ctx, "systemctl", "start", "containerd", "kubelet"); err != nil {
		return err
	}
	return h.AwaitReady(ctx)
}

// copyAll copies files with all that they are.
func copyAll(ctx context.Context, args ...string) error {
	args = append([]string{"--archive", "--reflink=auto"}, args...)
	if out, err := exec.CommandContext(ctx, "cp", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cp %s: %w\n%s", args, err, out)
	}
	return nil
}

// Kubectl runs kubectl in the host as the cluster's administrator and returns
// what it printed.
func (h *Host) Kubectl(ctx context.Context, args ...string) (string, error) {
	out, err := h.Output(ctx, "kubectl", append([]string{"--kubeconfig=" + AdminConfig}, args...)...)
	return string(out), err
}

// Apply gives the cluster objects to make or to change.
func (h *Host) Apply(ctx context.Context, manifest string) error {
	cmd := h.Command(ctx, "kubectl", "--kubeconfig="+AdminConfig, "apply", "--filename=-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, out)
	}
	return nil
}

// newKit finds the programs that hosts are made of, and builds what is
// missing.
func newKit(ctx context.Context) (*kit, error) {
	k := &kit{programs: map[string]string{}}
	for _, name := range binaries.Lab() {
		path, err := binaries.Path(ctx, name)
		if err != nil {
			return nil, err
		}
		k.programs[name] = path
	}
	var err error
	if k.kubernetes, err = binaries.KubernetesVersion(); err != nil {
		return nil, err
	}
	if k.etcd, err = binaries.EtcdVersion(); err != nil {
		return nil, err
	}
	k.plugins, err = networkPlugins()
	return k, err
}
