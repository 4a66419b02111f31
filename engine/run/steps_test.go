package run_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

func TestForEachRunsOncePerKey(t *testing.T) {
	b := newBench(t, `
locals {
  names = { b = "y", a = "x" }
}
step "move" "each" {
  for_each = local.names
  from     = "${var.dir}/${each.key}"
  to       = "${var.dir}/${each.value}"
}
step "move" "again" {
  for_each = toset(["c"])
  from     = step.each["a"].path
  to       = "${var.dir}/${each.value}${each.key}"
}
`)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != `each["a"] each["b"] again["c"]` {
		t.Error(got)
	}
	do(t, b.begin().Run)
	b.want("c cc y")
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// What is filtered may leave nothing, which is no mistake.
func TestForEachOfNothing(t *testing.T) {
	for _, none := range []string{`toset([])`, `toset([for x in ["a"] : x if x == "b"])`, `{}`, `{ for x in ["a"] : x => x if x == "b" }`} {
		b := newBench(t, `
step "move" "none" {
  for_each = `+none+`
  from     = "${var.dir}/${each.key}"
  to       = "${var.dir}/x"
}
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/y"
}
`)
		do(t, b.begin().Run)
		b.want("b c y")
	}
}

func TestWhenPassesStepsOver(t *testing.T) {
	b := newBench(t, `
step "move" "no" {
  when = path("${var.dir}/nothing").exists
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "yes" {
  when = step.no == null
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
}
step "move" "later" {
  when = step.yes.path != "nowhere"
  from = "${var.dir}/c"
  to   = "${var.dir}/z"
}
`)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || p.Steps[0].Skip == "" || p.Steps[1].Skip != "" {
		t.Fatalf("%+v %v", p, diags)
	}
	r := b.begin()
	do(t, r.Run)
	b.want("a y z")
	if st := r.State().Steps["no"]; !st.Done || st.Skipped == "" {
		t.Errorf("%+v", st)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// A step that was planned to be passed over isn't carried out unannounced.
func TestWhenThatTurnsTrueIsDrift(t *testing.T) {
	b := newBench(t, `
step "move" "no" {
  when = path("${var.dir}/go").exists
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
`)
	r := b.begin()
	b.write("go", "")
	err := r.Run(context.Background(), context.Background())
	if err == nil || !strings.Contains(err.Error(), "planned to be passed over") {
		t.Fatal(err)
	}
	b.want("a b c go")
}

const failing = `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "two" {
  on_failure = "%s"
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
  postcondition {
    condition     = false
    error_message = "never"
  }
}
step "move" "three" {
  from = "${var.dir}/c"
  to   = "${var.dir}/z"
}
output "path" { value = step.three.path }
`

func TestOnFailureRollback(t *testing.T) {
	b := newBench(t, strings.Replace(failing, "%s", "rollback", 1))
	var back *run.RolledBackError
	r := b.begin()
	if err := r.Run(context.Background(), context.Background()); !errors.As(err, &back) || !strings.Contains(err.Error(), "never") {
		t.Fatal(err)
	}
	b.want("a b c")
	if r.State().Phase != run.RolledBack {
		t.Error(r.State().Phase)
	}
}

func TestOnFailureContinue(t *testing.T) {
	b := newBench(t, strings.Replace(failing, "%s", "continue", 1))
	r := b.begin()
	do(t, r.Run)
	b.want("x y z")
	if !r.State().Steps["two"].Failed || r.State().Failure != nil {
		t.Errorf("%+v", r.State())
	}
	if out := r.State().Outputs; len(out) != 1 || out[0].Text() != b.dir+"/z" {
		t.Errorf("%+v", out)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// Whether a step that may fail has failed isn't known before it has run, so a
// step that is to help out then is neither planned nor passed over.
func TestOnFailureContinueIsKnownAfterwards(t *testing.T) {
	text := strings.Replace(failing, "%s", "continue", 1)
	b := newBench(t, strings.Replace(text, `step "move" "three" {`, `step "move" "three" {
  when = step.two == null`, 1))
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || p.Steps[2].Skip != "" || p.Steps[2].WhenAfter != "two" {
		t.Fatalf("%+v %v", p, diags)
	}
	do(t, b.begin().Run)
	b.want("x y z")
}

const approved = `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "two" {
  approve { message = "Move ${step.one.path} on?" }
  from = step.one.path
  to   = "${var.dir}/y"
}
`

// Without anybody to ask, a run stops durably before a step that wants an
// approval, and goes on once there is one.
func TestApprovalFromElsewhere(t *testing.T) {
	b := newBench(t, approved)
	r := b.begin()
	if err := r.Run(context.Background(), context.Background()); !errors.Is(err, run.ErrWaiting) {
		t.Fatal(err)
	}
	b.want("b c x")
	if w := r.State().Waiting; w == nil || w.Step != "two" || w.Message != "Move "+b.dir+"/x on?" {
		t.Fatalf("%+v", w)
	}
	b.close()
	if err := b.store.Approve("r1", "one", "eve", ""); err == nil {
		t.Error("approved a step that doesn't wait")
	}
	if err := b.store.Approve("r1", "two", "ann", "looks right"); err != nil {
		t.Fatal(err)
	}
	r = b.resume(nil)
	do(t, r.Run)
	b.want("b c y")
	if a := r.State().Steps["two"].Approval; a == nil || a.By != "ann" || a.Reason != "looks right" || a.At.IsZero() {
		t.Errorf("%+v", a)
	}
}

func TestApprovalThatIsAskedFor(t *testing.T) {
	b := newBench(t, approved)
	r := b.begin()
	asked := ""
	r.Ask = func(question string) (bool, string) { asked = question; return false, "" }
	if err := r.Run(context.Background(), context.Background()); !errors.Is(err, run.ErrWaiting) || !strings.HasPrefix(asked, "Move ") {
		t.Fatal(err, asked)
	}
	r = b.resume(nil)
	r.Ask = func(string) (bool, string) { return true, "ann" }
	do(t, r.Run)
	b.want("b c y")
}

func TestSkipAndFrom(t *testing.T) {
	b := newBench(t, strings.Replace(failing, "%s", "stop", 1))
	if err := b.begin().Run(context.Background(), context.Background()); err == nil {
		t.Fatal("did not fail")
	}
	r := b.resume(nil)
	for _, wrong := range []string{"one", "none"} {
		if r.Skip(wrong, "ann", "x") == nil || r.From(wrong, "ann", "x") == nil {
			t.Errorf("took %q", wrong)
		}
	}
	if err := r.From("three", "ann", "moved b by hand"); err != nil {
		t.Fatal(err)
	}
	do(t, r.Run)
	b.want("x y z")
	if st := r.State().Steps["two"]; st.SkippedBy != "ann" || st.Skipped != "moved b by hand" {
		t.Errorf("%+v", st)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// A target that was changed in between stops the run, even where the change
// itself would be the same.
func TestChangedTargetIsDrift(t *testing.T) {
	b := newBench(t, threeMoves)
	r := b.begin()
	b.write("b", "something else")
	err := r.Run(context.Background(), context.Background())
	if err == nil || !strings.Contains(err.Error(), "1 bytes") || !strings.Contains(err.Error(), "14 bytes") {
		t.Fatal(err)
	}
	b.want("b c y")
}

// A plan that was written to a file is carried out as it is, and not twice.
func TestPlanFile(t *testing.T) {
	const secret = "s3cr3t-name"
	b := newBench(t, secretMove)
	b.vars["secret"] = secret
	b.write("go", "")
	p, scope, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	file, err := run.EncodePlan(b.host(), scope, p, "test")
	if err != nil || strings.Contains(string(file), secret) || !run.IsPlanFile(string(file)) {
		t.Fatalf("%v\n%s", err, file)
	}
	for name, bad := range map[string]string{
		"no secret": string(file), "changed": strings.Replace(string(file), b.dir+"/a", b.dir+"/c", 1), "cut": string(file[:len(file)/2]),
	} {
		if _, _, err := run.DecodePlan([]byte(bad), b.host(), b.reg, nil); err == nil {
			t.Errorf("%s: took it", name)
		}
	}
	set := settings(map[string]string{"secret": secret})
	scope, p, err = run.DecodePlan(file, b.host(), b.reg, set)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.store.Begin(b.host(), scope, p, time.Now(), "test", b.emit)
	if err != nil {
		t.Fatal(err)
	}
	b.open = r
	do(t, r.Run)
	b.want("c go " + secret + " x")
	if strings.Contains(b.journal(), secret) {
		t.Error("the journal holds the secret")
	}
	if _, err := b.store.Begin(b.host(), scope, p, time.Now(), "test", b.emit); err == nil {
		t.Error("carried out twice")
	}
}

const outer = `
step "runbook" "swap" {
  for_each  = { ab = ["a", "b"], xc = ["a2", "c"] }
  source    = "sub.hcl"
  when      = var.dir != ""
  variables = { dir = var.dir, from = each.value[0], to = "${each.value[1]}2" }
}
step "move" "last" {
  from = step.swap["xc"].path
  to   = "${var.dir}/${step.swap["ab"].name}-last"
}
`

const sub = `
runbook "sub" {
  goal {
    condition = path("${var.dir}/never").exists
    message   = "never"
  }
}
variable "dir" { type = string }
variable "from" { type = string }
variable "to" { type = string }
locals { target = "${var.dir}/${var.to}" }
step "move" "one" {
  from = "${var.dir}/${var.from}"
  to   = "${var.dir}/tmp"
}
step "move" "two" {
  from = step.one.path
  to   = local.target
}
output "path" { value = step.two.path }
output "name" { value = upper(var.to) }
`

func withSub(t *testing.T) *bench {
	b := newBench(t, outer)
	b.more = []lang.Source{{Name: "sub.hcl", Text: sub}}
	b.write("a2", "a2")
	return b
}

// A runbook can be a step of another: planned, recorded and rolled back in the
// same run.
func TestRunbookAsAStep(t *testing.T) {
	b := withSub(t)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var names []string
	for _, s := range p.Steps {
		names = append(names, s.Name)
	}
	want := `swap["ab"] swap["ab"]/one swap["ab"]/two swap["xc"] swap["xc"]/one swap["xc"]/two last`
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s", got)
	}
	r := b.begin()
	do(t, r.Run)
	b.want("B2-last b b2 c")
	for _, s := range p.Steps {
		if got := r.State().Steps[s.Name].Change(); !got.SameAs(s.Change) {
			t.Errorf("%s: planned\n%s\ndone\n%s", s.Name, run.Describe(s.Change), run.Describe(got))
		}
	}
	do(t, b.resume(nil).Rollback)
	b.want("a a2 b c")
}

// Stopped anywhere inside, it goes on where it was.
func TestRunbookAsAStepIsResumed(t *testing.T) {
	for _, at := range []string{`swap["ab"]`, `swap["ab"]/two`, `swap["xc"]/one`, "last"} {
		b := withSub(t)
		stop, cancel := context.WithCancel(context.Background())
		b.onEvent = func(e engine.Event) {
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
		b.want("B2-last b b2 c")
		do(t, b.resume(nil).Rollback)
		b.want("a a2 b c")
		b.close()
	}
}

func TestRunbookAsAStepIsPassedOver(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"when": func(s string) string { return s },
		"goal": func(s string) string { return strings.Replace(s, "never\").exists", "a\").exists", 1) },
	} {
		b := withSub(t)
		b.text = strings.Replace(b.text, "step.swap[\"xc\"].path", "\"${var.dir}/a2\"", 1)
		b.text = strings.Replace(b.text, "${step.swap[\"ab\"].name}", "${step.swap[\"ab\"] == null}", 1)
		if name == "when" {
			b.text = strings.Replace(b.text, `var.dir != ""`, `var.dir == ""`, 1)
		}
		b.more[0].Text = change(b.more[0].Text)
		do(t, b.begin().Run)
		b.want("a b c true-last")
		b.close()
	}
}

// A wait for an expression looks afresh each time, says what it saw last, and
// ends once it holds, or with its timeout.
func TestWaitingForAnExpression(t *testing.T) {
	b := newBench(t, `
step "wait_for" "grown" {
  retry {
    attempts = 1000
    delay    = "1ms"
  }
  postcondition {
    condition     = path("${var.dir}/a").size >= 3
    error_message = "It has ${path("${var.dir}/a").size} bytes."
  }
}
`)
	var seen []string
	b.onEvent = func(e engine.Event) {
		if e, ok := e.(engine.StepRetried); ok {
			seen = append(seen, e.Err.Error())
			b.write("a", strings.Repeat("x", len(seen)+1))
		}
	}
	p, _, diags := b.plan("r0")
	if diags.HasErrors() || len(p.Steps[0].Change.Checks) != 1 || p.Steps[0].Change.Checks[0] != "its postconditions hold" {
		t.Fatalf("%+v %v", p, diags)
	}
	do(t, b.begin().Run)
	if len(seen) != 2 || !strings.Contains(seen[0], "It has 1 bytes.") || !strings.Contains(seen[1], "It has 2 bytes.") {
		t.Errorf("saw %q", seen)
	}
}

// What is shown as done is in the journal by then.
func TestWhatIsShownIsRecorded(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "two" {
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
}
`)
	shown := 0
	b.onEvent = func(e engine.Event) {
		last := ""
		switch e := e.(type) {
		case engine.StepDone:
			last = "done:" + e.Step.Name
		case engine.RunFinished:
			last = "finished"
		case engine.UndoDone:
			last = "undone:" + e.Step.Name
		case engine.RolledBack:
			last = "rolled_back"
		default:
			return
		}
		if shown++; !strings.HasSuffix(b.kinds(), last) {
			t.Errorf("%s is shown, and the journal says %s", last, b.kinds())
		}
	}
	r := b.begin()
	do(t, r.Run)
	do(t, r.Rollback)
	if shown != 6 {
		t.Errorf("%d events", shown)
	}
}
