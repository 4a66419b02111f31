package actions_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/file/pki"
	"runbook/test/contract"
)

func remedyCases() []contract.Case {
	return []contract.Case{
		{Name: "an expired one", Action: "certificate_renew", Setup: certScene("etcd/server.crt"), Bad: badRenew()},
		{Name: "a kubeconfig's", Action: "certificate_renew", Setup: certScene("admin.conf")},
		{Name: "one that is gone", Action: "certificate_renew", Setup: certScene("etcd/healthcheck-client.crt")},
		{Name: "one that is valid", Action: "certificate_renew", Looks: true, Setup: certScene("etcd/peer.crt")},
		{Name: "in place of others", Action: "archive_extract", Setup: extractOver, Bad: badExtract()},
		{Name: "a directory that is gone", Action: "archive_extract", Setup: extractTree},
	}
}

// certificates are the files of a small cluster, the same in all scenes.
var certificates = sync.OnceValues(func() (map[string][]byte, error) {
	all := map[string][]byte{}
	var problems []error
	pair := func(name string, template, parent *x509.Certificate, signer *ecdsa.PrivateKey, until time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		problems = append(problems, err)
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(7), time.Now().Add(-9000*time.Hour), time.Now().Add(until)
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		problems = append(problems, err)
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		problems = append(problems, err)
		all[name+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		all[name+".key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
		made, err := x509.ParseCertificate(der)
		problems = append(problems, err)
		return made, key
	}
	const year = 8766 * time.Hour
	for ca, names := range map[string][]string{"etcd/ca": {"etcd/server", "etcd/peer", "etcd/healthcheck-client"}, "pki/ca": {"admin"}} {
		root, key := pair(ca, &x509.Certificate{Subject: pkix.Name{CommonName: "ca of " + ca}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil, 10*year)
		for _, name := range names {
			until := -time.Hour
			if name == "etcd/peer" {
				until = year
			}
			pair(name, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"cp1"}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
				KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, root, key, until)
		}
	}
	all["admin.conf"] = fmt.Appendf(nil, "kind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {user: u}}]\nusers:\n- name: u\n  user:\n    client-certificate-data: %s\n    client-key-data: %s\n",
		base64.StdEncoding.EncodeToString(all["admin.crt"]), base64.StdEncoding.EncodeToString(all["admin.key"]))
	for _, name := range []string{"admin.crt", "admin.key", "etcd/healthcheck-client.crt"} {
		delete(all, name)
	}
	return all, errors.Join(problems...)
})

// certScene renews one of the cluster's certificates.
func certScene(name string) func(t *testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		dir := t.TempDir()
		all, err := certificates()
		must(t, err)
		for name, text := range all {
			contract.Write(t, filepath.Join(dir, name), string(text))
			must(t, os.Chmod(filepath.Join(dir, name), 0o600))
		}
		return contract.Scene{
			Config:  config{"path": cty.StringVal(filepath.Join(dir, name))},
			Observe: observeCertificates(dir),
			Applied: func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join(dir, name))
				must(t, err)
				d, err := pki.Read(text)
				must(t, err)
				if c := d.Certificate; c == nil || time.Until(c.NotAfter) < 360*24*time.Hour {
					t.Errorf("it has become %v", c)
				}
			},
		}
	}
}

// observeCertificates describes what certificates say, and whether they are valid:
// no two that are issued are alike to the byte.
func observeCertificates(dir string) func(*testing.T) string {
	return func(t *testing.T) string {
		var b strings.Builder
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || strings.Contains(d.Name(), ".undone-") {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %v", strings.TrimPrefix(path, dir), info.Mode())
			if info.Mode().IsRegular() {
				text, err := os.ReadFile(path)
				must(t, err)
				b.WriteString(saysOf(text))
			}
			b.WriteString("\n")
			return nil
		}))
		return b.String()
	}
}

func saysOf(text []byte) string {
	d, err := pki.Read(text)
	if err != nil || d.Certificate == nil {
		return fmt.Sprintf(" %x", sha256.Sum256(text))
	}
	c := d.Certificate
	spki := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fmt.Sprintf(" %s by %s for %s, valid %v, key %x", c.Subject, c.Issuer, pki.NamesOf(c), time.Now().Before(c.NotAfter), spki[:4])
}

func badRenew() []contract.Bad {
	beside := func(c config, name string) string { return filepath.Join(filepath.Dir(c["path"].AsString()), name) }
	number := func(attribute string, n int64) func(*testing.T, config) {
		return func(_ *testing.T, c config) { c[attribute] = cty.NumberIntVal(n) }
	}
	return []contract.Bad{
		{Name: "relative", Set: set("path", "server.crt"), Attribute: "path", Message: "must be absolute"},
		{Name: "no directory", Set: set("path", "/no/such/a.crt"), Attribute: "path", Message: "no such directory"},
		{Name: "no day", Set: number("days", 0), Attribute: "days", Message: "1 or more"},
		{Name: "less than none", Set: number("renew_before", -1), Attribute: "renew_before", Message: "1 or more"},
		{Name: "due at once", Set: number("renew_before", 365), Attribute: "renew_before", Message: "due at once"},
		{Name: "no name", Set: setTo("add_dns_names", texts("a b")), Attribute: "add_dns_names", Message: "in ASCII"},
		{Name: "no address", Set: setTo("add_ip_addresses", texts("10.0.0.1:2379")), Attribute: "add_ip_addresses", Message: "without a port"},
		{Name: "no key", Set: func(t *testing.T, c config) { must(t, os.Remove(beside(c, "server.key"))) }, Attribute: "key", Message: "is not here"},
		{Name: "no CA", Set: set("ca_cert", "/no/such.crt"), Attribute: "ca_cert", Message: "is not here"},
		{Name: "no CA's key", Set: set("ca_key", "/no/such.key"), Attribute: "ca_key", Message: "nothing can be signed"},
		{Name: "another CA's key", Set: func(_ *testing.T, c config) { c["ca_key"] = cty.StringVal(beside(c, "peer.key")) }, Attribute: "ca_cert", Message: "don't belong together"},
		{Name: "a CA", Set: func(_ *testing.T, c config) { c["path"] = cty.StringVal(beside(c, "ca.crt")) }, Attribute: "path", Message: "of a CA"},
	}
}

// extractFrom makes an archive of files as they were in dir.
func extractFrom(t *testing.T, dir string, files map[string]string, order ...string) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for _, name := range order {
		h := &tar.Header{Name: strings.TrimPrefix(filepath.Join(dir, name), "/"), Typeflag: tar.TypeReg, Mode: 0o640, Uid: 12, Gid: 34, ModTime: when, Size: int64(len(files[name]))}
		if strings.HasSuffix(name, "/") {
			h.Name, h.Typeflag, h.Mode = h.Name+"/", tar.TypeDir, 0o2750
		}
		must(t, out.WriteHeader(h))
		_, err := out.Write([]byte(files[name]))
		must(t, err)
	}
	must(t, errors.Join(out.Close(), zip.Close()))
	path := filepath.Join(t.TempDir(), "a.tar.gz") // its names tell its scene, so it is no part of that
	contract.Write(t, path, b.String())
	return path
}

var packedFiles = map[string]string{"pki/ca.crt": "ca", "pki/etcd/server.crt": "certificate", "pki/etcd/server.key": "key"}

var packedOrder = []string{"pki/", "pki/ca.crt", "pki/etcd/", "pki/etcd/server.crt", "pki/etcd/server.key"}

func extractOver(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := extractFrom(t, dir, packedFiles, packedOrder...)
	contract.Write(t, filepath.Join(dir, "pki/etcd/server.crt"), "overwritten")
	contract.Write(t, filepath.Join(dir, "pki/ca.crt"), "ca")
	must(t, os.Mkdir(filepath.Join(dir, "aside"), 0o755))
	return contract.Scene{
		Config: config{"archive": cty.StringVal(path), "files": texts(dir+"/pki/etcd", dir+"/pki/ca.crt"),
			"to": cty.MapVal(map[string]cty.Value{dir + "/pki/ca.crt": cty.StringVal(dir + "/aside/ca.crt")})},
		Observe: seen(dir),
		Applied: func(t *testing.T) {
			holds(t, filepath.Join(dir, "pki/etcd/server.crt"), "certificate")
			holds(t, filepath.Join(dir, "pki/etcd/server.key"), "key")
			holds(t, filepath.Join(dir, "aside/ca.crt"), "ca")
			mode(t, filepath.Join(dir, "pki/etcd/server.crt"), 0o640)
			owned(t, filepath.Join(dir, "pki/etcd/server.crt"), 12, 34)
		},
	}
}

func extractTree(t *testing.T) contract.Scene {
	dir := t.TempDir()
	path := extractFrom(t, dir, packedFiles, packedOrder...)
	return contract.Scene{
		Config:  config{"archive": cty.StringVal(path), "files": texts(dir + "/pki")},
		Observe: seen(dir),
		Applied: func(t *testing.T) {
			for name, want := range packedFiles {
				holds(t, filepath.Join(dir, name), want)
			}
			mode(t, filepath.Join(dir, "pki/etcd"), 0o2750)
			owned(t, filepath.Join(dir, "pki"), 12, 34)
		},
	}
}

func badExtract() []contract.Bad {
	return []contract.Bad{
		{Name: "relative", Set: set("archive", "a.tar.gz"), Attribute: "archive", Message: "must be absolute"},
		{Name: "absent", Set: set("archive", "/no/such.tar.gz"), Attribute: "archive", Message: "no such archive"},
		{Name: "no file", Set: setTo("files", cty.ListValEmpty(cty.String)), Attribute: "files", Message: "at least one path"},
		{Name: "relative file", Set: setTo("files", texts("etc")), Attribute: "files", Message: "must be absolute"},
		{Name: "relative place", Attribute: "to", Message: "must be absolute",
			Set: setTo("to", cty.MapVal(map[string]cty.Value{"/a": cty.StringVal("b")}))},
		{Name: "not in it", Attribute: "files", Message: "doesn't hold it", Set: func(_ *testing.T, c config) {
			c["files"] = texts("/no/such")
			delete(c, "to")
		}},
		{Name: "a place for nothing", Set: setTo("files", texts("/no/such")), Attribute: "to", Message: "isn't in files"},
		{Name: "a way out", Attribute: "archive", Message: "leads out", Set: func(t *testing.T, c config) {
			var b bytes.Buffer
			zip := gzip.NewWriter(&b)
			out := tar.NewWriter(zip)
			must(t, out.WriteHeader(&tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg}))
			must(t, errors.Join(out.Close(), zip.Close()))
			contract.Write(t, c["archive"].AsString(), b.String())
		}},
		{Name: "cut", Attribute: "archive", Message: "isn't whole", Set: func(t *testing.T, c config) {
			info, err := os.Stat(c["archive"].AsString())
			must(t, err)
			must(t, os.Truncate(c["archive"].AsString(), info.Size()-3))
		}},
	}
}
