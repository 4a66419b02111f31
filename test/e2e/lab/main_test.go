// Package lab runs the real binary on a real kubeadm control plane.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/kubehost"
)

const (
	dataDir   = "/var/lib/etcd"
	backupDir = "/var/backups/etcd"
	stateDir  = "/var/lib/runbook"
	namespace = "production"
	account   = "system:serviceaccount:" + namespace + ":payment-service"
)

// scene is a control plane with the baseline in it, and a backup of that.
type scene struct {
	*testing.T
	host   *kubehost.Host
	ctx    context.Context
	before application
}

// application is what of the baseline has to be found again.
type application struct{ secret, config, role string }

// build builds the binary once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "runbook-lab-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "runbook")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/runbook")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path)) // what is left is in the temporary directory
	}
	os.Exit(code)
}

// newScene boots a control plane, puts the baseline into it, and takes a backup
// with the shipped runbook.
func newScene(t *testing.T) *scene {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	h, err := kubehost.Boot(ctx, kubehost.Options{Runbook: binary})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &scene{T: t, host: h, ctx: ctx}
	s.runbook(0, "run", "baseline.hcl", "--yes", "--var", "image="+kubehost.WebImage, "--var", "image_pull_policy=Never", "--var", "args=[]")
	s.before = s.application()
	return s
}

// in is the same scene in a subtest.
func (s *scene) in(t *testing.T) *scene {
	inner := *s
	inner.T = t
	return &inner
}

// sh runs a shell script in the host, which has to succeed, and returns what it
// printed.
func (s *scene) sh(script string) string {
	s.Helper()
	out, err := s.host.Output(s.ctx, "sh", "-ec", script)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (s *scene) kubectl(args ...string) string {
	s.Helper()
	out, err := s.host.Kubectl(s.ctx, args...)
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// runbook runs the binary in the host, wants an exit code, and returns all that
// it printed.
func (s *scene) runbook(code int, args ...string) string {
	s.Helper()
	return s.exec(code, "runbook", args...)
}

func (s *scene) exec(code int, name string, args ...string) string {
	s.Helper()
	cmd := s.host.Command(s.ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if got := exitCode(err); got != code {
		s.Fatalf("%s %s: exit code %d (%v), want %d\n%s", name, strings.Join(args, " "), got, err, code, out)
	}
	return string(out)
}

// exitCode is as a shell has it: 128 and the signal's number for a process that
// was killed.
func exitCode(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return -1
		}
		return 0
	}
	if st := exit.Sys().(syscall.WaitStatus); st.Signaled() {
		return 128 + int(st.Signal())
	}
	return exit.ExitCode()
}

func (s *scene) contains(text string, parts ...string) {
	s.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), p) {
			s.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

func (s *scene) application() application {
	s.Helper()
	return application{
		secret: s.kubectl("get", "secret", "payment-credentials", "--namespace="+namespace, "--output=jsonpath={.type}{.data}{.metadata.uid}"),
		config: s.kubectl("get", "configmap", "payment-config", "--namespace="+namespace, "--output=jsonpath={.data}{.metadata.uid}"),
		role:   s.kubectl("get", "role", "payment-reader", "--namespace="+namespace, "--output=jsonpath={.rules}{.metadata.uid}"),
	}
}

// isBack checks that the cluster has all that it had, and that it works: what
// the API merely remembers of the time of the backup doesn't count.
func (s *scene) isBack() {
	s.Helper()
	s.writes()
	if got := s.application(); got != s.before {
		s.Errorf("the application is\n%+v\nwant\n%+v", got, s.before)
	}
	s.kubectl("rollout", "status", "deployment/payment-service", "--namespace="+namespace, "--timeout=3m")
	if got := s.kubectl("get", "deployment", "payment-service", "--namespace="+namespace, "--output=jsonpath={.status.readyReplicas}/{.spec.replicas}"); got != "3/3" {
		s.Errorf("%s replicas are ready", got)
	}
	for _, c := range []struct{ verb, what, want string }{
		{"get", "secrets/payment-credentials", "yes"}, {"list", "configmaps", "yes"}, {"delete", "pods", "no"},
	} {
		if got := s.mayI(c.verb, c.what); got != c.want {
			s.Errorf("may the service account %s %s? %s", c.verb, c.what, got)
		}
	}
	s.podsAnswer()
	s.kubectl("wait", "--for=condition=Ready", "node/"+kubehost.Node, "--timeout=2m")
	if got, want := s.members(), kubehost.Node+" https://"+kubehost.Address+":2380"; got != want {
		s.Errorf("etcd's members are %q, want %q", got, want)
	}
	must(s, s.host.AwaitReady(s.ctx))
}

// writes makes an object anew, which an etcd that only remembers can't.
func (s *scene) writes() {
	s.Helper()
	s.kubectl("create", "configmap", "written", "--namespace="+namespace)
	s.kubectl("delete", "configmap", "written", "--namespace="+namespace)
}

// awaitAnswer waits until the API server answers at all.
func (s *scene) awaitAnswer() {
	s.Helper()
	must(s, s.host.Await(s.ctx, "the API server answers", func() error {
		_, err := s.host.Kubectl(s.ctx, "get", "--raw=/readyz", "--request-timeout=2s")
		return err
	}))
}

func (s *scene) mayI(verb, what string) string {
	s.Helper()
	// Its exit code is 1 for a no.
	out, err := s.host.Output(s.ctx, "kubectl", "--kubeconfig="+kubehost.AdminConfig, "auth", "can-i", verb, what, "--namespace="+namespace, "--as="+account)
	if answer := strings.TrimSpace(string(out)); answer == "yes" || answer == "no" {
		return answer
	}
	s.Fatal(err)
	return ""
}

// podsAnswer has one pod of the application ask another.
func (s *scene) podsAnswer() {
	s.Helper()
	pods := strings.Fields(s.kubectl("get", "pods", "--selector=app=payment-service", "--namespace="+namespace,
		"--field-selector=status.phase=Running", "--output=jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {end}"))
	if len(pods) < 6 {
		s.Fatalf("the running pods are %q", pods)
	}
	got := s.kubectl("exec", pods[0], "--namespace="+namespace, "--", "curl", "-fsS", "http://"+pods[3]+":8080/alive")
	if want := pods[2] + " /alive"; got != want {
		s.Errorf("the pod answers %q, want %q", got, want)
	}
}

const etcdctl = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt " +
	"--cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key "

func (s *scene) members() string {
	s.Helper()
	list := s.sh(etcdctl + "member list --write-out=simple")
	fields := regexp.MustCompile(`, *`).Split(list, -1)
	if len(fields) < 4 || strings.Contains(list, "\n") {
		return list
	}
	return fields[2] + " " + fields[3]
}

// runID is what the ID of a run looks like.
var runID = regexp.MustCompile(`\d{8}-\d{6}-[a-z0-9]{4}`)

// newest is the ID of the newest run.
func (s *scene) newest() string {
	s.Helper()
	return runID.FindString(s.runbook(0, "list"))
}

// didAsPlanned compares what the newest run recorded with its plan, step by
// step.
func (s *scene) didAsPlanned() {
	s.Helper()
	id := s.newest()
	dir := s.TempDir()
	text, err := s.host.Output(s.ctx, "cat", filepath.Join(stateDir, "runs", id, journal.FileName))
	must(s, err)
	must(s, os.WriteFile(filepath.Join(dir, journal.FileName), text, 0o600))
	records, err := journal.All(dir)
	must(s, err)
	state, err := run.Replay(records)
	must(s, err)
	if state.Phase != run.Finished || len(state.Header.Plan.Steps) == 0 {
		s.Fatalf("run %s is %s, with %d steps", id, state.Phase, len(state.Header.Plan.Steps))
	}
	for _, p := range state.Header.Plan.Steps {
		if p.KnownAfter != "" {
			s.Logf("step %s was known only after %s", p.Name, p.KnownAfter)
			continue
		}
		if did := state.Steps[p.Name].Change(); !did.SameAs(p.Change) {
			s.Errorf("step %s: planned\n%s\ndone\n%s", p.Name, run.Describe(p.Change), run.Describe(did))
		}
	}
}

func must(s *scene, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
