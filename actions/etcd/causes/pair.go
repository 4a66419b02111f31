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
		if l.works() {
			break // whoever reaches it by that name isn't put off
		}
		if cert.VerifyHostname(host) != nil {
			f := l.wrong(p, classOtherName, diagnose.Mistake, fmt.Sprintf("%s isn't valid for %s, by which it is reached; it is for %s.", l.named(p), host, strings.Join(namesIn(cert), ", ")))
			f.To = host
			return f, true
		}
	}
	return finding{}, false
}

// named begins a sentence about a certificate.
func (l *look) named(p pair) string {
	if p.within != "" {
		return "The certificate in " + p.within
	}
	what, the := strings.CutPrefix(p.what, "the ")
	if the {
		what = "The " + what
	}
	return fmt.Sprintf("%s, %s,", what, p.cert)
}

// wrong is a certificate that has to be renewed.
func (l *look) wrong(p pair, class, severity, sentence string) finding {
	return l.renewable(cause(class, severity, p.path(), sentence, "Renew it.", remedy{}), p)
}

// renewable says how a certificate is renewed: by a runbook where its key and
// that of its CA are on this host. What an archive holds is put back rather.
func (l *look) renewable(f finding, p pair) finding {
	if f.Remedy.Name != "" {
		return f
	}
	name := renewals[p.path()]
	keyThere := p.within != "" || l.exists(p.key)
	made := f.Class == classPKILost || f.Class == classUnreadable // from nothing, as only kubeadm's can be
	f.Remedy.Command = "kubeadm certs renew " + cmp.Or(name, "all")
	switch {
	case p.what == kubeletsCertificate:
		f.Advice = "Make kubelet a new kubelet.conf."
		f.Remedy.Command = "kubeadm kubeconfig user --org system:nodes --client-name system:node:" + l.name + " > /etc/kubernetes/kubelet.conf && systemctl restart kubelet"
	case !keyThere:
		f.Advice = "Put the key back from a backup, or have certificate and key made anew."
		f.Remedy.Command = "mv " + p.cert + " /root/; kubeadm init phase certs " + cmp.Or(name, "all")
	case l.hasAuthority(p) && (!made || name != "" && p.within == ""):
		f.Path, f.Remedy.Name = p.path(), diagnose.RenewCertificate
	default:
		f.Advice = "Put it back from a backup, or have it renewed where the CA's key is."
	}
	return f
}

// hasAuthority reports whether the CA of a certificate and its key are here,
// where a renewal looks for them.
func (l *look) hasAuthority(p pair) bool {
	usual := p.issuer == filepath.Join(filepath.Dir(p.cert), "ca.crt") || strings.HasPrefix(p.issuer, "/etc/kubernetes/pki/")
	return usual && l.exists(p.issuer) && l.exists(strings.TrimSuffix(p.issuer, ".crt")+".key")
}

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

// judgeFile says where a file that is needed isn't there, or is no kubeconfig.
func (l *look) judgeFile(path string) (finding, bool) {
	if path == "" {
		return finding{}, false
	}
	text, err := l.read(path)
	conf := strings.HasSuffix(path, ".conf")
	class, what := classPKILost, fmt.Sprintf("%s isn't there: what needs it doesn't start.", path)
	switch {
	case conf && err == nil && !isKubeconfig(text):
		class, what = classUnreadable, fmt.Sprintf("%s can't be read as a kubeconfig: what needs it doesn't start.", path)
	case !errors.Is(err, fs.ErrNotExist):
		return finding{}, false
	}
	f := cause(class, diagnose.Damage, path, what, "Put it back from a backup of "+filepath.Dir(path)+"; a new CA would be another one for everybody.",
		remedy{Command: "find / -xdev -name " + filepath.Base(path)})
	if conf {
		f.Advice, f.Command = "Make it anew.", "kubeadm init phase kubeconfig "+strings.TrimSuffix(filepath.Base(path), ".conf")
	}
	if in, ok := l.archives()[path]; ok {
		f.Finding = fmt.Sprintf("%s %s holds it.", what, in.archive)
		f.Advice = "Put it back."
		f.Remedy = remedy{Name: diagnose.PutBack, Source: in.archive, Command: commandToPutBack(path, in.archive)}
	}
	return f, true
}

// judgeCA says where a CA has expired or can't be read. A new one is another one
// for everybody, so nothing makes one by itself.
func (l *look) judgeCA(path string) (finding, bool) {
	text, err := l.read(path)
	if err != nil {
		return finding{}, false // this user may not see it
	}
	ca, err := parseCertificate(text)
	var f finding
	switch {
	case err != nil:
		f = cause(classUnreadable, diagnose.Damage, path, fmt.Sprintf("The CA %s can't be read: %s.", path, err), "Put it back from a backup.", remedy{Command: "openssl x509 -noout -text -in " + path})
	case l.now.After(ca.NotAfter):
		return cause(classExpired, diagnose.Mistake, path, fmt.Sprintf("The CA %s expired on %s.", path, ca.NotAfter.UTC().Format("2006-01-02 15:04 MST")), "It has to be renewed with its own key, and everything that it has signed with it.", remedy{Command: "kubeadm certs check-expiration"}), true
	default:
		return f, false
	}
	if in, ok := l.archives()[path]; ok {
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
