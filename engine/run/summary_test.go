package run_test

import (
	"strings"
	"testing"

	"runbook/engine/lang"
)

const summarized = `
variable "token" {
  type      = string
  sensitive = true
}
locals { file = "${var.dir}/a" }
data "file" "a" { path = local.file }
step "runbook" "look" {
  source    = "look.hcl"
  variables = { dir = var.dir }
}
step "runbook" "never" {
  source    = "look.hcl"
  variables = { dir = var.dir }
  when      = false
}
step "move" "away" {
  from = local.file
  to   = "${var.dir}/away"
}
step "command" "say" { argv = ["/bin/echo", "x"] }
`

const look = `
runbook "look" {
  summary { lines = ["nobody reads this"] }
}
variable "dir" { type = string }
data "file" "b" { path = "${var.dir}/b" }
output "size" { value = data.file.b.size }
`

// summaryOf is the summary of a plan, shown, of a runbook with these lines.
func summaryOf(t *testing.T, lines string) []string {
	t.Helper()
	b := newBench(t, summarized)
	b.text = strings.Replace(b.text, "runbook \"test\" {}", "runbook \"test\" {\n  summary { lines = "+lines+" }\n}", 1)
	b.more = []lang.Source{{Name: "look.hcl", Text: look}}
	b.vars["token"] = "s3cret"
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	shown, err := p.Shown()
	if err != nil {
		t.Fatal(err)
	}
	return shown.Summary
}

func TestSummaryIsWhatIsKnownWhenThePlanIsMade(t *testing.T) {
	for lines, want := range map[string]string{
		`["a has ${data.file.a.size} byte", "b has ${step.look.size} byte"]`: "a has 1 byte|b has 1 byte",
		`["one", null, ["two", null], step.say.stdout, "three"]`:             "one|two|three",
		`[for name in ["x", "y"] : "file ${name}"]`:                          "file x|file y",
		`[path("${var.dir}/away").exists ? "away" : "still here"]`:           "still here",
		`["by ${var.token}", ["or ${var.token}"]]`:                           "(sensitive)|(sensitive)",
		`["${step.never == null ? "not looked" : "looked"}"]`:                "not looked",
	} {
		if got := strings.Join(summaryOf(t, lines), "|"); got != want {
			t.Errorf("%s: %q, want %q", lines, got, want)
		}
	}
}

// A line that can't be told is no reason to leave a host as it is.
func TestSummaryThatCannotBeToldSaysWhy(t *testing.T) {
	got := strings.Join(summaryOf(t, `["first", "size ${step.never.size}", "last"]`), "|")
	if !strings.HasPrefix(got, "first|(The line of the summary at test.hcl:2 can't be told: ") || !strings.HasSuffix(got, ")|last") || !strings.Contains(got, "null") {
		t.Error(got)
	}
}
