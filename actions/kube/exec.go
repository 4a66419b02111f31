package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"runbook/engine"
)

func execSpec() engine.Spec {
	return engine.Spec{
		Name: "kubernetes_exec",
		Doc: "Runs a command in a container of a pod, and checks its exit code and what it writes. " +
			"It is a check: give it commands that only look, since one that was interrupted is run again. " +
			"Exactly one of pod and selector is set. The command is not given to a shell. " +
			"What it writes is kept in the run's journal, so it should not be a secret.",
		ReadOnly: true,
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "namespace", Type: cty.String, Default: cty.StringVal("default"), Check: checkText, Doc: "The pod's namespace."},
			engine.Attribute{Name: "pod", Type: cty.String, Check: checkText, Doc: "The pod's name."},
			engine.Attribute{Name: "selector", Type: cty.String, Check: checkSelector, Doc: "A label selector; of the pods that it selects, the first by name that is ready is taken."},
			engine.Attribute{Name: "container", Type: cty.String, Check: checkText, Doc: "The container; the pod's default or first one where it isn't set."},
			engine.Attribute{Name: "command", Type: cty.List(cty.String), Required: true, Check: checkCommand, Doc: "The program and its arguments."},
			engine.Attribute{Name: "expected_exit_code", Type: cty.Number, Default: cty.NumberIntVal(0), Check: checkCount, Doc: "The exit code that it has to end with."},
			engine.Attribute{Name: "output", Type: cty.String, Doc: "What it has to write to its standard output, apart from white space at both ends."},
			engine.Attribute{Name: "output_contains", Type: cty.String, Check: checkText, Doc: "A text that its standard output has to contain."},
			engine.Attribute{Name: "output_matches", Type: cty.String, Check: checkPattern, Doc: "A regular expression, of RE2, that its standard output has to match somewhere."},
			engine.Attribute{Name: "timeout_seconds", Type: cty.Number, Default: cty.NumberIntVal(60), Check: checkPositive, Doc: "How long it may take, in seconds."}),
		Results: []engine.Attribute{
			{Name: "pod", Type: cty.String, Doc: "The pod that it ran in."},
			{Name: "stdout", Type: cty.String, Doc: "What it wrote to its standard output, without white space at both ends; the first 64 KiB."},
			{Name: "stderr", Type: cty.String, Doc: "What it wrote to its standard error, likewise."},
			{Name: "exit_code", Type: cty.Number, Doc: "The code that it ended with."},
		},
		Example: `step "kubernetes_exec" "payment_answers" {
  namespace       = "production"
  selector        = "app=payment"
  command         = ["wget", "-qO-", "http://127.0.0.1:8080/healthz"]
  output_contains = "ok"
}`,
		New: func() engine.Action { return new(execute) },
	}
}

type execute struct {
	Kubeconfig string   `cty:"kubeconfig"`
	Context    *string  `cty:"context"`
	Namespace  string   `cty:"namespace"`
	Pod        *string  `cty:"pod"`
	Selector   *string  `cty:"selector"`
	Container  *string  `cty:"container"`
	Command    []string `cty:"command"`
	ExitCode   int      `cty:"expected_exit_code"`
	Output     *string  `cty:"output"`
	Contains   *string  `cty:"output_contains"`
	Matches    *string  `cty:"output_matches"`
	Timeout    int64    `cty:"timeout_seconds"`
}

var _ engine.Action = (*execute)(nil)

func checkCommand(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("it has to name a program")
	}
	return each(v, func(string) error { return nil })
}

func checkPattern(v cty.Value) error {
	_, err := regexp.Compile(v.AsString())
	return err
}

func (a *execute) where() string {
	if a.Pod != nil {
		return place("pod", a.Namespace, *a.Pod)
	}
	return "pods with " + deref(a.Selector) + " in " + a.Namespace
}

// Plan implements engine.Action.
func (a *execute) Plan(context.Context, engine.World) (engine.Change, error) {
	if (a.Pod == nil) == (a.Selector == nil) {
		return engine.Change{}, engine.Errorf("kubernetes_exec", "either pod or selector has to be set").
			WithHint("Name the pod, or select it by its labels.").WithAttribute("pod")
	}
	check := fmt.Sprintf("%q in %s ends with %d", strings.Join(a.Command, " "), a.where(), a.ExitCode)
	if text := a.expected(); text != "" {
		check += " and writes " + text
	}
	return engine.Change{Checks: []string{check}}, nil
}

func (a *execute) expected() string {
	var all []string
	for _, e := range []struct {
		how  string
		text *string
	}{{"", a.Output}, {"something with ", a.Contains}, {"what matches ", a.Matches}} {
		if e.text != nil {
			all = append(all, fmt.Sprintf("%s%q", e.how, *e.text))
		}
	}
	return strings.Join(all, ", ")
}

// outputSize is how much of an output is kept.
const outputSize = 64 << 10

// Apply implements engine.Action.
func (a *execute) Apply(ctx context.Context, _ engine.Change, r engine.Reporter) (engine.Result, error) {
	cli, err := connection{a.Kubeconfig, a.Context}.dial()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, seconds(a.Timeout))
	defer cancel()
	pod, err := a.choose(within, cli)
	if err != nil {
		return nil, err
	}
	r.Progress(engine.Progress{Doing: "running " + strings.Join(a.Command, " ") + " in " + pod})
	stdout, stderr := &head{}, &head{}
	code, err := a.stream(within, cli, pod, stdout, stderr)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		return nil, engine.Errorf(place("pod", a.Namespace, pod), "the command has not ended within %s", seconds(a.Timeout)).
			WithHint("It may still run there. Find out what it waits for, or raise timeout_seconds.").WithAttribute("timeout_seconds")
	}
	if err != nil {
		return nil, notRun(place("pod", a.Namespace, pod), err)
	}
	if err := a.judge(engine.SecretsOf(ctx), pod, code, stdout.text(), stderr.text()); err != nil {
		return nil, err
	}
	return engine.Result{"pod": pod, "stdout": stdout.text(), "stderr": stderr.text(), "exit_code": code}, nil
}

// choose returns the name of the pod to run in.
func (a *execute) choose(ctx context.Context, c *client) (string, error) {
	list, err := c.find(ctx, podsResource, a.Namespace, deref(a.Pod), deref(a.Selector))
	if err != nil {
		return "", failed(a.where(), err)
	}
	pods, err := allTyped[corev1.Pod](list)
	if err != nil {
		return "", err
	}
	attribute := map[bool]string{true: "pod", false: "selector"}[a.Pod != nil]
	if len(pods) == 0 {
		return "", engine.Errorf(a.where(), "there is none").
			WithHint("List the pods with: kubectl get pods -n %s --show-labels.", a.Namespace).WithAttribute(attribute)
	}
	for _, p := range pods {
		if podReady(p) || a.Pod != nil && p.Status.Phase == corev1.PodRunning {
			return p.Name, nil
		}
	}
	return "", engine.Errorf(a.where(), "none is ready: %s", firstTrouble(pods)).
		WithHint("Have an earlier step wait for it with kubernetes_wait.").WithAttribute(attribute)
}

// stream runs the command: over a WebSocket, or where the server can't, SPDY.
func (a *execute) stream(ctx context.Context, c *client, pod string, stdout, stderr *head) (code int, err error) {
	u := c.base.JoinPath("api/v1/namespaces", a.Namespace, "pods", pod, "exec")
	u.RawQuery = url.Values{"command": a.Command, "stdout": {"true"}, "stderr": {"true"}, "container": a.containers()}.Encode()
	config := *c.config
	config.Timeout = 0 // ctx ends it
	socket, err := remotecommand.NewWebSocketExecutor(&config, "GET", u.String())
	if err != nil {
		return 0, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(&config, "POST", u)
	if err != nil {
		return 0, err
	}
	either, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return 0, err
	}
	err = either.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: stdout, Stderr: stderr})
	if exit := (utilexec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

// notRun is why the command could not be run, though the API server answers.
func notRun(where string, err error) error {
	e := failed(where, err)
	if e.Attribute == "" || unanswered(err) {
		return e.WithAttribute("").WithHint("The API server has the kubelet of the pod's node run it: is that one up, and does the container have the program?")
	}
	return e
}

func (a *execute) containers() []string {
	if a.Container == nil {
		return nil
	}
	return []string{*a.Container}
}

// judge tells in what the outcome isn't as expected.
func (a *execute) judge(secrets engine.Secrets, pod string, code int, stdout, stderr string) error {
	attribute, what := "", ""
	switch {
	case code != a.ExitCode:
		attribute, what = "expected_exit_code", fmt.Sprintf("it ended with %d instead of %d", code, a.ExitCode)
	case a.Output != nil && stdout != strings.TrimSpace(*a.Output):
		attribute, what = "output", fmt.Sprintf("it did not write %q", *a.Output)
	case a.Contains != nil && !strings.Contains(stdout, *a.Contains):
		attribute, what = "output_contains", fmt.Sprintf("what it wrote does not contain %q", *a.Contains)
	case a.Matches != nil && !regexp.MustCompile(*a.Matches).MatchString(stdout):
		attribute, what = "output_matches", fmt.Sprintf("what it wrote does not match %q", *a.Matches)
	default:
		return nil
	}
	return engine.Errorf(place("pod", a.Namespace, pod), "%s: %s%s", strings.Join(a.Command, " "), what, wrote(secrets, stdout, stderr)).
		WithHint("What it wrote should tell why. If it only takes longer to become so, give the step a retry block.").WithAttribute(attribute)
}

func wrote(secrets engine.Secrets, stdout, stderr string) string {
	text, cut := secrets.Cut(strings.TrimSpace(stdout+"\n"+stderr), 500)
	if cut {
		text += "…"
	}
	if text == "" {
		return ""
	}
	return ":\n" + text
}

// head keeps the beginning of what is written to it.
type head struct{ buf bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.buf.Write(p[:min(len(p), outputSize-h.buf.Len())])
	return len(p), nil
}

func (h *head) text() string {
	return strings.TrimSpace(strings.ToValidUTF8(h.buf.String(), "\uFFFD"))
}

// Undo implements engine.Action; there is nothing to undo.
func (a *execute) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
