package causes

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// pair is a certificate with its key, and what it has to be good for.
type pair struct {
	what      string // whose it is: "etcd's server certificate"
	cert, key string // paths
	ca        string // the file with the CAs that who meets it trusts; empty if that isn't known here
	issuer    string // the file of the CA that signs it, whose key renews it
	hosts     []string
	within    string // the kubeconfig that cert and key stand in, with certText and keyText
	certText  []byte
	keyText   []byte
}

// path is what is told and renewed.
func (p pair) path() string { return cmp.Or(p.within, p.cert) }

// lookAtCertificates looks at the certificates that etcd's and the control
// plane's configuration names.
func lookAtCertificates(_ context.Context, l *look) []finding {
	var found []finding
	told := map[string]bool{}
	for _, p := range slices.Concat(l.etcdPairs(), l.apiServerPairs(), l.kubeconfigPairs()) {
		f, wrong := l.judgePair(p)
		if wrong && !told[f.Path] {
			told[f.Path] = true
			found = append(found, f)
		}
	}
	for _, path := range l.otherFiles() {
		f, wrong := l.judgeFile(path)
		if !wrong && strings.HasSuffix(path, "ca.crt") {
			f, wrong = l.judgeCA(path)
		}
		if wrong && !told[path] {
			told[path] = true
			found = append(found, f)
		}
	}
	return found
}

// etcdPairs are those of etcd itself. A member that serves without TLS has none.
func (l *look) etcdPairs() []pair {
	s := l.etcd()
	ca, peerCA := s.file("trusted-ca-file"), s.file("peer-trusted-ca-file")
	var pairs []pair
	if cert := s.file("cert-file"); cert != "" {
		hosts := hostsOf(slices.Concat(s.urls("advertise-client-urls"), l.etcdServers()))
		pairs = append(pairs, pair{what: "etcd's server certificate", cert: cert, key: s.file("key-file"), ca: ca, issuer: ca, hosts: hosts})
	}
	if cert := s.file("peer-cert-file"); cert != "" {
		hosts := hostsOf(s.urls("initial-advertise-peer-urls"))
		pairs = append(pairs, pair{what: "etcd's peer certificate", cert: cert, key: s.file("peer-key-file"), ca: peerCA, issuer: peerCA, hosts: hosts})
	}
	return pairs
}

// apiServerPairs are those that the API server's manifest names.
func (l *look) apiServerPairs() []pair {
	m, ok := l.pods().found["kube-apiserver"]
	if !ok {
		return nil
	}
	c, words := m.words("kube-apiserver")
	file := func(flag string) string {
		path := setting(words, flag)
		if path == "" {
			return ""
		}
		at, _ := m.hostPath(c, path)
		return at
	}
	var pairs []pair
	add := func(what, cert, key, ca, issuer string, hosts ...string) {
		if cert != "" {
			pairs = append(pairs, pair{what: what, cert: cert, key: key, ca: ca, issuer: issuer, hosts: hosts})
		}
	}
	root := file("client-ca-file")
	add("the API server's certificate", file("tls-cert-file"), file("tls-private-key-file"), root, root, hostsOf([]string{"https://" + setting(words, "advertise-address")})...)
	add("the API server's certificate for etcd", file("etcd-certfile"), file("etcd-keyfile"), l.etcd().file("trusted-ca-file"), file("etcd-cafile"))
	add("the API server's certificate for kubelets", file("kubelet-client-certificate"), file("kubelet-client-key"), root, root)
	front := file("requestheader-client-ca-file")
	add("the API server's certificate for extensions", file("proxy-client-cert-file"), file("proxy-client-key-file"), front, front)
	return pairs
}

// otherFiles are keys and CAs that are named beside the pairs, and the kubeconfigs
// without which a part of the control plane doesn't start.
func (l *look) otherFiles() []string {
	var files []string
	s := l.etcd()
	for _, flag := range []string{"trusted-ca-file", "peer-trusted-ca-file", "key-file", "peer-key-file"} {
		files = append(files, s.file(flag))
	}
	if m, ok := l.pods().found["kube-apiserver"]; ok {
		c, words := m.words("kube-apiserver")
		for _, flag := range []string{"client-ca-file", "etcd-cafile", "requestheader-client-ca-file", "service-account-key-file", "service-account-signing-key-file",
			"tls-private-key-file", "etcd-keyfile", "kubelet-client-key", "proxy-client-key-file"} {
			if path := setting(words, flag); path != "" {
				at, _ := m.hostPath(c, path)
				files = append(files, at)
			}
		}
	}
	if l.hosted() && l.hasAPIServer() {
		files = append(files, "/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/scheduler.conf", "/etc/kubernetes/kubelet.conf")
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// etcdServers are the addresses by which the API server reaches etcd.
func (l *look) etcdServers() []string {
	m, ok := l.pods().found["kube-apiserver"]
	if !ok || l.etcd().pod == nil {
		return nil
	}
	_, words := m.words("kube-apiserver")
	return slices.DeleteFunc(strings.Split(setting(words, "etcd-servers"), ","), func(server string) bool {
		return l.misses(server, l.etcd().urls("listen-client-urls"))
	})
}

// hostsOf are the hosts in URLs with TLS, without those that stand for every
// address.
func hostsOf(urls []string) []string {
	var hosts []string
	for _, u := range urls {
		host := hostOf(u)
		if strings.HasPrefix(u, "https:") && host != "" && !strings.HasPrefix(host, "0.0.0.0") && host != "::" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
