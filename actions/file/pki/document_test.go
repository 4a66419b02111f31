package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
)

// selfSigned is a certificate in PEM.
func selfSigned(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "self"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Whatever a file holds, nobody panics; and where there is a certificate in it,
// it can be exchanged for itself, which leaves it as it means.
func FuzzRead(f *testing.F) {
	f.Add([]byte(nil))
	cert := selfSigned(f)
	f.Add(append([]byte("text\n"), cert...))
	f.Add(fmt.Appendf(nil, "kind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {user: u}}]\nusers: [{name: u, user: {client-certificate-data: %s}}]",
		base64.StdEncoding.EncodeToString(cert)))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Read(text)
		if err != nil || d.Certificate == nil {
			return
		}
		out, err := d.With(d.Certificate.Raw)
		if err != nil {
			return
		}
		again, err := Read(out)
		if err != nil || again.Certificate == nil || !bytes.Equal(again.Certificate.Raw, d.Certificate.Raw) {
			t.Errorf("%q became %q (%v)", text, out, err)
		}
	})
}

func TestNames(t *testing.T) {
	some := Names{DNS: []string{"a", "B"}, IPs: []net.IP{net.IPv4(10, 0, 0, 1)}}
	more := Names{DNS: []string{"b", "c"}, IPs: []net.IP{net.ParseIP("::ffff:10.0.0.1"), net.ParseIP("fd00::1")}}
	if got := some.And(more).String(); got != "a, B, c, 10.0.0.1, fd00::1" {
		t.Errorf("both are %s", got)
	}
	if got := more.Without(some).String(); got != "c, fd00::1" {
		t.Errorf("missing are %s", got)
	}
	if !some.Without(some).Empty() || some.Without(some).String() != "no names" {
		t.Error("something is missing of itself")
	}
}
