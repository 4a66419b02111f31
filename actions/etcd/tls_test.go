package etcd

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel, cfg.LogOutputs = filepath.Join(dir, "etcd"), "fatal", []string{filepath.Join(dir, "log")}
	cfg.ListenClientUrls = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "p")}}
	cfg.ClientAutoTLS, cfg.SelfSignedCertValidity = true, 1
	e, err := embed.StartEtcd(cfg)
	must(t, err)
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd isn't ready after 20 s")
	}
	at := []string{"https://" + e.Clients[0].Addr().String()}
	ca := filepath.Join(cfg.Dir, "fixtures", "client", "cert.pem")
	if _, err := call(t, "etcd_health", attrs{"endpoints": at, "tls": map[string]string{"ca": ca}}); err != nil {
		t.Error(err)
	}
	if _, err := call(t, "etcd_health", attrs{"endpoints": at, "timeout_seconds": 1}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the CA: %v", err)
	}
	_, err = call(t, "etcd_health", attrs{"endpoints": at, "tls": map[string]string{"ca": "/nonexistent"}})
	if err == nil || !strings.Contains(err.Error(), "nonexistent") {
		t.Errorf("with a CA that isn't there: %v", err)
	}
}
