package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// An Authority issues certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority reads a CA's certificate and its key.
func NewAuthority(certificate, key []byte) (*Authority, error) {
	d, err := Read(certificate)
	if err != nil || d.Certificate == nil {
		return nil, errors.New("it holds no certificate in PEM that can be read")
	}
	if !d.Certificate.IsCA {
		return nil, fmt.Errorf("%s is no CA", d.Certificate.Subject)
	}
	a := &Authority{Certificate: d.Certificate}
	if a.key, err = ReadKey(key); err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	if !SameKey(a.Certificate.PublicKey, a.key.Public()) {
		return nil, errors.New("its key is another one's: the two don't belong together")
	}
	return a, nil
}

// SameKey reports whether two public keys are one.
func SameKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// Signed reports whether a has issued a certificate.
func (a *Authority) Signed(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, a.Certificate.RawSubject) && c.CheckSignatureFrom(a.Certificate) == nil
}

// backdated is how much earlier than now a certificate begins to be valid, for
// those whose clock is behind.
const backdated = 5 * time.Minute

// Issue signs a certificate that is as template says, for the key of public. It
// is valid for so long, and never beyond a's own end.
func (a *Authority) Issue(template *x509.Certificate, public crypto.PublicKey, now time.Time, valid time.Duration) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t := *template
	t.SerialNumber = serial.SetBit(serial, 126, 1) // never 0, and always as long
	t.NotBefore, t.NotAfter = later(now.Add(-backdated), a.Certificate.NotBefore), a.Until(now, valid)
	der, err := x509.CreateCertificate(rand.Reader, &t, a.Certificate, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return der, a.verify(der, now)
}

// Until is when a certificate ends that is to be valid for so long.
func (a *Authority) Until(now time.Time, valid time.Duration) time.Time {
	until := now.Add(valid).Truncate(time.Second)
	if until.After(a.Certificate.NotAfter) {
		return a.Certificate.NotAfter
	}
	return until
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// verify fails unless whoever trusts a trusts the certificate.
func (a *Authority) verify(der []byte, now time.Time) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate)
	_, err = c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// The extensions that a template doesn't take over as they are.
var (
	authorityKeyID  = asn1.ObjectIdentifier{2, 5, 29, 35}
	alternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

// Like is the template of a certificate with the subject, the names and the
// usages of another one, and with further names.
func Like(old *x509.Certificate, further Names) (*x509.Certificate, error) {
	all := NamesOf(old).And(further)
	// What follows the first line is for who reads the template.
	t := &x509.Certificate{RawSubject: old.RawSubject,
		Subject: old.Subject, DNSNames: all.DNS, IPAddresses: all.IPs}
	for _, e := range old.Extensions {
		if e.Id.Equal(authorityKeyID) || e.Id.Equal(alternativeName) {
			continue
		}
		t.ExtraExtensions = append(t.ExtraExtensions, e)
	}
	names, err := further.addedTo(old)
	if err == nil && names != nil {
		t.ExtraExtensions = append(t.ExtraExtensions, *names)
	}
	return t, err
}
