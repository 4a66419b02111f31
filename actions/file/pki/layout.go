package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// Authorities are the paths at which kubeadm has the certificate of the CA of
// what is at path, without their suffix. The first that is there is the one.
func Authorities(path string) []string {
	dir, base := filepath.Dir(path), filepath.Base(path)
	const usual = "/etc/kubernetes/pki/ca"
	switch {
	case base == "apiserver-etcd-client.crt":
		return []string{filepath.Join(dir, "etcd", "ca")}
	case base == "front-proxy-client.crt":
		return []string{filepath.Join(dir, "front-proxy-ca")}
	case filepath.Base(dir) == "etcd":
		return []string{filepath.Join(dir, "ca")}
	case filepath.Ext(base) == ".conf":
		return []string{filepath.Join(dir, "pki", "ca"), usual}
	}
	return []string{filepath.Join(dir, "ca"), usual}
}

// KeyOf is the path of the key that belongs to a certificate.
func KeyOf(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) + ".key" }

// Rules is what a certificate that is gone is made by.
type Rules struct {
	Node    string // the host's name in the cluster
	Further Names
	// Look returns the certificate that is at a path, or nil.
	Look func(path string) (*x509.Certificate, error)
}

// Template is what kubeadm makes at path.
func (r Rules) Template(path string) (*x509.Certificate, error) {
	dir, name := filepath.Split(path)
	if filepath.Base(dir) == "etcd" {
		name = "etcd/" + name
	}
	switch name {
	case "etcd/server.crt":
		return r.twin(filepath.Join(dir, "peer.crt"))
	case "etcd/peer.crt":
		return r.twin(filepath.Join(dir, "server.crt"))
	case "etcd/healthcheck-client.crt":
		return client("kube-etcd-healthcheck-client"), nil
	case "apiserver-etcd-client.crt":
		return client("kube-apiserver-etcd-client"), nil
	case "front-proxy-client.crt":
		return client("front-proxy-client"), nil
	case "apiserver-kubelet-client.crt":
		return r.kubeletClient(filepath.Join(filepath.Dir(filepath.Clean(dir)), "admin.conf"))
	case "apiserver.crt":
		return r.server("kube-apiserver", Names{DNS: []string{r.Node, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}},
			x509.ExtKeyUsageServerAuth)
	}
	return nil, errors.New("nothing tells what certificate was here: it is none of kubeadm's")
}

func certificate(name string, names Names, usages ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		DNSNames: names.DNS, IPAddresses: names.IPs,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: usages,
		BasicConstraintsValid: true,
	}
}

func client(name string, groups ...string) *x509.Certificate {
	c := certificate(name, Names{}, x509.ExtKeyUsageClientAuth)
	c.Subject.Organization = groups
	return c
}

// twin is etcd's certificate for the other of its two ports, which says the same.
func (r Rules) twin(other string) (*x509.Certificate, error) {
	c, err := r.Look(other)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return Like(c, r.Further)
	}
	names := Names{DNS: []string{r.Node, "localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}}
	return r.server(r.Node, names, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

// server is a certificate of which nothing on the host tells by which addresses
// it is reached.
func (r Rules) server(name string, usual Names, usages ...x509.ExtKeyUsage) (*x509.Certificate, error) {
	if len(r.Further.Without(usual).IPs) == 0 {
		return nil, fmt.Errorf("nothing tells by which addresses %s is reached", name)
	}
	return certificate(name, usual.And(r.Further), usages...), nil
}

// kubeletClient is in the group that the cluster's own administrator is in:
// which, depends on the version that made the cluster.
func (r Rules) kubeletClient(admin string) (*x509.Certificate, error) {
	const name = "kube-apiserver-kubelet-client"
	c, err := r.Look(admin)
	if err != nil || c == nil {
		return client(name, "system:masters"), err
	}
	return client(name, c.Subject.Organization...), nil
}
