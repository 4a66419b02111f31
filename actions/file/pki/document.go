// Package pki reads certificates where Kubernetes keeps them, and issues them
// anew. It opens no file and writes none.
package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

// A Document is a file that holds a certificate: PEM, perhaps with its key, or a
// kubeconfig with a client's.
type Document struct {
	// Certificate is the first one in PEM, or that of a kubeconfig's user. It is
	// nil where there is none that can be read.
	Certificate *x509.Certificate
	// Key is nil where the document doesn't hold it.
	Key crypto.Signer
	// Kubeconfig says that the certificate is a kubeconfig's.
	Kubeconfig bool

	text     []byte
	embedded string // the certificate as a kubeconfig's text has it
}

// Read reads a file's text. That there is no certificate in it is no error.
func Read(text []byte) (*Document, error) {
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		if config, err := clientcmd.Load(text); err == nil && len(config.AuthInfos) > 0 {
			return readKubeconfig(text, config)
		}
	}
	d := &Document{text: text}
	if from, to := block(text); from < to {
		d.Certificate, _ = parse(text[from:to]) // one that can't be read is none
	}
	d.Key, _ = ReadKey(text) // likewise
	return d, nil
}

func readKubeconfig(text []byte, config *api.Config) (*Document, error) {
	context := config.Contexts[config.CurrentContext]
	if context == nil {
		return nil, fmt.Errorf("the kubeconfig's current context %q isn't in it", config.CurrentContext)
	}
	user := config.AuthInfos[context.AuthInfo]
	switch {
	case user == nil:
		return nil, fmt.Errorf("the kubeconfig's user %q isn't in it", context.AuthInfo)
	case user.ClientCertificate != "":
		return nil, &Elsewhere{Path: user.ClientCertificate}
	case len(user.ClientCertificateData) == 0:
		return nil, fmt.Errorf("the kubeconfig's user %q has no certificate", context.AuthInfo)
	}
	d := &Document{text: text, Kubeconfig: true, embedded: base64.StdEncoding.EncodeToString(user.ClientCertificateData)}
	var err error
	if d.Certificate, err = parse(user.ClientCertificateData); err != nil {
		return nil, fmt.Errorf("the certificate of the kubeconfig's user %q: %w", context.AuthInfo, err)
	}
	if d.Key, err = ReadKey(user.ClientKeyData); err != nil {
		return nil, fmt.Errorf("the key of the kubeconfig's user %q: %w", context.AuthInfo, err)
	}
	return d, nil
}

// Elsewhere says that a kubeconfig only names the file of its certificate.
type Elsewhere struct{ Path string }

func (e *Elsewhere) Error() string { return "the kubeconfig's certificate is in " + e.Path }

// block is where the first certificate in a text begins and ends.
func block(text []byte) (from, to int) {
	from = bytes.Index(text, []byte("-----BEGIN CERTIFICATE-----"))
	if from < 0 {
		return 0, 0
	}
	b, rest := pem.Decode(text[from:])
	if b == nil || b.Type != "CERTIFICATE" {
		return 0, 0
	}
	return from, len(text) - len(rest)
}

func parse(text []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(text)
	if b == nil || b.Type != "CERTIFICATE" {
		return nil, errors.New("it is no certificate in PEM")
	}
	return x509.ParseCertificate(b.Bytes)
}

// ReadKey reads a private key in PEM.
func ReadKey(text []byte) (crypto.Signer, error) {
	key, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return nil, errors.New("it holds no private key in PEM that can be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("its key is of a kind that can't sign (%T)", key)
	}
	return signer, nil
}

// With returns the text with another certificate in the place of d's, and all
// else as it was.
func (d *Document) With(der []byte) ([]byte, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if d.Kubeconfig {
		return d.embed(text)
	}
	from, to := block(d.text)
	if from == to && d.Key == nil {
		return text, nil // nothing in it is of use
	}
	return bytes.Join([][]byte{d.text[:from], text, d.text[to:]}, nil), nil
}

func (d *Document) embed(certificate []byte) ([]byte, error) {
	old, fresh := []byte(d.embedded), []byte(base64.StdEncoding.EncodeToString(certificate))
	out := bytes.ReplaceAll(d.text, old, fresh)
	back, err := Read(out)
	if err != nil || back.embedded != string(fresh) {
		return nil, errors.New("client-certificate-data isn't written on one line, so it can't be changed in place")
	}
	return out, nil
}
