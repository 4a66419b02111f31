package run_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// Its second step always fails, once it has moved its file.
const attempt = `
runbook "attempt" { description = "Tries." }
variable "dir" { type = string }
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "two" {
  from = "${var.dir}/x"
  to   = "${var.dir}/w"
  postcondition {
    condition     = false
    error_message = "never"
  }
}
step "move" "three" {
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
}
output "path" { value = step.three.path }
`

const attempts = `
step "runbook" "first" {
  source     = "attempt.hcl"
  on_failure = "continue"
  variables  = { dir = var.dir }
}
step "move" "second" {
  when = step.first == null
  from = "${var.dir}/c"
  to   = "${var.dir}/z"
}
output "helped" { value = step.first == null ? "second" : "first" }
`

func withAttempt(t *testing.T, outer, inner string) *bench {
	b := newBench(t, outer)
	b.more = []lang.Source{{Name: "attempt.hcl", Text: inner}}
	return b
}

// A runbook that is a step with on_failure = "continue" fails as a whole: what
// is left of it is passed over, it has no result, and the run goes on behind it.
func TestRunbookStepFailsAsAWhole(t *testing.T) {
	b := withAttempt(t, attempts, attempt)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if got := p.Steps[len(p.Steps)-1]; got.Name != "second" || got.WhenAfter != "first" || got.Skip != "" {
		t.Errorf("whether second is carried out is known after %q; %q", got.WhenAfter, got.Skip)
	}
	r := b.begin()
	do(t, r.Run)
	b.want("b w z")
	for name, want := range map[string]bool{"first": true, "first/two": true, "first/one": false, "first/three": false, "second": false} {
		if got := r.State().Steps[name].Failed; got != want {
			t.Errorf("%s failed: %v", name, got)
		}
	}
	if why := r.State().Steps["first/three"].Skipped; !strings.Contains(why, "first has failed") {
		t.Errorf("three is passed over: %q", why)
	}
	if out := r.State().Outputs; len(out) != 1 || out[0].Text() != "second" {
		t.Errorf("%+v", out)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// So it is however deep the step is that failed, and the run can be interrupted
// anywhere.
func TestRunbookStepFailsAsAWholeWhenResumed(t *testing.T) {
	middle := `
runbook "middle" { description = "Goes between." }
variable "dir" { type = string }
step "runbook" "inner" {
  source    = "inner.hcl"
  variables = { dir = var.dir }
}
step "move" "after" {
  from = step.inner.path
  to   = "${var.dir}/v"
}
output "path" { value = step.inner.path }
`
	for _, at := range []string{"first/inner/one", "first/inner/two", "first/inner/three", "first/after", "second"} {
		b := withAttempt(t, attempts, middle)
		b.more = append(b.more, lang.Source{Name: "inner.hcl", Text: attempt})
		stop, cancel := context.WithCancel(context.Background())
		b.onEvent = func(e engine.Event) {
			if e, ok := e.(engine.StepStarted); ok && e.Step.Name == at {
				cancel()
			}
		}
		err := b.begin().Run(context.Background(), stop)
		b.onEvent = nil
		if err != nil && !errors.Is(err, run.ErrInterrupted) {
			t.Fatal(at, err)
		}
		r := b.resume(nil)
		do(t, r.Run)
		b.want("b w z")
		if st := r.State().Steps; !st["first"].Failed || !st["first/inner"].Failed || st["first/after"].Skipped == "" {
			t.Errorf("%s: %+v %+v %+v", at, st["first"], st["first/inner"], st["first/after"])
		}
		cancel()
		do(t, b.resume(nil).Rollback)
		b.want("a b c")
		b.close()
	}
}

// A step that says for itself what happens doesn't bring its runbook down.
func TestStepsOwnPolicyComesFirst(t *testing.T) {
	inner := strings.Replace(attempt, `step "move" "two" {`, "step \"move\" \"two\" {\n  on_failure = \"continue\"", 1)
	b := withAttempt(t, attempts, inner)
	r := b.begin()
	do(t, r.Run)
	b.want("c w y")
	if st := r.State().Steps; st["first"].Failed || !st["first/two"].Failed {
		t.Errorf("%+v %+v", st["first"], st["first/two"])
	}
}
