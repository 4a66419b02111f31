package causes

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// servedWithin bounds the question whether the API server is ready. One that
// waits for its etcd answers after two seconds.
const servedWithin = 500 * time.Millisecond

// askServed asks this host's API server whether it is ready; nil where there is
// none.
func (l *look) askServed(ctx context.Context) *bool {
	if !l.hasAPIServer() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	served := ready(ctx, "https://"+net.JoinHostPort(l.apiServerAddress())+"/readyz")
	return &served
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

// ready asks without proving who answers: nothing is told, and what is wrong
// with the certificate is told elsewhere.
func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only its status counts
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
}

// unserved tells that the API isn't served, where nothing else tells why.
func (l *look) unserved() finding {
	m := l.pods().found["kube-apiserver"]
	line := fatalLine(l.podLog("kube-apiserver", m.path))
	return note(classUnserved, m.path, "The API server of this host doesn't say that it is ready."+saying("It", line),
		"Where etcd has to be cured first, it follows. Otherwise see what it says.", "crictl logs $(crictl ps -a --name kube-apiserver -q | head -n 1)")
}
