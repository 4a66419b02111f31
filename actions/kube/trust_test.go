package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/engine"
)

// fakeServer is no API server, but has its certificate, which is valid until a
// time. It returns a kubeconfig that trusts it, or one that doesn't.
func fakeServer(t *testing.T, until time.Time, trust bool) (kubeconfig string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	must(t, err)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail, that is the point
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := ""
	if trust {
		ca = filepath.Join(t.TempDir(), "ca.crt")
		must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
		ca = fmt.Sprintf(", certificate-authority: %q", ca)
	}
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	must(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q%s}}]
contexts: [{name: c, context: {cluster: c}}]
current-context: c
`, server.URL, ca), 0o600))
	return kubeconfig
}

// A certificate that has expired, or is somebody else's, is said at once: no
// waiting helps.
func TestUntrustedServerIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		until time.Time
		trust bool
		says  []string
	}{
		"expired":   {time.Now().Add(-time.Minute), true, []string{"certificate has expired", "kubeadm certs renew"}},
		"another's": {time.Now().Add(time.Hour), false, []string{"unknown authority", "Is the kubeconfig this cluster's"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &ready{Kubeconfig: fakeServer(t, c.until, c.trust), Timeout: 3600, Interval: 1}
			_, err := a.Apply(t.Context(), engine.Change{}, quiet{})
			if err == nil {
				t.Fatal("it was trusted")
			}
			for _, part := range c.says {
				if text := err.Error() + " " + engine.HintOf(err); !strings.Contains(text, part) {
					t.Errorf("%q is not in: %s", part, text)
				}
			}
		})
	}
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
