// Package kubeapi starts a real Kubernetes API server with an etcd of its own,
// and nothing else of a cluster: no controllers, no scheduler, no nodes. What
// these would write, a test writes itself.
package kubeapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"runbook/test/binaries"
)

// Server is an API server on this machine.
type Server struct {
	// Kubeconfig is the path of an administrator's kubeconfig. Its context
	// "nobody" is one of a user who may do nothing.
	Kubeconfig string

	url      string
	client   *http.Client
	programs []*exec.Cmd
	ended    chan error // gets what each program ended with
	dir      string
}

const (
	adminToken  = "admin-token"
	nobodyToken = "nobody-token"
)

// Programs builds what Start needs, unless it is built, and returns the
// directory that a host has to share with this machine.
func Programs(ctx context.Context) (dir string, err error) {
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := binaries.Path(ctx, name); err != nil {
			return "", err
		}
	}
	dir, err = binaries.LabCache()
	if err != nil {
		return "", err
	}
	return dir, os.Setenv("RUNBOOK_LAB_CACHE", dir) // a host has no XDG_CACHE_HOME
}

// Start starts one on free ports of the loopback interface, and keeps its
// data, certificates and logs in dir. It returns once the server is ready.
func Start(ctx context.Context, dir string) (*Server, error) {
	s := &Server{dir: dir, ended: make(chan error, 2), Kubeconfig: filepath.Join(dir, "admin.conf")}
	if err := s.start(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start an API server: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	if err := s.files(); err != nil {
		return err
	}
	client, peer := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	err = s.run(ctx, "etcd", "--data-dir="+filepath.Join(s.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	if err != nil {
		return err
	}
	s.url = "https://127.0.0.1:" + ports[2]
	key := filepath.Join(s.dir, "accounts.key")
	err = s.run(ctx, "kube-apiserver", "--etcd-servers="+client, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+ports[2],
		"--cert-dir="+s.dir, "--token-auth-file="+filepath.Join(s.dir, "tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+key,
		"--service-account-signing-key-file="+key, "--service-cluster-ip-range=10.96.0.0/16",
		"--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true")
	if err != nil {
		return err
	}
	return s.ready(ctx)
}

// files writes what the server reads when it starts.
func (s *Server) files() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	tokens := adminToken + ",admin,1,system:masters\n" + nobodyToken + ",nobody,2\n"
	return errors.Join(
		os.MkdirAll(s.dir, 0o755),
		os.WriteFile(filepath.Join(s.dir, "accounts.key"), key, 0o600),
		os.WriteFile(filepath.Join(s.dir, "tokens.csv"), []byte(tokens), 0o600),
	)
}

// run starts a program, whose log is NAME.log.
func (s *Server) run(ctx context.Context, name string, args ...string) error {
	path, err := binaries.Path(ctx, name)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the program has its own
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.programs = append(s.programs, cmd)
	go func() { s.ended <- fmt.Errorf("%s has ended: %w", name, cmd.Wait()) }()
	return nil
}

// ready waits until the server is, and writes its kubeconfig.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.connect()
		if err == nil {
			err = s.Do(ctx, http.MethodGet, "/readyz", "", nil)
		}
		if err == nil {
			// What the server itself makes comes a moment later.
			err = s.Do(ctx, http.MethodGet, "/api/v1/namespaces/default", "", nil)
		}
		if err == nil {
			return os.WriteFile(s.Kubeconfig, []byte(s.kubeconfig()), 0o600)
		}
		select {
		case <-tick.C:
			continue
		case end := <-s.ended:
			s.ended <- end // for Stop
			err = end
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		log, _ := os.ReadFile(filepath.Join(s.dir, "kube-apiserver.log")) // its absence is news enough
		return fmt.Errorf("%w\n%s", err, log[max(0, len(log)-2000):])
	}
}

// connect makes the client, once the server has made its certificate.
func (s *Server) connect() error {
	if s.client != nil {
		return nil
	}
	ca, err := os.ReadFile(s.ca())
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return errors.New("its certificate is not written yet")
	}
	s.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	return nil
}

func (s *Server) ca() string { return filepath.Join(s.dir, "apiserver.crt") }

func (s *Server) kubeconfig() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %s}}, {name: nobody, user: {token: %s}}, {name: stranger, user: {token: unknown}}]
contexts:
- {name: admin, context: {cluster: test, user: admin}}
- {name: nobody, context: {cluster: test, user: nobody}}
- {name: stranger, context: {cluster: test, user: stranger}}
current-context: admin
`, s.url, s.ca(), adminToken, nobodyToken)
}

// Do sends a request as the administrator. body is YAML or JSON, and what is
// answered is decoded into out, where it isn't nil. A status above 299 is an
// *Error.
func (s *Server) Do(ctx context.Context, method, path, body string, out any) error {
	data, err := yaml.YAMLToJSON([]byte(body))
	if err != nil {
		return err
	}
	if body == "" {
		data = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode > 299 {
		return &Error{Status: resp.StatusCode, Text: strings.TrimSpace(string(text))}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Error is an answer that refuses.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Text) }

// Stop ends the server and its etcd.
func (s *Server) Stop() {
	for _, cmd := range s.programs {
		_ = cmd.Process.Kill() // it may have ended by itself
	}
	for range s.programs {
		<-s.ended
	}
	s.programs = nil
}

// freePorts lists ports on which nobody listens now.
func freePorts(n int) ([]string, error) {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all are chosen
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		all = append(all, port)
	}
	return all, nil
}
