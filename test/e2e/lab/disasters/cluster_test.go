package disasters

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"runbook/test/disaster"
	"runbook/test/kubehost"
	"runbook/test/program"
)

const (
	recovery  = "runbook run etcd-recover.hcl"
	look      = "runbook plan etcd-recover.hcl"
	diagnosis = "runbook read etcd_diagnosis --json"
	backup    = "runbook run etcd-backup.hcl --yes --var manifest=/etc/kubernetes/manifests/etcd.yaml"
)

// cluster is a control plane that is booted when there is none, and used for as
// long as it is well.
type cluster struct {
	*kubehost.Host
	t *testing.T
}

var _ disaster.Site = (*cluster)(nil)

func (c *cluster) close() error {
	if c.Host == nil {
		return nil
	}
	h := c.Host
	c.Host = nil
	return h.Close()
}

func (c *cluster) boot(ctx context.Context) error {
	binary, err := program.Build()
	if err != nil {
		return err
	}
	if c.Host, err = kubehost.Boot(ctx, kubehost.Options{Runbook: binary}); err != nil {
		return err
	}
	if err := c.Run(ctx, "sh", "-ec", asPackaged); err != nil {
		return err
	}
	return c.writeCertificates(ctx)
}

// asPackaged has the units lie where packages put them, so that they can be
// masked, and kubelet start at a boot.
const asPackaged = `
	mv /etc/systemd/system/kubelet.service /etc/systemd/system/containerd.service /usr/lib/systemd/system/
	systemctl daemon-reload
	systemctl enable kubelet
	install -d -m 0700 /var/backups/etcd`

// fresh leaves nothing of earlier disasters, and has kubelet forget what has
// crashed.
const fresh = `
	rm -rf /var/lib/runbook /var/lib/etcd?* /var/backups/etcd /srv/etcd* /etc/kubernetes/manifests.stopped
	find /etc/kubernetes -name '*.before-*' -delete
	install -d -m 0700 /var/backups/etcd
	journalctl --quiet --rotate
	journalctl --quiet --vacuum-time=1us
	systemctl restart kubelet`

// wholeWithin is how long a cluster may take until all of it is ready.
const wholeWithin = 3 * time.Minute

func (c *cluster) Reset(ctx context.Context) error {
	if c.Host == nil {
		return c.boot(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, wholeWithin)
	defer cancel()
	if err := c.Run(ctx, "sh", "-ec", fresh); err != nil {
		return err
	}
	return c.AwaitReady(ctx)
}

func (c *cluster) Backup(ctx context.Context) error {
	return c.Run(ctx, "sh", "-ec", backup+" && rm -rf /var/lib/runbook")
}

// Client reads the certificates anew, as a cure may have changed them.
func (c *cluster) Client(ctx context.Context) (*clientv3.Client, error) {
	const pki = "/etc/kubernetes/pki/"
	read := func(name string) ([]byte, error) { return c.Output(ctx, "cat", pki+name) }
	ca, err := read("etcd/ca.crt")
	if err != nil {
		return nil, err
	}
	crt, err1 := read("apiserver-etcd-client.crt")
	key, err2 := read("apiserver-etcd-client.key")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(crt, key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: []string{"https://127.0.0.1:2379"}, Logger: zap.NewNop(),
		TLS: &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots},
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.Dial(ctx, "tcp", addr)
		})},
	})
}

// maps is how many ConfigMaps are written at a time.
const maps = 3

// Objects writes ConfigMaps by way of the API server.
func (c *cluster) Objects(ctx context.Context, l *disaster.Ledger, e *clientv3.Client, since bool) error {
	when := "before"
	if since {
		when = "since"
	}
	prefix := "ledger-" + l.Name + "-" + when + "-"
	var manifests []string
	for i := range maps {
		manifests = append(manifests, fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "%s%d"}, "data": {"written": "%s"}}`, prefix, i, when))
	}
	if err := c.Apply(ctx, strings.Join(manifests, "\n---\n")); err != nil {
		return err
	}
	return l.Note(ctx, e, "/registry/configmaps/default/"+prefix, maps, since)
}

// Serves waits until the API server takes writes.
func (c *cluster) Serves(ctx context.Context) error {
	return c.Await(ctx, "the API server writes", func() error {
		script := `k="kubectl --kubeconfig=` + kubehost.AdminConfig + ` --request-timeout=5s"
			$k get --raw=/readyz >/dev/null
			$k create configmap written
			$k delete configmap written`
		return c.Run(ctx, "sh", "-ec", script)
	})
}

// Whole waits until everything is ready, and compares what the API tells of
// objects with what etcd holds.
func (c *cluster) Whole(ctx context.Context, l *disaster.Ledger, e *clientv3.Client) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	prefix := "ledger-" + l.Name + "-"
	got, err := e.Get(ctx, "/registry/configmaps/default/"+prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	names, err := c.Kubectl(ctx, "get", "configmaps", "--namespace=default", "--output=name")
	if told := strings.Count(names, "/"+prefix); err == nil && int64(told) != got.Count {
		return fmt.Errorf("the API tells of %d ConfigMaps, and etcd holds %d", told, got.Count)
	}
	return err
}
