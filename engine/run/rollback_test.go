package run_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"runbook/engine/lang"
	"runbook/engine/run"
)

// asked is a server that remembers what it was asked, and answers a request that it
// knows by its key as it did the first time.
type asked struct {
	*httptest.Server
	bodies []string
	keys   map[string]bool
}

func newAsked(t *testing.T) *asked {
	a := &asked{keys: map[string]bool{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if key := r.Header.Get("Idempotency-Key"); key == "" || !a.keys[key] {
			a.keys[key] = true
			a.bodies = append(a.bodies, string(body))
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// A rollback block may be the very action of its step, and is another piece of work
// all the same: a server doesn't take it for the step's request sent again.
func TestRollbackBlockIsWorkOfItsOwn(t *testing.T) {
	server := newAsked(t)
	b := newBench(t, `
variable "url" { type = string }
step "http" "drain" {
  url             = var.url
  method          = "POST"
  body            = "drain"
  idempotency_key_header = "Idempotency-Key"
  rollback "http" {
    url    = var.url
    method = "POST"
    body   = "undrain"
    idempotency_key_header = "Idempotency-Key"
  }
}
`)
	b.vars["url"] = server.URL
	do(t, b.begin().Run)
	do(t, b.resume(nil).Rollback)
	if got := strings.Join(server.bodies, " "); got != "drain undrain" {
		t.Errorf("the server was told: %s", got)
	}
}

// That a request would be sent as it was before doesn't say that it wasn't sent.
func TestRollbackBlockOfWhatCannotBeTold(t *testing.T) {
	for _, safe := range []string{"", "idempotent = true", `idempotency_key_header = "Idempotency-Key"`} {
		t.Run(safe, func(t *testing.T) { undrains(t, safe) })
	}
}

func undrains(t *testing.T, safe string) {
	t.Helper()
	server := newAsked(t)
	b := newBench(t, `
variable "url" { type = string }
step "http" "drain" {
  on_failure = "rollback"
  url        = var.url
  method     = "POST"
  body       = "drain"
  `+safe+`
  postcondition {
    condition     = false
    error_message = "It isn't drained."
  }
  rollback "http" {
    url    = var.url
    method = "POST"
    body   = "undrain"
  }
}
`)
	b.vars["url"] = server.URL
	var back *run.RolledBackError
	if err := b.begin().Run(context.Background(), context.Background()); !errors.As(err, &back) {
		t.Fatal(err)
	}
	if got := strings.Join(server.bodies, " "); got != "drain undrain" {
		t.Errorf("the server was told: %s", got)
	}
}

// A step that failed, and the run went on, is undone with what is known of it.
func TestRollbackOfWhatFailedAndWasPassedOver(t *testing.T) {
	b := newBench(t, strings.Replace(failing, "%s\"", "continue\"\n  rollback \"move\" {\n    from = self.path\n    to   = \"${var.dir}/w\"\n  }", 1))
	do(t, b.begin().Run)
	b.want("x y z")
	do(t, b.resume(nil).Rollback)
	b.want("a c w")
}

// What comes before a step isn't what it is part of.
func TestFromAStepOfAnotherRunbook(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  postcondition {
    condition     = false
    error_message = "never"
  }
}
step "runbook" "other" {
  source    = "other.hcl"
  variables = { dir = var.dir }
}
`)
	b.more = []lang.Source{{Name: "other.hcl", Text: `runbook "other" {}
variable "dir" { type = string }
step "move" "two" {
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
}
step "move" "three" {
  from = "${var.dir}/c"
  to   = "${var.dir}/z"
}
`}}
	if err := b.begin().Run(context.Background(), context.Background()); err == nil {
		t.Fatal("a postcondition that is false holds")
	}
	r := b.resume(nil)
	if err := r.From("other/three", "somebody", "two was done by hand"); err != nil {
		t.Fatal(err)
	}
	do(t, r.Run)
	b.want("b x z")
}
