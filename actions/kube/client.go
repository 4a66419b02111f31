package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"runbook/engine"
)

// answerWithin is how long one answer of the API server may take.
const answerWithin = 15 * time.Second

// connection says which API server is meant.
type connection struct {
	kubeconfig string
	context    *string
}

// client talks to one API server.
type client struct {
	config    *rest.Config
	http      *http.Client
	base      *url.URL
	objects   dynamic.Interface
	resources []resource // what discovery said; nil before
}

// dial reads the kubeconfig. It connects to nothing yet.
func (c connection) dial() (*client, error) {
	config, err := c.read()
	if err != nil {
		return nil, err
	}
	cli := &client{config: config}
	if cli.http, err = rest.HTTPClientFor(config); err == nil {
		cli.base, _, err = rest.DefaultServerUrlFor(config)
	}
	if err == nil {
		cli.objects, err = dynamic.NewForConfigAndClient(config, cli.http)
	}
	if err != nil {
		return nil, c.unusable(err)
	}
	return cli, nil
}

func (c connection) read() (*rest.Config, error) {
	if _, err := os.Stat(c.kubeconfig); err != nil {
		return nil, c.unusable(err)
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.kubeconfig}
	all, err := rules.Load()
	if err != nil {
		return nil, c.unusable(err)
	}
	name := deref(c.context)
	if _, ok := all.Contexts[name]; name != "" && !ok {
		return nil, engine.Errorf(c.kubeconfig, "it has no context %q", name).
			WithHint("List those it has with: kubectl config get-contexts --kubeconfig %s.", c.kubeconfig).WithAttribute("context")
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*all, name, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, c.unusable(err)
	}
	config.UserAgent, config.Timeout = "runbook", answerWithin
	config.QPS = -1 // the server holds back who asks too much
	config.WarningHandlerWithContext = rest.NoWarnings{}
	// A connection of HTTP/2 whose server was killed goes on being used until a
	// ping has timed out; one of HTTP/1.1 is given up by the request it failed.
	config.NextProtos = []string{"http/1.1"}
	return config, nil
}

func (c connection) unusable(err error) error {
	hint := "It has to be a kubeconfig whose certificates and keys can be read."
	if errors.Is(err, fs.ErrNotExist) {
		hint = "Name the cluster's kubeconfig; on a control plane of kubeadm it is /etc/kubernetes/admin.conf."
	}
	return engine.Errorf(c.kubeconfig, "the kubeconfig can't be used: %w", err).WithHint("%s", hint).WithAttribute("kubeconfig")
}

// get asks for a path below the server's URL, and returns whatever it answers
// with.
func (c *client) get(ctx context.Context, path, query, accept string) (status int, body string, err error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", accept)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), errors.Join(err, resp.Body.Close())
}

// said is what an answer's error says, without what libraries wrap around it.
func said(err error) string {
	var wrapped *url.Error
	switch {
	case distrust(err) != "" && errors.As(err, &wrapped):
		return "the API server isn't trusted: " + wrapped.Err.Error()
	case errors.As(err, &wrapped):
		return "the API server doesn't answer: " + wrapped.Err.Error()
	case apierrors.IsUnauthorized(err):
		return "the API server doesn't accept these credentials (Unauthorized)"
	case apierrors.ReasonForError(err) == metav1.StatusReasonUnknown:
		return err.Error()
	}
	var status apierrors.APIStatus
	errors.As(err, &status)
	return status.Status().Message
}

// unanswered reports whether there was no answer, rather than one that refuses.
func unanswered(err error) bool {
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		return false // this host's own trouble
	}
	if distrust(err) != "" {
		return false // no waiting helps
	}
	var status apierrors.APIStatus
	return !errors.As(err, &status) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err)
}

// distrust says what to do where the API server's certificate isn't accepted;
// it is empty where that isn't what is wrong.
func distrust(err error) string {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) {
		return ""
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "Is this host's clock right? Then renew the certificate and restart the API server: on kubeadm's control plane, kubeadm certs check-expiration tells which, and kubeadm certs renew apiserver renews it."
	}
	return "Is the kubeconfig this cluster's, and does it hold the CA that signed the API server's certificate, and a name that is in it?"
}

// failed is an answer's error with what to do now.
func failed(where string, err error) *engine.Error {
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		return e
	}
	hint, attribute := "What the API server says should tell why; its log may tell more.", "kubeconfig"
	switch {
	case distrust(err) != "":
		hint = distrust(err)
	case apierrors.IsUnauthorized(err):
		hint = "The API server doesn't know who this is: the kubeconfig's certificate may have expired, or be another cluster's."
	case apierrors.IsForbidden(err):
		hint = "The kubeconfig's user may not do this; an administrator's kubeconfig can."
	case unanswered(err):
		hint = "Is the API server up, and does the kubeconfig name its address? Have an earlier step wait with kubernetes_ready."
	default:
		attribute = ""
	}
	return engine.Errorf(where, "%w", worded{said(err), err}).WithHint("%s", hint).WithAttribute(attribute)
}

// failedAt is failed, and points at an attribute where that points at none.
func failedAt(where, attribute string, err error) error {
	e := failed(where, err)
	if e.Attribute == "" {
		e.Attribute = attribute
	}
	return e
}

// worded is an error in fewer words.
type worded struct {
	text string
	err  error
}

func (w worded) Error() string { return w.text }
func (w worded) Unwrap() error { return w.err }

// answered turns a status that isn't 200 into an error.
func answered(path string, status int, body string, err error) error {
	if err != nil || status == http.StatusOK {
		return err
	}
	text := strings.TrimSpace(body)
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return apierrors.NewGenericServerResponse(status, "get", schema.GroupResource{}, "", fmt.Sprintf("%s: %s", path, text), 0, true)
}
