package causes

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// askServed asks this host's API server whether it is ready; nil where there is
// none.
func (l *look) askServed(ctx context.Context) *bool {
	if !l.hasAPIServer() {
		return nil
	}
	if l.storeRefuses(ctx) {
		return new(bool)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		l.patience(ctx)
	}()
	served := l.ready(ctx, "https://"+net.JoinHostPort(l.apiServerAddress())+"/readyz")
	return &served
}

// storeRefuses reports whether no etcd of the API server's takes connections. It
// can't be ready then, and would take two seconds to say so.
func (l *look) storeRefuses(ctx context.Context) bool {
	_, words := l.pods().found["kube-apiserver"].words("kube-apiserver")
	for _, server := range strings.Split(setting(words, "etcd-servers"), ",") {
		u, err := url.Parse(server)
		if err != nil || u.Port() == "" || !l.refuses(ctx, u.Host) {
			return false
		}
	}
	return true
}

// refuses reports whether connections to an address are refused.
func refuses(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close() // that it was made is all that counts
	return false
}

// patience is how long an API server is waited for: a moment, and as long as
// there is something else to do anyway. On a busy host everything takes longer.
func (l *look) patience(ctx context.Context) {
	select {
	case <-time.After(answersWithin):
	case <-ctx.Done():
	}
	if l.o.Meanwhile == nil {
		return
	}
	select {
	case <-l.o.Meanwhile:
	case <-ctx.Done():
	}
}

// apiServerAddress is where this host's API server listens.
func (l *look) apiServerAddress() (host, port string) {
	host, port = "127.0.0.1", "6443"
	if m, ok := l.pods().found["kube-apiserver"]; ok {
		_, words := m.words("kube-apiserver")
		if p := setting(words, "secure-port"); p != "" {
			port = p
		}
		if b := setting(words, "bind-address"); b != "" && !net.ParseIP(b).IsUnspecified() {
			host = b
		}
	}
	return host, port
}

// ready asks without proving who answers: nothing is told, and what is wrong with
// the certificate is told elsewhere. An API server that answers nobody unknown is
// asked again as an administrator; where it then answers at all, it serves.
func (l *look) ready(ctx context.Context, url string) bool {
	status := ask(ctx, url, nil)
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		user := l.userOf("/etc/kubernetes/admin.conf")
		pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
		if err != nil {
			return true
		}
		status = ask(ctx, url, []tls.Certificate{pair})
	}
	return status == http.StatusOK || status == http.StatusUnauthorized || status == http.StatusForbidden
}

// ask returns the status of an answer; 0 where there is none.
func ask(ctx context.Context, url string, as []tls.Certificate) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: as}, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close() // only its status counts
	return resp.StatusCode
}

// unserved tells that the API isn't served, where nothing else tells why.
func (l *look) unserved() finding {
	m := l.pods().found["kube-apiserver"]
	line := fatalLine(l.podLog("kube-apiserver", m.path))
	return note(classUnserved, m.path, "The API server of this host doesn't say that it is ready."+saying("It", line),
		"Where etcd has to be cured first, it follows. Otherwise see what it says.", "crictl logs $(crictl ps -a --name kube-apiserver -q | head -n 1)")
}
