package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"runbook/engine"
)

// tlsType is the type of every attribute "tls".
var tlsType = cty.ObjectWithOptionalAttrs(map[string]cty.Type{
	"cert": cty.String, "key": cty.String, "ca": cty.String,
}, []string{"cert", "key", "ca"})

// tlsFiles are the paths of what a client connects with; all may be nil.
type tlsFiles struct {
	Cert *string `cty:"cert"`
	Key  *string `cty:"key"`
	CA   *string `cty:"ca"`
}

// connection is what every action that talks to etcd takes.
type connection struct {
	endpoints []string
	tls       *tlsFiles
	timeout   time.Duration
}

// connectionAttributes are the attributes of a connection.
func connectionAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "endpoints", Type: cty.List(cty.String), Required: true, Check: checkEndpoints,
			Doc: "etcd's client URLs, such as https://127.0.0.1:2379."},
		{Name: "tls", Type: tlsType, Doc: "The paths of the client's certificate and key and of the CA. Without it the system's CAs are trusted."},
		{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(5), Check: checkPositive,
			Doc: "How long to wait for each answer, in seconds."},
	}
}

func checkEndpoints(v cty.Value) error {
	if v.LengthInt() == 0 {
		return fmt.Errorf("at least one endpoint is needed")
	}
	for _, e := range v.AsValueSlice() {
		if e.IsNull() {
			return fmt.Errorf("an endpoint must not be null")
		}
		if !strings.Contains(e.AsString(), "://") {
			return fmt.Errorf("%q has no scheme: write http://%[1]s or https://%[1]s", e.AsString())
		}
	}
	return nil
}

func checkPositive(v cty.Value) error { return checkWhole(v, 1) }

func checkCount(v cty.Value) error { return checkWhole(v, 0) }

func checkWhole(v cty.Value, least int64) error {
	if n, acc := v.AsBigFloat().Int64(); acc != big.Exact || n < least {
		return fmt.Errorf("it has to be a whole number, at least %d", least)
	}
	return nil
}

// dial connects to the given endpoints only. The caller closes the client.
func (c connection) dial(endpoints ...string) (*clientv3.Client, error) {
	conf, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	cli, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: conf, DialTimeout: c.timeout, Logger: zapLogger().Named("client"),
		// Trying again and waiting for a connection hide why it failed behind
		// "deadline exceeded", and are the business of a step's retry block.
		MaxUnaryRetries: uint(len(endpoints)),
		DialOptions:     []grpc.DialOption{grpc.WithChainUnaryInterceptor(failFast)},
	})
	if err != nil {
		return nil, engine.Errorf(strings.Join(endpoints, ","), "connecting to etcd: %w", err).WithAttribute("endpoints")
	}
	return cli, nil
}

// failFast makes a call fail with the reason as soon as no connection could be
// made.
func failFast(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, cc, append(opts, grpc.WaitForReady(false))...)
}

// tlsConfig reads the client's certificates; nil where none is set.
func (c connection) tlsConfig() (*tls.Config, error) {
	if c.tls == nil {
		return nil, nil
	}
	info := transport.TLSInfo{CertFile: deref(c.tls.Cert), KeyFile: deref(c.tls.Key), TrustedCAFile: deref(c.tls.CA), Logger: zapLogger()}
	if info.CertFile == "" && info.KeyFile == "" && info.TrustedCAFile == "" {
		return nil, nil
	}
	conf, err := info.ClientConfig()
	if err != nil {
		return nil, engine.Errorf("tls", "reading the client's certificates: %w", err).
			WithHint("Check the paths of certificate, key and CA, and that this user may read them.").WithAttribute("tls")
	}
	return conf, nil
}

// each calls fn with a client for one endpoint after the other, each within
// the timeout, and stops at the first error.
func (c connection) each(ctx context.Context, fn func(context.Context, *clientv3.Client, string) error) error {
	for _, endpoint := range c.endpoints {
		if err := c.at(ctx, endpoint, fn); err != nil {
			return err
		}
	}
	return nil
}

// at calls fn with a client for one endpoint, within the timeout.
func (c connection) at(ctx context.Context, endpoint string, fn func(context.Context, *clientv3.Client, string) error) (err error) {
	cli, err := c.dial(endpoint)
	if err != nil {
		return err
	}
	defer cli.Close() // its error is the context's, which fn has seen
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return fn(ctx, cli, endpoint)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
