package causes

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"runbook/actions/etcd/diagnose"
)

// judgePair says what is wrong with a certificate: the first thing, since it is
// put right as a whole.
func (l *look) judgePair(p pair) (finding, bool) {
	for _, path := range []string{p.cert, p.key} {
		if f, wrong := l.judgeFile(path); wrong {
			return l.renewable(f, p), true
		}
	}
	certText, keyText := p.certText, p.keyText
	if p.within == "" {
		var err error
		if certText, err = l.read(p.cert); err != nil {
			return finding{}, false // this user may not see it
		}
		if keyText, err = l.read(p.key); err != nil && p.key != "" {
			return finding{}, false
		}
	}
	cert, err := parseCertificate(certText)
	if err != nil {
		return l.wrong(p, classUnreadable, diagnose.Damage, fmt.Sprintf("%s can't be read: %s.", l.named(p), err)), true
	}
	return l.judgeCertificate(p, cert, certText, keyText)
}

func (l *look) judgeCertificate(p pair, cert *x509.Certificate, certText, keyText []byte) (finding, bool) {
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	switch {
	case l.now.After(cert.NotAfter):
		return l.wrong(p, classExpired, diagnose.Mistake, fmt.Sprintf("%s expired on %s.", l.named(p), day(cert.NotAfter))), true
	case l.now.Before(cert.NotBefore):
		return l.wrong(p, classNotYetValid, diagnose.Mistake, fmt.Sprintf("%s is valid from %s on, and this host's clock says %s.", l.named(p), day(cert.NotBefore), day(l.now))), true
	}
	if keyText != nil {
		if _, err := tls.X509KeyPair(certText, keyText); err != nil {
			return l.wrong(p, classOtherKey, diagnose.Mistake, fmt.Sprintf("%s and its key don't belong together: %s.", l.named(p), strings.TrimPrefix(err.Error(), "tls: "))), true
		}
	}
	if ca, text, ok := l.trusted(p); ok && !signedBy(cert, certText, text) {
		return l.wrong(p, classOtherCA, diagnose.Mistake, fmt.Sprintf("%s isn't signed by the CA in %s.", l.named(p), ca)), true
	}
	for _, host := range p.hosts {
		if cert.VerifyHostname(host) != nil {
			return l.wrong(p, classOtherName, diagnose.Mistake, fmt.Sprintf("%s isn't valid for %s, by which it is reached; it is for %s.", l.named(p), host, strings.Join(namesIn(cert), ", "))), true
		}
	}
	return finding{}, false
}

// named begins a sentence about a certificate.
func (l *look) named(p pair) string {
	if p.within != "" {
		return "The certificate in " + p.within
	}
	return fmt.Sprintf("%s, %s,", strings.ToUpper(p.what[:1])+p.what[1:], p.cert)
}

// wrong is a certificate that has to be renewed.
func (l *look) wrong(p pair, class, severity, sentence string) finding {
	return l.renewable(cause(class, severity, p.path(), sentence, "Renew it.", remedy{}), p)
}

// renewable says how a certificate is renewed: by a runbook where the key of its
// CA is on this host. A file that an archive holds is put back rather.
func (l *look) renewable(f finding, p pair) finding {
	if f.Remedy.Name != "" {
		return f
	}
	f.Remedy.Command = "kubeadm certs renew all"
	if key := strings.TrimSuffix(p.issuer, ".crt") + ".key"; p.issuer != "" && l.exists(key) && l.exists(p.issuer) && l.renews(p) {
		f.Path, f.Remedy.Name = p.path(), diagnose.RenewCertificate
		if name := renewals[p.path()]; name != "" {
			f.Remedy.Command = "kubeadm certs renew " + name
		}
		return f
	}
	if p.what == "kubelet's certificate" {
		f.Advice = "Make kubelet a new kubelet.conf."
		f.Remedy.Command = "kubeadm kubeconfig user --org system:nodes --client-name system:node:" + l.name + " > /etc/kubernetes/kubelet.conf && systemctl restart kubelet"
		return f
	}
	f.Advice = "Put it back from a backup, or have it renewed where the CA's key is."
	return f
}

// renews reports whether a certificate of this kind can be renewed in its place:
// kubelet's is a link to what it writes itself.
func (l *look) renews(p pair) bool { return !strings.HasPrefix(p.cert, "/var/lib/kubelet/") }

// renewals are kubeadm's names for certificates.
var renewals = map[string]string{
	"/etc/kubernetes/pki/etcd/server.crt":              "etcd-server",
	"/etc/kubernetes/pki/etcd/peer.crt":                "etcd-peer",
	"/etc/kubernetes/pki/etcd/healthcheck-client.crt":  "etcd-healthcheck-client",
	"/etc/kubernetes/pki/apiserver-etcd-client.crt":    "apiserver-etcd-client",
	"/etc/kubernetes/pki/apiserver.crt":                "apiserver",
	"/etc/kubernetes/pki/apiserver-kubelet-client.crt": "apiserver-kubelet-client",
	"/etc/kubernetes/pki/front-proxy-client.crt":       "front-proxy-client",
	"/etc/kubernetes/admin.conf":                       "admin.conf",
	"/etc/kubernetes/super-admin.conf":                 "super-admin.conf",
	"/etc/kubernetes/controller-manager.conf":          "controller-manager.conf",
	"/etc/kubernetes/scheduler.conf":                   "scheduler.conf",
}

// judgeFile says where a file that is needed isn't there.
func (l *look) judgeFile(path string) (finding, bool) {
	if path == "" {
		return finding{}, false
	}
	_, err := l.read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return finding{}, false
	}
	what := fmt.Sprintf("%s isn't there: what needs it doesn't start.", path)
	f := cause(classPKILost, diagnose.Damage, path, what, "Put it back from a backup of "+filepath.Dir(path)+"; a new CA would be another one for everybody.",
		remedy{Command: "find / -xdev -name " + filepath.Base(path)})
	if name, ok := strings.CutSuffix(filepath.Base(path), ".conf"); ok {
		f.Advice, f.Command = "Make it anew.", "kubeadm init phase kubeconfig "+name
	}
	if in, ok := l.archives()[path]; ok {
		f.Finding = fmt.Sprintf("%s %s holds it.", what, in.archive)
		f.Advice = "Put it back."
		f.Remedy = remedy{Name: diagnose.PutBack, Source: in.archive, Command: commandToPutBack(path, in.archive)}
	}
	return f, true
}

// trusted are the CAs that a certificate is checked against, and where they are.
func (l *look) trusted(p pair) (string, []byte, bool) {
	if p.ca == "" {
		return "", nil, false
	}
	text, err := l.read(p.ca)
	return p.ca, text, err == nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("there is no certificate in it")
}

// signedBy reports whether a chain leads from a certificate to one of some CAs,
// whenever it is or was valid.
func signedBy(cert *x509.Certificate, chain, cas []byte) bool {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cas) {
		return true // the file of the CAs has a finding of its own
	}
	between.AppendCertsFromPEM(chain)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: cert.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	var expired x509.CertificateInvalidError
	return err == nil || errors.As(err, &expired) && expired.Reason == x509.Expired
}

func namesIn(cert *x509.Certificate) []string {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return append(names, cmp.Or(cert.Subject.CommonName, "nobody"))
}
