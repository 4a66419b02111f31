package file

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// An etcd that nobody could talk to any more serves as soon as its certificate
// is renewed, without being started anew; one that is started then does too.
func TestRenewedEtcdServes(t *testing.T) {
	p := newEtcdPKI(t, long, expired)
	client := newKey(t)
	writePEM(t, filepath.Join(p.dir, "healthcheck-client.crt"), "CERTIFICATE", p.ca.sign(t, server, client.Public(), expired))
	writeKey(t, filepath.Join(p.dir, "healthcheck-client.key"), client)
	e, stop := startEtcd(t, p)
	if err := p.ask(t, e); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("with an expired certificate it answers with %v", err)
	}
	for _, name := range []string{"server", "healthcheck-client"} {
		renews(t, map[string]any{"path": filepath.Join(p.dir, name+".crt")})
	}
	if err := p.ask(t, e); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
	stop()
	e, _ = startEtcd(t, p)
	if err := p.ask(t, e); err != nil {
		t.Errorf("started with the new certificate: %v", err)
	}
}

func startEtcd(t *testing.T, p etcdPKI) (e *embed.Etcd, stop func()) {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.LogOutputs = filepath.Join(p.dir, "data"), "fatal", []string{filepath.Join(p.dir, "log")}
	cfg.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(p.dir, "peer")}}
	cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = p.path, filepath.Join(p.dir, "server.key")
	cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = filepath.Join(p.dir, "ca.crt"), true
	e, err := embed.StartEtcd(cfg)
	must(t, err)
	stop = sync.OnceFunc(e.Close)
	t.Cleanup(stop)
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		t.Fatal(err)
	}
	return e, stop
}

// ask writes and reads a key with the client's certificate that there is by now.
func (p etcdPKI) ask(t *testing.T, e *embed.Etcd) error {
	t.Helper()
	own, err := tls.LoadX509KeyPair(filepath.Join(p.dir, "healthcheck-client.crt"), filepath.Join(p.dir, "healthcheck-client.key"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(p.ca.cert)
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}, ServerName: "cp1"}
	at := e.Clients[0].Addr().String()
	conn, err := tls.Dial("tcp", at, config)
	if err != nil {
		return err
	}
	must(t, conn.Close())
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + at}, TLS: config, DialTimeout: 20 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Put(t.Context(), "/k", "v"); err != nil {
		return err
	}
	got, err := c.Get(t.Context(), "/k")
	if err == nil && (len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v") {
		err = fmt.Errorf("it answers with %v", got.Kvs)
	}
	return err
}
