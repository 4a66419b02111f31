package file

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"runbook/actions/file/pki"
	"runbook/engine"
	"runbook/engine/durable"
)

// issuing is what a certificate is issued from. None of it is recorded.
type issuing struct {
	path     string
	doc      *pki.Document // what is at path
	ca       *pki.Authority
	caPath   string
	public   crypto.PublicKey
	keyPath  string
	template *x509.Certificate
}

// gather reads what the certificate is issued from.
func (a *renew) gather(ctx context.Context, at sourceOf, now time.Time) (*issuing, error) {
	i := &issuing{path: filepath.Clean(a.Path)}
	text, err := at.read(ctx, i.path, "path")
	if err != nil {
		return nil, err
	}
	if i.doc, err = pki.Read(text); err != nil {
		return nil, unreadable(i.path, err)
	}
	for _, find := range []func(context.Context, sourceOf, *issuing) error{a.findKey, a.findAuthority, a.findTemplate} {
		if err := find(ctx, at, i); err != nil {
			return nil, err
		}
	}
	if err := i.refuseAuthority(now); err != nil {
		return nil, err
	}
	return i, i.refuseExposed(ctx, at)
}

func unreadable(path string, err error) error {
	e := engine.Errorf(path, "%w", err).WithAttribute("path")
	if elsewhere := (*pki.Elsewhere)(nil); errors.As(err, &elsewhere) {
		return e.WithHint("Name that file as path, or what it links to.")
	}
	return e.WithHint("Put the file back from a backup (archive_extract), or have kubeadm make it: kubeadm init phase kubeconfig.")
}

// findKey finds the key that the certificate is for.
func (a *renew) findKey(ctx context.Context, at sourceOf, i *issuing) error {
	if a.Key == nil && i.doc.Key != nil {
		i.public, i.keyPath = i.doc.Key.Public(), i.path
		return nil
	}
	i.keyPath = pki.KeyOf(i.path)
	if a.Key != nil {
		i.keyPath = filepath.Clean(*a.Key)
	}
	text, err := at.read(ctx, i.keyPath, "key")
	if err != nil {
		return err
	}
	if text == nil {
		return engine.Errorf(i.keyPath, "the certificate's key is not here").
			WithHint("Put it back from a backup (archive_extract). A new key would have to be made by kubeadm: kubeadm init phase certs --help.").WithAttribute("key")
	}
	key, err := pki.ReadKey(text)
	if err != nil {
		return engine.Errorf(i.keyPath, "%w", err).
			WithHint("Put it back from a backup (archive_extract).").WithAttribute("key")
	}
	i.public = key.Public()
	return nil
}

// findAuthority finds the CA.
func (a *renew) findAuthority(ctx context.Context, at sourceOf, i *issuing) error {
	var certificate []byte
	candidates := []string{}
	for _, stem := range pki.Authorities(i.path) {
		candidates = append(candidates, stem+".crt")
	}
	if a.CACert != nil {
		candidates = []string{filepath.Clean(*a.CACert)}
	}
	for _, i.caPath = range candidates {
		var err error
		if certificate, err = at.read(ctx, i.caPath, "ca_cert"); err != nil {
			return err
		}
		if certificate != nil {
			break
		}
	}
	if certificate == nil {
		return engine.Errorf(strings.Join(candidates, ", "), "the CA's certificate is not here").
			WithHint("Name it with ca_cert, or put it back from a backup (archive_extract).").WithAttribute("ca_cert")
	}
	return a.openAuthority(ctx, at, i, certificate)
}

func (a *renew) openAuthority(ctx context.Context, at sourceOf, i *issuing, certificate []byte) error {
	path := pki.KeyOf(i.caPath)
	if a.CAKey != nil {
		path = filepath.Clean(*a.CAKey)
	}
	key, err := at.read(ctx, path, "ca_key")
	if err != nil {
		return err
	}
	if key == nil {
		return engine.Errorf(path, "the CA's key is not here, and nothing can be signed without it").
			WithHint("Name it with ca_key. Where it is kept elsewhere on purpose (kubeadm's external CA), have who keeps it issue the certificate, and put it at %s.", i.path).WithAttribute("ca_key")
	}
	if i.ca, err = pki.NewAuthority(certificate, key); err != nil {
		return engine.Errorf(i.caPath, "it can't be issued by this CA: %w", err).
			WithHint("See whether %s and %s are as they were: compare them with a backup.", i.caPath, path).WithAttribute("ca_cert")
	}
	return nil
}

// findTemplate finds out what the certificate has to say.
func (a *renew) findTemplate(ctx context.Context, at sourceOf, i *issuing) (err error) {
	old := i.doc.Certificate
	switch {
	case old != nil && old.IsCA:
		return engine.Errorf(i.path, "it is the certificate of a CA (%s), not of one that it has issued", old.Subject).
			WithHint("A CA is replaced with all that it has issued: see kubernetes.io, Manual Rotation of CA Certificates.").WithAttribute("path")
	case old != nil:
		if i.template, err = pki.Like(old, a.further()); err != nil {
			return engine.Errorf(i.path, "%w", err).WithHint("Issue it by hand.").WithAttribute("path")
		}
		return nil
	}
	rules := pki.Rules{Node: nodeName(), Further: a.further(), Look: func(path string) (*x509.Certificate, error) {
		text, err := at.read(ctx, path, "path")
		if err != nil {
			return nil, err
		}
		d, err := pki.Read(text)
		if err != nil {
			return nil, nil // it tells nothing
		}
		return d.Certificate, nil
	}}
	if i.template, err = rules.Template(i.path); err == nil {
		return nil
	}
	return missing(i, err)
}

func missing(i *issuing, err error) error {
	if other := (*engine.Error)(nil); errors.As(err, &other) {
		return other
	}
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return unknown
	}
	return engine.Errorf(i.path, "there is no certificate here, and %w", err).
		WithHint("Put it back from a backup (archive_extract), or name its addresses with add_ip_addresses where it is a server's.").WithAttribute("path")
}

// nodeName is the host's name as kubeadm writes it.
func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost" // uname(2) can't fail
	}
	return strings.ToLower(name)
}

func (i *issuing) refuseAuthority(now time.Time) error {
	c := i.ca.Certificate
	if !now.Before(c.NotBefore) && now.Before(c.NotAfter) {
		return nil
	}
	return engine.Errorf(i.caPath, "the CA itself is valid from %s until %s, and here it is %s", utc(c.NotBefore), utc(c.NotAfter), utc(now)).
		WithHint("See whether the clock is right (timedatectl). A CA that has expired is replaced with all that it has issued.").WithAttribute("ca_cert")
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// refuseExposed refuses to take the word of a file that others could change for
// who somebody is. Where the CA has signed it for that key before, it is no
// word of theirs.
func (i *issuing) refuseExposed(ctx context.Context, at sourceOf) error {
	if old := i.doc.Certificate; old != nil && i.ca.Signed(old) && pki.SameKey(old.PublicKey, i.public) {
		return nil
	}
	for attribute, path := range map[string]string{"path": i.path, "key": i.keyPath} {
		now, err := at(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			now, err = at(ctx, filepath.Dir(path))
		}
		if err != nil {
			return err
		}
		e, err := durable.Exposed(now)
		if err != nil {
			return &engine.Error{Where: path, Err: err}
		}
		if e != nil {
			return engine.Errorf(path, "others than root could have put this here, and so would choose whom the CA vouches for: %s", e).
				WithHint("Take the right to write there from them, and look whether the file is what it should be.").WithAttribute(attribute)
		}
	}
	return nil
}
