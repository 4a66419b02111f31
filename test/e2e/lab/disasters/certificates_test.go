package disasters

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

const day = 24 * time.Hour

// bad are certificates like one that is there, each with one thing wrong.
var bad = map[string]struct {
	like  string
	spoil func(*x509.Certificate)
}{
	"expired":        {"etcd/server", expired},
	"client-expired": {"apiserver-etcd-client", expired},
	"other-ca":       {"etcd/server", func(*x509.Certificate) {}},
	"not-yet": {"etcd/server", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(day), time.Now().Add(366*day)
	}},
	"no-address": {"etcd/server", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{"elsewhere"}, []net.IP{net.IPv4(192, 0, 2, 1)}
	}},
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-366*day), time.Now().Add(-day)
}

// writeCertificates puts them into the host's /root/certs, for scripts to put in
// place. All are for the key that is there, so that one thing is wrong at a time.
func (c *cluster) writeCertificates(ctx context.Context) error {
	ca, err := c.pair(ctx, "etcd/ca")
	if err != nil {
		return err
	}
	other, err := otherCA(ca.Leaf)
	if err != nil {
		return err
	}
	for name, b := range bad {
		own, err := c.pair(ctx, b.like)
		if err != nil {
			return err
		}
		signer := ca
		if name == "other-ca" {
			signer = other
		}
		template := *own.Leaf
		template.SignatureAlgorithm = x509.UnknownSignatureAlgorithm // that of the signer's key
		b.spoil(&template)
		der, err := x509.CreateCertificate(rand.Reader, &template, signer.Leaf, own.Leaf.PublicKey, signer.PrivateKey)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := c.WriteFile("/root/certs/"+name+".crt", text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pair reads a certificate and its key.
func (c *cluster) pair(ctx context.Context, name string) (tls.Certificate, error) {
	const pki = "/etc/kubernetes/pki/"
	crt, err := c.Output(ctx, "cat", pki+name+".crt")
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := c.Output(ctx, "cat", pki+name+".key")
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(crt, key)
}

// otherCA is a CA of the same name with another key.
func otherCA(own *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: own.Subject.CommonName},
		NotBefore: own.NotBefore, NotAfter: own.NotAfter, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
