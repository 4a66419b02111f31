package run_test

import (
	"context"
	"strings"
	"testing"

	"runbook/engine/lang"
)

const guarded = `
runbook "guarded" {
  precondition {
    condition     = path("${var.dir}/a").exists
    error_message = "There is no a."
  }
}
variable "dir" { type = string }
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
`

// What has to hold for a runbook as a whole is told before any of its steps is
// planned.
func TestRunbooksOwnPreconditions(t *testing.T) {
	b := newBench(t, "")
	b.text = guarded
	if p, _, diags := b.plan("r1"); diags.HasErrors() || len(p.Failing()) != 0 || len(p.Steps) != 1 {
		t.Fatalf("%+v %v", p, diags)
	}
	b.text = strings.Replace(guarded, "/a\").exists", "/nothing\").exists", 1)
	p, _, diags := b.plan("r2")
	if diags.HasErrors() || len(p.Failing()[""]) != 1 || p.Failing()[""][0].Message != "There is no a." || len(p.Steps) != 0 || p.NothingToDo() {
		t.Fatalf("%+v %v", p, diags)
	}
}

// Those of a runbook that is a step block the run too; of a late one they are
// looked at when it begins, and nothing of it is done.
func TestPreconditionsOfARunbookThatIsAStep(t *testing.T) {
	outer := `
step "move" "before" {
  from = "${var.dir}/a"
  to   = "${var.dir}/gone"
}
step "runbook" "inner" {
  source    = "inner.hcl"
  variables = { dir = var.dir }
}
`
	b := newBench(t, outer)
	b.more = []lang.Source{{Name: "inner.hcl", Text: guarded}}
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || len(p.Failing()["inner"]) != 1 {
		t.Fatalf("%+v %v", p, diags)
	}
	b.text = strings.Replace(b.text, "= \"inner.hcl\"", "= \"inner.hcl\"\n  late = true", 1)
	b.more[0].Text = strings.Replace(guarded, "path(\"${var.dir}/a\").exists", "data.file.a.exists", 1) + `data "file" "a" { path = "${var.dir}/a" }`
	b.more[0].Text = strings.Replace(b.more[0].Text, "${var.dir}/x", "${var.dir}/x-${data.file.a.size}", 1)
	err := b.begin().Run(context.Background(), context.Background())
	if err == nil || !strings.Contains(err.Error(), "There is no a.") {
		t.Fatal(err)
	}
	b.want("b c gone")
}
