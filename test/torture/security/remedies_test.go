package security

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"
)

var remedyDeeds = []deed{
	{name: "archive_extract", lay: func(g *ground) {
		sh(g.T, "tar -czf "+g.path("src/it.tar.gz")+" -C / "+g.path("src/a")[1:]+" "+g.path("src/etcd")[1:])
	}, steps: `
step "archive_extract" "it" {
  archive = "DIR/src/it.tar.gz"
  files   = ["DIR/src/a", "DIR/src/etcd"]
  to      = { "DIR/src/a" = "DIR/u/d/conf", "DIR/src/etcd" = "DIR/u/d/new" }
}`},
	{name: "certificate_renew", lay: layCertificate, steps: `
step "certificate_renew" "it" {
  path    = "DIR/u/d/server.crt"
  ca_cert = "DIR/src/ca.crt"
}`},
}

// layCertificate makes a CA of root's, and an expired certificate of mallory's
// server.
func layCertificate(g *ground) {
	key := func(path string) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(g.T, err)
		der, err := x509.MarshalECPrivateKey(k)
		must(g.T, err)
		must(g.T, os.WriteFile(g.path(path), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
		return k
	}
	sign := func(path string, c, parent *x509.Certificate, public any, signer *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, signer)
		must(g.T, err)
		must(g.T, os.WriteFile(g.path(path), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	}
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(9, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root := key("src/ca.key")
	sign("src/ca.crt", ca, ca, root.Public(), root)
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, -1), DNSNames: []string{"host"}}
	sign("u/d/server.crt", server, ca, key("u/d/server.key").Public(), root)
	for _, name := range []string{"server.crt", "server.key"} {
		must(g.T, os.Chown(g.path("u/d/"+name), mallory, mallory))
		must(g.T, os.WriteFile(g.path("victim/"+name), []byte(hidden), 0o600))
	}
}

func TestNobodyLeadsARemedyAway(t *testing.T) {
	for _, d := range remedyDeeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newScene(t).standUp(d)
		})
	}
}
