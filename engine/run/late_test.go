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

// The first step makes what the other runbook's data source looks at.
const lateOuter = `
step "move" "break" {
  from = "${var.dir}/a"
  to   = "${var.dir}/broken"
}
step "runbook" "mend" {
  source    = "mend.hcl"
  late      = true
  variables = { dir = var.dir }
}
step "move" "last" {
  from = "${var.dir}/b"
  to   = "${var.dir}/${step.mend.size}"
}
`

const lateInner = `
runbook "mend" {
  goal {
    condition = !data.file.broken.exists
    message   = "nothing is broken"
  }
}
variable "dir" { type = string }
data "file" "broken" { path = "${var.dir}/broken" }
step "move" "mend" {
  from = "${var.dir}/broken"
  to   = "${var.dir}/mended-${data.file.broken.size}"
}
output "size" { value = "size-${data.file.broken.size}" }
`

func withLate(t *testing.T) *bench {
	b := newBench(t, lateOuter)
	b.more = []lang.Source{{Name: "mend.hcl", Text: lateInner}}
	b.write("a", "12345")
	return b
}

// What a late runbook looks at is what the steps before it have left, and the
// plan says that it can't know.
func TestLateRunbookLooksWhenItBegins(t *testing.T) {
	b := withLate(t)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, s := range p.Steps {
		if inner := strings.HasPrefix(s.Name, "mend/"); inner && s.KnownAfter != "mend" {
			t.Errorf("%s is known after %q", s.Name, s.KnownAfter)
		}
	}
	if len(p.Data) > 0 {
		t.Errorf("read while planning: %v", p.Data)
	}
	r := b.begin()
	do(t, r.Run)
	b.want("c mended-5 size-5")
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// A resume works with what was read when the runbook began, not with what is
// there by then.
func TestLateRunbookIsResumed(t *testing.T) {
	for _, at := range []string{"mend", "mend/mend", "last"} {
		b := withLate(t)
		stop, cancel := context.WithCancel(context.Background())
		b.onEvent = func(e engine.Event) {
			if e, ok := e.(engine.StepDone); ok && e.Step.Name == "break" && at == "mend" {
				cancel()
			}
			if e, ok := e.(engine.StepStarted); ok && e.Step.Name == at {
				cancel()
			}
		}
		err := b.begin().Run(context.Background(), stop)
		b.onEvent = nil
		if at != "last" && !errors.Is(err, run.ErrInterrupted) || at == "last" && err != nil {
			t.Fatal(at, err)
		}
		if at != "last" {
			do(t, b.resume(nil).Run)
		}
		b.want("c mended-5 size-5")
		do(t, b.resume(nil).Rollback)
		b.want("a b c")
		b.close()
	}
}

// Its goal is looked at when it begins, too.
func TestLateRunbookWithNothingToDo(t *testing.T) {
	b := withLate(t)
	b.text = strings.Replace(b.text, "/broken\"", "/other\"", 1)
	b.text = strings.Replace(b.text, "${step.mend.size}", "${step.mend == null}", 1)
	do(t, b.begin().Run)
	b.want("c other true")
}

// A late runbook's for_each can't go by what its data sources will have read, and
// that is told.
func TestLateRunbookWithRoundsNotKnownYet(t *testing.T) {
	b := withLate(t)
	b.more[0].Text = strings.Replace(lateInner, `step "move" "mend" {`, `step "move" "mend" {
  for_each = toset(["x", data.file.broken.content])`, 1)
	_, _, diags := b.plan("r1")
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "known before the run") {
		t.Errorf("%v", diags)
	}
}
