package staticpod

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"runbook/actions/staticpod/manifest"
)

// local asks servers of this host, as kubelet does: without a proxy, and
// without looking at certificates.
var local = http.Client{
	Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// ask asks a probe once. The runtime doesn't know of probes, and kubelet tells
// what it knows only to an API server. The answer has to come within the time that
// the probe has, and no later than is said.
func (r *runtime) ask(ctx context.Context, p manifest.Probe, container string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, min(within, time.Duration(p.Timeout)*time.Second))
	defer cancel()
	switch p.Scheme {
	case "exec":
		return r.exec(ctx, container, p.Command, int64(p.Timeout))
	case "tcp":
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address(p))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	path, query, _ := strings.Cut(p.Path, "?")
	target := url.URL{Scheme: p.Scheme, Host: address(p), Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	for _, h := range p.Headers {
		req.Header.Add(h[0], h[1])
	}
	resp, err := local.Do(req)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "Get "))
	}
	_ = resp.Body.Close() // its status is all that counts
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s answers with %s", target.String(), resp.Status)
	}
	return nil
}

// address is where a probe asks. A static pod that a probe reaches without a
// host being named is on the host's network.
func address(p manifest.Probe) string {
	host := p.Host
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(p.Port))
}

// listening returns the address of one of the pod's probes at which something
// accepts connections. Only addresses that the manifest names are looked at.
func listening(ctx context.Context, pod manifest.Pod) string {
	for _, c := range pod.Containers {
		for _, p := range c.Probes {
			if p.Host == "" || p.Scheme == "exec" {
				continue
			}
			d := net.Dialer{Timeout: time.Second}
			if conn, err := d.DialContext(ctx, "tcp", address(p)); err == nil {
				_ = conn.Close()
				return address(p)
			}
		}
	}
	return ""
}
