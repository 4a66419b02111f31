package run_test

import (
	"strings"
	"testing"

	"runbook/engine/lang"
)

// Two cures, of which the second is there for the first one's failure.
const twoCures = `
step "move" "gently" {
  from       = "${var.dir}/a"
  to         = "${var.dir}/gentle"
  on_failure = "continue"
}
step "move" "then" {
  when = step.gently != null
  from = "${var.dir}/b"
  to   = "${var.dir}/then"
}
step "runbook" "roughly" {
  source    = "rough.hcl"
  when      = step.gently == null
  variables = { dir = var.dir }
}
step "move" "after_either" {
  when = step.then != null || step.roughly != null
  from = "${var.dir}/c"
  to   = "${var.dir}/d"
}
step "move" "by_result" {
  when = step.then != null && step.roughly.word == "rough"
  from = "${var.dir}/d"
  to   = "${var.dir}/e"
}
step "command" "say" { argv = ["/bin/echo", "x"] }
step "move" "if_said" {
  when = step.say.stdout == "x"
  from = "${var.dir}/e"
  to   = "${var.dir}/f"
}
`

const rough = `
runbook "rough" {}
variable "dir" { type = string }
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/rough"
}
step "move" "two" {
  when = step.one != null
  from = "${var.dir}/rough"
  to   = "${var.dir}/rougher"
}
output "word" { value = "rough" }
`

func TestPlanTellsWhatIsThereForAFailure(t *testing.T) {
	b := newBench(t, twoCures)
	b.more = []lang.Source{{Name: "rough.hcl", Text: rough}}
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var got []string
	for _, s := range p.Steps {
		got = append(got, s.Name+": "+s.IfWell)
	}
	want := `gently: 
then: carried out
roughly: passed over
roughly/one: passed over
roughly/two: passed over
after_either: carried out
by_result: 
say: 
if_said: `
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
