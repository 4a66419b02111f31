package file

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// authority is a CA of the tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// lifetime is from when until when a certificate is valid, in days from now.
type lifetime struct{ from, until int }

var (
	expired = lifetime{-400, -1}
	fresh   = lifetime{-10, 350}
	long    = lifetime{-400, 4000}
)

func (l lifetime) times() (from, until time.Time) {
	now := time.Now()
	return now.Add(time.Duration(l.from) * day), now.Add(time.Duration(l.until) * day)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// newAuthority makes a CA and puts it at stem.crt and stem.key.
func newAuthority(t *testing.T, stem string, valid lifetime) authority {
	t.Helper()
	a := authority{key: newKey(t)}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "etcd-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, DNSNames: []string{"etcd-ca"}}
	a.cert = template
	der := a.sign(t, template, a.key.Public(), valid)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	writePEM(t, stem+".crt", "CERTIFICATE", der)
	writeKey(t, stem+".key", a.key)
	return a
}

func (a authority) sign(t *testing.T, template *x509.Certificate, public any, valid lifetime) []byte {
	t.Helper()
	c := *template
	c.SerialNumber = big.NewInt(4711)
	c.NotBefore, c.NotAfter = valid.times()
	der, err := x509.CreateCertificate(rand.Reader, &c, a.cert, public, a.key)
	must(t, err)
	return der
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644))
}

func writeKey(t *testing.T, path string, key crypto.Signer) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	writePEM(t, path, "PRIVATE KEY", der)
	must(t, os.Chmod(path, 0o600))
}

// server is what a server's certificate says.
var server = &x509.Certificate{
	Subject:  pkix.Name{CommonName: "cp1", Organization: []string{"site"}, Locality: []string{"Zürich"}},
	DNSNames: []string{"cp1", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP("fd00::1")}, EmailAddresses: []string{"ops@site"},
	KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2, 3},
}

// etcdPKI is a directory with etcd's CA, and a server's certificate.
type etcdPKI struct {
	dir, path string
	ca        authority
	key       crypto.Signer
}

func newEtcdPKI(t *testing.T, ca, valid lifetime) etcdPKI {
	t.Helper()
	p := etcdPKI{dir: filepath.Join(t.TempDir(), "etcd"), key: newKey(t)}
	p.path = filepath.Join(p.dir, "server.crt")
	p.ca = newAuthority(t, filepath.Join(p.dir, "ca"), ca)
	writePEM(t, p.path, "CERTIFICATE", p.ca.sign(t, server, p.key.Public(), valid))
	writeKey(t, filepath.Join(p.dir, "server.key"), p.key)
	return p
}

func certificateAt(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	b, _ := pem.Decode(text)
	if b == nil {
		t.Fatalf("%s is no PEM: %q", path, text)
	}
	c, err := x509.ParseCertificate(b.Bytes)
	must(t, err)
	return c
}

// verifies fails unless a client that trusts the CA trusts the server.
func verifies(t *testing.T, ca authority, c *x509.Certificate, usages ...x509.ExtKeyUsage) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, usage := range usages {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("usage %v: %v", usage, err)
		}
	}
}

// renews applies a step, and holds that nothing is left to be done and that no
// key has become known.
func renews(t *testing.T, config map[string]any) (engine.StepRequest, engine.Change, engine.Result) {
	t.Helper()
	req, c, err := step(t, "certificate_renew", config)
	must(t, err)
	if c.Empty() {
		t.Fatal("nothing is to be done")
	}
	res, err := local.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	again, err := local.Plan(t.Context(), req)
	must(t, err)
	if !again.Empty() {
		t.Errorf("once it is renewed, there is still %v", again.Items)
	}
	return req, c, res
}

func TestRenewExpired(t *testing.T) {
	p := newEtcdPKI(t, long, expired)
	must(t, os.Chmod(p.path, 0o640))
	must(t, os.Chown(p.path, 12, 34))
	before, err := os.ReadFile(p.path)
	must(t, err)
	old := certificateAt(t, p.path)
	req, c, res := renews(t, map[string]any{"path": p.path})

	now := certificateAt(t, p.path)
	verifies(t, p.ca, now, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
	must(t, now.VerifyHostname("fd00::1"))
	for what, pair := range map[string][2]any{
		"subject": {old.RawSubject, now.RawSubject}, "key": {old.RawSubjectPublicKeyInfo, now.RawSubjectPublicKeyInfo},
		"names": {old.DNSNames, now.DNSNames}, "addresses": {old.IPAddresses, now.IPAddresses}, "mail": {old.EmailAddresses, now.EmailAddresses},
		"usage": {old.KeyUsage, now.KeyUsage}, "usages": {old.ExtKeyUsage, now.ExtKeyUsage}, "key's ID": {old.SubjectKeyId, now.SubjectKeyId},
		"not after": {res["not_after"], rfc3339(now.NotAfter)}, "subject told": {res["subject"], now.Subject.String()},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v became %v", what, pair[0], pair[1])
		}
	}
	if left := time.Until(now.NotAfter); left < 364*day || left > 366*day || old.SerialNumber.Cmp(now.SerialNumber) == 0 {
		t.Errorf("serial %v, for %v", now.SerialNumber, left)
	}
	_, rights, err := rightsAt(p.path)
	must(t, err)
	if rights.Mode != 0o640 || rights.ids != (ids{12, 34}) {
		t.Errorf("it has %v", rights)
	}
	reads(t, res["kept"].(string), string(before))
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	reads(t, p.path, string(before))
}

func TestRenewIsPlanned(t *testing.T) {
	soon, next := lifetime{-340, 20}, lifetime{1, 300}
	for name, c := range map[string]struct {
		ca, valid lifetime
		config    map[string]any
		lay       func(p etcdPKI)
		want      string // the items, without their times
	}{
		"valid for long":           {ca: long, valid: fresh},
		"expired":                  {ca: long, valid: expired, want: "validity: for 365 days; "},
		"soon expired":             {ca: long, valid: soon, config: map[string]any{"days": 90}, want: "validity: for 90 days; "},
		"soon enough":              {ca: long, valid: soon, config: map[string]any{"renew_before": 10}},
		"not valid yet":            {ca: long, valid: next, want: "validity: for 365 days; "},
		"all that the CA has left": {ca: lifetime{-400, 100}, valid: lifetime{-1, 100}, config: map[string]any{"renew_before": 200}},
		"names that it has":        {ca: long, valid: fresh, config: map[string]any{"add_dns_names": []string{"LOCALHOST"}, "add_ip_addresses": []string{"::ffff:127.0.0.1"}}},
		"a name that it lacks": {ca: long, valid: fresh, config: map[string]any{"add_dns_names": []string{"cp1.site"}, "add_ip_addresses": []string{"10.0.0.1"}},
			want: "validity: for 365 days; names: cp1, localhost, cp1.site, 127.0.0.1, fd00::1, 10.0.0.1; "},
		"another CA of that name": {ca: long, valid: fresh, lay: func(p etcdPKI) { newAuthority(t, p.dir+"/ca", long) },
			want: "validity: for 365 days; issuer: CN=etcd-ca (DIR/ca.crt); "},
		"another key": {ca: long, valid: fresh, lay: func(p etcdPKI) { writeKey(t, p.dir+"/server.key", newKey(t)) },
			want: "validity: for 365 days; public key: of the key in DIR/server.key; "},
		"cut to nothing": {ca: long, valid: fresh, config: map[string]any{"add_ip_addresses": []string{"10.0.0.1"}}, lay: func(p etcdPKI) { must(t, os.Truncate(p.path, 0)) },
			want: ": certificate of CN=NODE for NODE, localhost, 127.0.0.1, ::1, 10.0.0.1, valid for 365 days; "},
	} {
		t.Run(name, func(t *testing.T) {
			p := newEtcdPKI(t, c.ca, c.valid)
			if c.lay != nil {
				c.lay(p)
			}
			if c.config == nil {
				c.config = map[string]any{}
			}
			c.config["path"] = p.path
			req, change, err := step(t, "certificate_renew", c.config)
			must(t, err)
			got := ""
			for _, i := range change.Items {
				got += i.Attribute + ": " + i.After + "; "
			}
			got = strings.NewReplacer(p.dir, "DIR", nodeName(), "NODE").Replace(got)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if c.want == "" {
				return
			}
			_, err = local.Apply(t.Context(), req, change, quiet{})
			must(t, err)
			again, err := local.Plan(t.Context(), req)
			if err != nil || !again.Empty() {
				t.Errorf("after it: %v, %v", again.Items, err)
			}
		})
	}
}

func TestRenewNeverOutlivesItsCA(t *testing.T) {
	p := newEtcdPKI(t, lifetime{0, 100}, expired)
	_, c, _ := renews(t, map[string]any{"path": p.path})
	if now := certificateAt(t, p.path); !now.NotAfter.Equal(p.ca.cert.NotAfter) || now.NotBefore.Before(p.ca.cert.NotBefore) {
		t.Errorf("it is valid from %v until %v, and its CA from %v until %v", now.NotBefore, now.NotAfter, p.ca.cert.NotBefore, p.ca.cert.NotAfter)
	}
	if want := "until its CA's end, " + utc(p.ca.cert.NotAfter); c.Items[0].After != want {
		t.Errorf("got %q, want %q", c.Items[0].After, want)
	}
}

// What kubeadm makes is made again where it is gone, if only its key is there.
func TestRenewMakesWhatIsGone(t *testing.T) {
	for name, want := range map[string]struct{ subject, names, ca string }{
		"etcd/server.crt":              {"CN=cp1,O=site,L=Zürich", "cp1, localhost, 127.0.0.1, fd00::1, 10.0.0.1", "etcd/ca"},
		"etcd/healthcheck-client.crt":  {"CN=kube-etcd-healthcheck-client", "no names", "etcd/ca"},
		"apiserver-etcd-client.crt":    {"CN=kube-apiserver-etcd-client", "no names", "etcd/ca"},
		"apiserver-kubelet-client.crt": {"CN=kube-apiserver-kubelet-client,O=system:masters", "no names", "ca"},
		"front-proxy-client.crt":       {"CN=front-proxy-client", "no names", "front-proxy-ca"},
		"apiserver.crt":                {"CN=kube-apiserver", nodeName() + ", kubernetes, kubernetes.default, kubernetes.default.svc, kubernetes.default.svc.cluster.local, 10.0.0.1", "ca"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "pki")
			cas := map[string]authority{}
			for _, ca := range []string{"ca", "etcd/ca", "front-proxy-ca"} {
				cas[ca] = newAuthority(t, filepath.Join(dir, ca), long)
			}
			writePEM(t, filepath.Join(dir, "etcd/peer.crt"), "CERTIFICATE", cas["etcd/ca"].sign(t, server, newKey(t).Public(), expired))
			path, key := filepath.Join(dir, name), newKey(t)
			writeKey(t, strings.TrimSuffix(path, ".crt")+".key", key)
			config := map[string]any{"path": path}
			if want.names != "no names" {
				config["add_ip_addresses"] = []string{"10.0.0.1"}
			}
			req, c, _ := renews(t, config)
			got := certificateAt(t, path)
			if got.Subject.String() != want.subject || namesText(got) != want.names || !key.Public().(*ecdsa.PublicKey).Equal(got.PublicKey) {
				t.Errorf("got %s for %s", got.Subject, namesText(got))
			}
			usage := x509.ExtKeyUsageClientAuth
			if name == "apiserver.crt" {
				usage = x509.ExtKeyUsageServerAuth
			}
			verifies(t, cas[want.ca], got, usage)
			must(t, local.Undo(t.Context(), req, c, quiet{}))
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("undone, it is still there: %v", err)
			}
		})
	}
}

func namesText(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no names"
	}
	return strings.Join(all, ", ")
}

const adminConf = `# made by hand
apiVersion: v1
kind: Config
current-context: admin@site
contexts:
- {name: admin@site, context: {cluster: site, user: admin}}
clusters:
- name: site
  cluster: {server: "https://10.0.0.1:6443"}
users:
- name: other
  user: {token: other-token}
- name: admin
  user:
    client-certificate-data: %s   # renewed each year
    client-key-data: %s
`

func TestRenewKubeconfig(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, filepath.Join(dir, "pki", "ca"), long)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	der := ca.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "kubernetes-admin", Organization: []string{"kubeadm:cluster-admins"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, key.Public(), expired)
	data := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	secret := data("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	path := filepath.Join(dir, "admin.conf")
	before := fmt.Sprintf(adminConf, data("CERTIFICATE", der), secret)
	must(t, os.WriteFile(path, []byte(before), 0o600))
	req, c, res := renews(t, map[string]any{"path": path})

	text, err := os.ReadFile(path)
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "client-certificate-data: ")
	now, _, _ := strings.Cut(rest, " ")
	if want := fmt.Sprintf(adminConf, now, secret); string(text) != want {
		t.Errorf("it has become\n%s\nand not\n%s", text, want)
	}
	raw, err := base64.StdEncoding.DecodeString(now)
	must(t, err)
	b, _ := pem.Decode(raw)
	got, err := x509.ParseCertificate(b.Bytes)
	must(t, err)
	verifies(t, ca, got, x509.ExtKeyUsageClientAuth)
	if got.Subject.String() != "CN=kubernetes-admin,O=kubeadm:cluster-admins" || !key.PublicKey.Equal(got.PublicKey) {
		t.Errorf("it is of %s", got.Subject)
	}
	told, err := json.Marshal([]any{req, c, res})
	must(t, err)
	if strings.Contains(string(told), secret[:40]) || strings.Contains(string(told), secret[100:140]) {
		t.Errorf("the key is told in %s", told)
	}
	must(t, local.Undo(t.Context(), req, c, quiet{}))
	reads(t, path, before)
}

func TestRenewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		lay     func(t *testing.T, p etcdPKI, config map[string]any)
		problem string
	}{
		"a CA":          {func(_ *testing.T, p etcdPKI, c map[string]any) { c["path"] = p.dir + "/ca.crt" }, "certificate of a CA"},
		"no key":        {func(t *testing.T, p etcdPKI, _ map[string]any) { must(t, os.Remove(p.dir+"/server.key")) }, "server.key: the certificate's key is not here"},
		"a broken key":  {func(t *testing.T, p etcdPKI, _ map[string]any) { must(t, os.Truncate(p.dir+"/server.key", 60)) }, "no private key"},
		"no CA":         {func(t *testing.T, p etcdPKI, c map[string]any) { c["ca_cert"] = "/no/such.crt" }, "the CA's certificate is not here"},
		"no CA's key":   {func(t *testing.T, p etcdPKI, _ map[string]any) { must(t, os.Remove(p.dir+"/ca.key")) }, "ca.key: the CA's key is not here"},
		"another's key": {func(t *testing.T, p etcdPKI, c map[string]any) { c["ca_key"] = p.dir + "/server.key" }, "don't belong together"},
		"no CA at all":  {func(t *testing.T, p etcdPKI, c map[string]any) { c["ca_cert"] = p.dir + "/server.crt" }, "is no CA"},
		"an old CA":     {func(t *testing.T, p etcdPKI, _ map[string]any) { newAuthority(t, p.dir+"/ca", expired) }, "the CA itself is valid from"},
		"a CA to come":  {func(t *testing.T, p etcdPKI, _ map[string]any) { newAuthority(t, p.dir+"/ca", lifetime{1, 10}) }, "the CA itself is valid from"},
		"a link": {func(t *testing.T, p etcdPKI, c map[string]any) {
			c["path"] = p.dir + "/link.crt"
			must(t, os.Symlink("server.crt", p.dir+"/link.crt"))
		}, "is a symbolic link"},
		"a pipe": {func(t *testing.T, p etcdPKI, c map[string]any) {
			c["key"] = p.dir + "/pipe"
			must(t, unix.Mkfifo(p.dir+"/pipe", 0o600))
		}, "is no regular file"},
		"something unknown": {func(t *testing.T, p etcdPKI, c map[string]any) {
			c["path"], c["key"] = p.dir+"/other.crt", p.dir+"/server.key"
		}, "nothing tells what certificate was here"},
		"no address":  {func(t *testing.T, p etcdPKI, _ map[string]any) { must(t, os.Remove(p.path)) }, "nothing tells by which addresses"},
		"due at once": {func(t *testing.T, p etcdPKI, c map[string]any) { c["days"] = 30 }, "would be due at once"},
		"another's word": {func(t *testing.T, p etcdPKI, _ map[string]any) {
			newAuthority(t, p.dir+"/ca", long)
			must(t, os.Chown(p.path, 12, 34))
		}, "others than root could have put this here"},
		"another's key to be vouched for": {func(t *testing.T, p etcdPKI, _ map[string]any) {
			writeKey(t, p.dir+"/server.key", newKey(t))
			must(t, os.Chown(p.dir+"/server.key", 12, 34))
		}, "others than root could have put this here"},
		"a file that is named": {func(t *testing.T, p etcdPKI, c map[string]any) {
			c["path"] = p.dir + "/x.conf"
			must(t, os.WriteFile(p.dir+"/x.conf", []byte(strings.NewReplacer("%s", "", "client-certificate-data:", "client-certificate: /a/b.pem").Replace(adminConf)), 0o600))
		}, "the kubeconfig's certificate is in /a/b.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newEtcdPKI(t, long, expired)
			config := map[string]any{"path": p.path}
			c.lay(t, p, config)
			_, _, err := step(t, "certificate_renew", config)
			if err == nil || !strings.Contains(err.Error(), c.problem) || engine.HintOf(err) == "" {
				t.Errorf("got %v (%s), want %q", err, engine.HintOf(err), c.problem)
			}
		})
	}
}

// Whoever has put another CA or key in place since the plan isn't vouched for.
func TestRenewWithWhatWasPlanned(t *testing.T) {
	for _, name := range []string{"ca", "server"} {
		p := newEtcdPKI(t, long, expired)
		req, c, err := step(t, "certificate_renew", map[string]any{"path": p.path})
		must(t, err)
		if name == "ca" {
			newAuthority(t, p.dir+"/ca", long)
		} else {
			writeKey(t, p.dir+"/server.key", newKey(t))
		}
		if _, err := local.Apply(t.Context(), req, c, quiet{}); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "something else is here") {
			t.Errorf("another %s: %v", name, err)
		}
	}
}
