// Package http sends requests: as an action, and as a data source.
package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	nethttp "net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions that send requests.
func Actions() []engine.Spec { return []engine.Spec{requestSpec} }

// Data lists the data sources that send requests.
func Data() []engine.DataSpec { return []engine.DataSpec{dataSpec} }

// bodySize is how much of an answer's body is read.
const bodySize = 1 << 20

// connection is what every request takes.
type connection struct {
	url           string
	ca, cert, key *string
	timeout       time.Duration
}

func connectionAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "url", Type: cty.String, Required: true, Check: checkURL, Doc: "Where to. Proxies are not used."},
		{Name: "headers", Type: cty.Map(cty.String), Check: checkHeaders, Doc: "Headers to send."},
		{Name: "ca", Type: cty.String, Check: checkPath, Doc: "Absolute path of the CA certificates, in PEM, to trust instead of the system's."},
		{Name: "cert", Type: cty.String, Check: checkPath, Doc: "Absolute path of the client's certificate, in PEM; key is needed with it."},
		{Name: "key", Type: cty.String, Check: checkPath, Doc: "Absolute path of the client's private key, in PEM."},
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(30), Check: checkPositive, Doc: "How long to wait for the whole answer, in seconds."},
	}
}

func answerResults() []engine.Attribute {
	return []engine.Attribute{
		{Name: "status", Type: cty.Number, Doc: "The status that it answered with."},
		{Name: "body", Type: cty.String, Doc: "The answer's body, its first MiB at most. Bytes that aren't UTF-8 are replaced."},
		{Name: "headers", Type: cty.Map(cty.String), Doc: "The answer's headers, by names in lower case; values of one name are joined with a comma."},
	}
}

// answer is what came back.
type answer struct {
	status  int
	phrase  string // the status with its words
	body    string
	headers map[string]string
}

func (a answer) results() engine.Result {
	return engine.Result{"status": a.status, "body": a.body, "headers": a.headers}
}

// send sends one request and reads the answer. follow says whether to go where
// it is redirected to.
func (c connection) send(ctx context.Context, method string, headers map[string]string, body string, follow bool) (answer, error) {
	conf, err := c.tls()
	if err != nil {
		return answer{}, err
	}
	req, err := nethttp.NewRequestWithContext(ctx, method, c.url, strings.NewReader(body))
	if err != nil {
		return answer{}, engine.Errorf(c.url, "making the request: %w", err).WithAttribute("url")
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	if host, ok := headerNamed(headers, "Host"); ok {
		req.Host = host
	}
	resp, err := c.client(conf, follow).Do(req)
	if err != nil {
		return answer{}, c.unanswered(method, err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, bodySize))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return answer{}, c.unanswered(method, err)
	}
	a := answer{status: resp.StatusCode, phrase: resp.Status, body: strings.ToValidUTF8(string(text), "\uFFFD"), headers: map[string]string{}}
	for name, values := range resp.Header {
		a.headers[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	return a, nil
}

// client sends a request once: a transport that reuses connections may send
// one again, where the connection turns out to be dead.
func (c connection) client(conf *tls.Config, follow bool) *nethttp.Client {
	client := &nethttp.Client{
		Timeout:   c.timeout,
		Transport: &nethttp.Transport{TLSClientConfig: conf, DisableKeepAlives: true},
	}
	if !follow {
		client.CheckRedirect = func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse }
	}
	return client
}

func (c connection) unanswered(method string, err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // it names the URL, which Where does
	}
	return engine.Errorf(method+" "+c.url, "there is no answer: %w", err).
		WithHint("Is the server up, and reachable from this host? Give the step a retry block to wait for it.").WithAttribute("url")
}

func (c connection) tls() (*tls.Config, error) {
	conf := &tls.Config{}
	if (c.cert == nil) != (c.key == nil) {
		return nil, engine.Errorf("cert", "certificate and key go together, and one of them isn't set").
			WithHint("Set both, or neither.").WithAttribute("cert")
	}
	if c.cert != nil {
		pair, err := tls.LoadX509KeyPair(*c.cert, *c.key)
		if err != nil {
			return nil, engine.Errorf(*c.cert, "reading the client's certificate: %w", err).
				WithHint("cert and key have to be PEM files that belong together.").WithAttribute("cert")
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if c.ca == nil {
		return conf, nil
	}
	pem, err := os.ReadFile(*c.ca)
	if err != nil {
		return nil, engine.Errorf(*c.ca, "reading the CA: %w", err).WithHint("It has to be a PEM file.").WithAttribute("ca")
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, engine.Errorf(*c.ca, "it holds no certificate").WithHint("It has to be a PEM file.").WithAttribute("ca")
	}
	return conf, nil
}

func headerNamed(headers map[string]string, want string) (string, bool) {
	for name, value := range headers {
		if strings.EqualFold(name, want) {
			return value, true
		}
	}
	return "", false
}

func checkURL(v cty.Value) error {
	u, err := url.Parse(v.AsString())
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("a URL begins with http:// or https:// and the host's name")
	}
	return nil
}

func checkHeaders(v cty.Value) error {
	for it := v.ElementIterator(); it.Next(); {
		name, value := it.Element()
		if err := checkHeaderName(name); err != nil {
			return err
		}
		if value.IsNull() || strings.ContainsAny(value.AsString(), "\r\n\x00") {
			return fmt.Errorf("the value of %s must be a text of one line", name.AsString())
		}
	}
	return nil
}

func checkHeaderName(v cty.Value) error {
	name := v.AsString()
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
		return fmt.Errorf("%q can't be a header's name", name)
	}
	return nil
}

func checkPath(v cty.Value) error {
	if !filepath.IsAbs(v.AsString()) {
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	}
	return nil
}

func checkPositive(v cty.Value) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < 1 || n > 1<<31 {
		return errors.New("it has to be a whole number, at least 1")
	}
	return nil
}
