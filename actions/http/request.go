package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	nethttp "net/http"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var requestSpec = engine.Spec{
	Name: "http",
	Doc: "Sends an HTTP request. " +
		"GET, HEAD and OPTIONS only look. Of any other, an answer that is lost leaves open whether it had its effect, so in doubt the operator is asked, unless the server takes a request twice as one: " +
		"because it is idempotent, or because it is told a key that is the same whenever this step of this run is carried out. " +
		"A retry block sends it again whatever it is. " +
		"What it changes behind the URL is not this host's, so later steps are planned as if nothing had changed.",
	Attributes: append(connectionAttributes(),
		engine.Attribute{Name: "method", Type: cty.String, Default: cty.StringVal(nethttp.MethodGet), Check: checkMethod, Doc: "GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE."},
		engine.Attribute{Name: "body", Type: cty.String, Doc: "What to send."},
		engine.Attribute{Name: "expected_status", Type: cty.List(cty.Number), Check: checkStatuses,
			Doc: "The statuses that mean success; any from 200 to 299 where it isn't set. Redirections are followed unless one of these is from 300 to 399."},
		engine.Attribute{Name: "idempotent", Type: cty.Bool, Default: cty.False, Doc: "Whether sending it twice does the same as sending it once."},
		engine.Attribute{Name: "idempotency_key_header", Type: cty.String, Check: checkHeaderName,
			Doc: "A header by which the server knows a request again, such as Idempotency-Key. Its value is derived from the run and the step."},
	),
	Results: answerResults(),
	Example: `step "http" "announce" {
  url                    = "https://status.example.com/api/incidents"
  method                 = "POST"
  headers                = { Content-Type = "application/json" }
  body                   = jsonencode({ title = "etcd is being restored" })
  idempotency_key_header = "Idempotency-Key"
}`,
	New: func() engine.Action { return new(request) },
}

type request struct {
	URL        string            `cty:"url"`
	Headers    map[string]string `cty:"headers"`
	CA         *string           `cty:"ca"`
	Cert       *string           `cty:"cert"`
	Key        *string           `cty:"key"`
	Timeout    int64             `cty:"timeout_seconds"`
	Method     string            `cty:"method"`
	Body       *string           `cty:"body"`
	Expected   []int             `cty:"expected_status"`
	Idempotent bool              `cty:"idempotent"`
	KeyHeader  *string           `cty:"idempotency_key_header"`
}

var _ engine.Action = (*request)(nil)

// record is the action's Change.Data.
type record struct {
	// Key is what the server knows the request again by; empty where it isn't
	// sent one.
	Key string `json:"key,omitempty"`
}

func (a *request) looks() bool {
	return slices.Contains([]string{nethttp.MethodGet, nethttp.MethodHead, nethttp.MethodOptions}, a.Method)
}

// Plan implements engine.Action. Nothing is sent: an earlier step may be what
// starts the server.
func (a *request) Plan(_ context.Context, w engine.World) (engine.Change, error) {
	if (a.Cert == nil) != (a.Key == nil) {
		_, err := a.connection().tls()
		return engine.Change{}, err
	}
	if a.looks() {
		return engine.Change{Checks: []string{fmt.Sprintf("%s %s answers with %s", a.Method, a.URL, a.expectation())}}, nil
	}
	c := engine.Change{
		Items:        []engine.Item{{Target: a.Method + " " + a.URL, Before: "not sent", After: "sent"}},
		Irreversible: "a request can't be taken back.",
		Repeats:      true,
	}
	var rec record
	switch {
	case a.KeyHeader != nil:
		rec.Key = keyOf(w.Run(), a.Method, a.URL)
		c.Items[0].Note = "repeated safely: the server knows it again by " + *a.KeyHeader
	case a.Idempotent:
		c.Items[0].Note = "repeated safely: it is idempotent"
	default:
		c.Unpredictable = "The request has no idempotency key, so if its answer is lost, nothing tells whether it had its effect."
	}
	return c, c.SetData(rec)
}

// keyOf is the same whenever the step is carried out in one run, and another
// in every other.
func keyOf(run engine.RunInfo, method, url string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{run.ID, run.Step, method, url}, "\x00")))
	return fmt.Sprintf("runbook-%x", sum[:16])
}

func (a *request) connection() connection {
	return connection{url: a.URL, ca: a.CA, cert: a.Cert, key: a.Key, timeout: time.Duration(a.Timeout) * time.Second}
}

// Apply implements engine.Action.
func (a *request) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	headers := map[string]string{}
	for name, value := range a.Headers {
		headers[name] = value
	}
	if a.KeyHeader != nil && !c.Empty() {
		var rec record
		if err := c.GetData(&rec); err != nil {
			return nil, err
		}
		headers[*a.KeyHeader] = rec.Key
	}
	body := ""
	if a.Body != nil {
		body = *a.Body
	}
	r.Progress(engine.Progress{Doing: "waiting for the answer of " + a.URL})
	got, err := a.connection().send(ctx, a.Method, headers, body, !a.wantsRedirection())
	if err != nil {
		return nil, err
	}
	if !a.expects(got.status) {
		return nil, a.refused(engine.SecretsOf(ctx), got)
	}
	return got.results(), nil
}

func (a *request) expects(status int) bool {
	if a.Expected == nil {
		return status >= 200 && status <= 299
	}
	return slices.Contains(a.Expected, status)
}

func (a *request) wantsRedirection() bool {
	return slices.ContainsFunc(a.Expected, func(s int) bool { return s >= 300 && s <= 399 })
}

func (a *request) expectation() string {
	if a.Expected == nil {
		return "a status from 200 to 299"
	}
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(a.Expected), "[]")), " or ")
}

func (a *request) refused(secrets engine.Secrets, got answer) error {
	said, cut := secrets.Cut(strings.TrimSpace(got.body), 500)
	if cut {
		said += "…"
	}
	if said != "" {
		said = ":\n" + said
	}
	return engine.Errorf(a.Method+" "+a.URL, "it answered with %s instead of %s%s", got.phrase, a.expectation(), said).
		WithHint("What the server says should tell why; its log may tell more. Add the status to expected_status if it is as good.")
}

// Undo implements engine.Action; a request can't be taken back.
func (a *request) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

func checkMethod(v cty.Value) error {
	known := []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
	if !slices.Contains(known, v.AsString()) {
		return fmt.Errorf("the method is one of %s", strings.Join(known, ", "))
	}
	return nil
}

func checkStatuses(v cty.Value) error {
	if v.LengthInt() == 0 {
		return errors.New("without an expected status the step could never succeed")
	}
	for _, s := range v.AsValueSlice() {
		if s.IsNull() {
			return errors.New("a status must not be null")
		}
		if n, acc := s.AsBigFloat().Int64(); acc != big.Exact || n < 200 || n > 599 {
			return errors.New("a status is a whole number from 200 to 599")
		}
	}
	return nil
}
