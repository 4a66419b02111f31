// Command lab measures a recovery by runbook beside one by hand: the same
// control plane, the same loss, both in one go. It asserts nothing: machines
// differ, and are noisy.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"runbook/test/kubehost"
)

func main() {
	rounds := flag.Int("rounds", 3, "how often each side recovers the cluster")
	binary := flag.String("runbook", "bin/runbook", "the program to measure")
	noDNS := flag.Bool("no-dns", false, "recover a host whose name servers don't answer, and that doesn't know its own name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, *binary, *rounds, *noDNS); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, binary string, rounds int, noDNS bool) error {
	h, err := kubehost.Boot(ctx, kubehost.Options{Runbook: binary})
	if err != nil {
		return err
	}
	defer h.Close() // it goes with this process at the latest
	if err := h.Run(ctx, "runbook", "run", "baseline.hcl", "--yes", "--var", "image="+kubehost.WebImage,
		"--var", "image_pull_policy=Never", "--var", "args=[]"); err != nil {
		return err
	}
	damage := loss
	if noDNS {
		damage = silence + loss
	}
	fmt.Printf("%5s %12s %12s %8s\n", "round", "by hand", "runbook", "ratio")
	var ratios []float64
	for n := range rounds {
		hand, err := recover(ctx, h, damage, byHand)
		if err != nil {
			return fmt.Errorf("by hand: %w", err)
		}
		run, err := recover(ctx, h, damage, "runbook run etcd-restore.hcl --yes")
		if err != nil {
			return fmt.Errorf("by runbook: %w", err)
		}
		ratio := run.Seconds() / hand.Seconds()
		ratios = append(ratios, ratio)
		fmt.Printf("%5d %12s %12s %8.2f\n", n+1, hand.Round(100*time.Millisecond), run.Round(100*time.Millisecond), ratio)
	}
	slices.Sort(ratios)
	fmt.Printf("\nThe median ratio is %.2f (target: 1.00). By hand it ends when the API server is ready;\n"+
		"runbook ends when etcd's keys, its members, the nodes and the Kubernetes objects are checked too.\n", ratios[len(ratios)/2])
	return nil
}

// recover loses the data and measures how long a script takes to bring the
// cluster back.
func recover(ctx context.Context, h *kubehost.Host, damage, script string) (time.Duration, error) {
	if err := lose(ctx, h, damage); err != nil {
		return 0, err
	}
	began := time.Now()
	if out, err := h.Command(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, tail(out))
	}
	took := time.Since(began)
	if err := h.AwaitReady(ctx); err != nil {
		return 0, err
	}
	return took, h.Run(ctx, "kubectl", "--kubeconfig="+kubehost.AdminConfig, "create", "configmap", "proof", "--dry-run=server")
}

// lose destroys the data, and waits until nobody gets an answer.
func lose(ctx context.Context, h *kubehost.Host, damage string) error {
	if err := h.Run(ctx, "sh", "-ec", damage); err != nil {
		return err
	}
	return h.Await(ctx, "the cluster is down", func() error {
		if out, err := h.Kubectl(ctx, "get", "namespace", "default", "--request-timeout=2s"); err == nil {
			return fmt.Errorf("it answers: %s", out)
		}
		return nil
	})
}

const loss = "rm -rf /var/lib/etcd.before-* /var/lib/etcd.old-*; dd if=/dev/urandom of=/var/lib/etcd/member/snap/db bs=1M count=1 conv=notrunc; rm -r /var/lib/etcd/member/wal; pkill -KILL -x etcd"

// silence takes name resolution away: questions go to a machine that isn't there,
// so that each waits until it is given up. Kubelet looks the host's own name up
// once it isn't told the address.
const silence = `
ip route replace default dev lab0
ip neigh replace 198.18.0.53 lladdr 02:00:00:00:00:53 dev lab0 nud permanent
echo nameserver 198.18.0.53 >/etc/resolv.conf
echo 127.0.0.1 localhost >/etc/hosts
sed -i 's/--node-ip=[^ "]*//' /var/lib/kubelet/kubeadm-flags.env
`

// byHand is what the written procedures have one type, without the pauses for
// reading and typing, and without a check of anything.
const byHand = `
systemctl stop kubelet
mkdir -p /root/manifests
mv /etc/kubernetes/manifests/*.yaml /root/manifests/
for task in $(ctr -n k8s.io tasks ls -q); do
	case $(ctr -n k8s.io containers info "$task" | grep -o '"io.kubernetes.container.name": "[a-z-]*"') in
	*etcd*|*kube-*) ctr -n k8s.io tasks kill --signal SIGKILL "$task" ;;
	esac
done
mv /var/lib/etcd "/var/lib/etcd.old-$(date +%s)"
etcdutl snapshot restore "$(ls -t /var/backups/etcd/*.db | head -1)" --data-dir=/var/lib/etcd --name=` + kubehost.Node + ` \
	--initial-cluster=` + kubehost.Node + `=https://` + kubehost.Address + `:2380 --initial-advertise-peer-urls=https://` + kubehost.Address + `:2380 \
	--bump-revision=1000000000 --mark-compacted
mv /root/manifests/*.yaml /etc/kubernetes/manifests/
systemctl start kubelet
until kubectl --kubeconfig=` + kubehost.AdminConfig + ` get --raw=/readyz --request-timeout=2s; do sleep 0.5; done
`

func tail(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
