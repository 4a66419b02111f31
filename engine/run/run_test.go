package run_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/engine/journal"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// bench is a directory with a few files, a state directory, and a runbook that
// works on them with the real file actions.
type bench struct {
	t      *testing.T
	dir    string
	text   string
	vars   map[string]string
	store  run.Store
	reg    *engine.Registry
	events []engine.Event
	// onEvent is called with each event, to do something in the middle.
	onEvent func(engine.Event)
	open    *run.Runner
	more    []lang.Source // files beside the runbook
	// wrap, where set, is what the host is seen through.
	wrap func(engine.Host) engine.Host
}

func newBench(t *testing.T, text string) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), reg: actions.Registry(hclog.NewNullLogger()), vars: map[string]string{}}
	b.text = "runbook \"test\" {}\nvariable \"dir\" { type = string }\n" + text
	b.vars["dir"] = b.dir
	b.store = run.Store{Dir: filepath.Join(t.TempDir(), "state")}
	if err := b.store.Prepare(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		b.write(name, name)
	}
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// files lists the names in the bench's directory.
func (b *bench) files() string {
	b.t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (b *bench) want(files string) {
	b.t.Helper()
	if got := b.files(); got != files {
		b.t.Fatalf("files: %s; want: %s", got, files)
	}
}

func (b *bench) emit(e engine.Event) {
	b.events = append(b.events, e)
	if b.onEvent != nil {
		b.onEvent(e)
	}
}

// settings are texts as given on the command line.
func settings(texts map[string]string) lang.Settings {
	set := lang.Settings{}
	for name, text := range texts {
		set[name] = lang.Setting{Text: text}
	}
	return set
}

func (b *bench) host() engine.Host {
	local := host.NewLocal(b.reg)
	if b.wrap != nil {
		return b.wrap(local)
	}
	return local
}

func (b *bench) plan(id string) (*run.Plan, *lang.Scope, hcl.Diagnostics) {
	b.t.Helper()
	files := append([]lang.Source{{Name: "test.hcl", Text: b.text}}, b.more...)
	rb, diags := lang.Load(lang.NewSources(files...), b.reg)
	if diags.HasErrors() {
		b.t.Fatal(diags)
	}
	vars, diags := rb.VariableValues(settings(b.vars))
	if diags.HasErrors() {
		b.t.Fatal(diags)
	}
	scope := lang.NewScope(rb, vars, engine.RunInfo{ID: id, Runbook: rb.Name, Started: time.Now()})
	p, diags := run.MakePlan(context.Background(), b.host(), scope)
	return p, scope, diags
}

func (b *bench) begin() *run.Runner {
	b.t.Helper()
	p, scope, diags := b.plan("r1")
	if diags.HasErrors() {
		b.t.Fatal(diags)
	}
	r, err := b.store.Begin(b.host(), scope, p, time.Now(), "test", b.emit)
	if err != nil {
		b.t.Fatal(err)
	}
	b.open = r
	return r
}

// close lets go of the run, as the end of the process would.
func (b *bench) close() {
	b.t.Helper()
	if b.open == nil {
		return
	}
	if err := b.open.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open = nil
}

func (b *bench) resume(set map[string]string) *run.Runner {
	b.t.Helper()
	b.close()
	r, err := b.store.Resume("r1", b.host(), b.reg, settings(set), "test", b.emit)
	if err != nil {
		b.t.Fatal(err)
	}
	b.open = r
	return r
}

func (b *bench) journal() string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.store.Dir, "runs", "r1", journal.FileName))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// kinds are the kinds of the journal's records, and the steps they are about.
func (b *bench) kinds() string {
	b.t.Helper()
	records, err := journal.All(filepath.Join(b.store.Dir, "runs", "r1"))
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, r := range records {
		var about struct{ Step string }
		if err := r.Decode(&about); err != nil {
			b.t.Fatal(err)
		}
		out = append(out, strings.TrimSuffix(r.Kind+":"+about.Step, ":"))
	}
	return strings.Join(out, " ")
}

func do(t *testing.T, work func(ctx, stop context.Context) error) {
	t.Helper()
	if err := work(context.Background(), context.Background()); err != nil {
		t.Fatal(err)
	}
}

const threeMoves = `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
}
step "move" "two" {
  from = step.one.path
  to   = "${var.dir}/y"
}
step "move" "three" {
  from = "${var.dir}/b"
  to   = "${var.dir}/a"
  precondition {
    condition     = path("${var.dir}/y").exists && !path("${var.dir}/x").exists
    error_message = "y isn't there yet."
  }
}
`

func TestPlanSeesWhatEarlierStepsWillHaveDoneAndChangesNothing(t *testing.T) {
	b := newBench(t, threeMoves)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	b.want("a b c")
	if len(p.Steps) != 3 || len(p.Failing()) != 0 || p.NothingToDo() {
		t.Fatalf("%+v", p)
	}
	r := b.begin()
	do(t, r.Run)
	b.want("a c y")
	for _, s := range p.Steps {
		if got := r.State().Steps[s.Name].Change(); !got.SameAs(s.Change) {
			t.Errorf("step %s: planned\n%s\ndone\n%s", s.Name, run.Describe(s.Change), run.Describe(got))
		}
	}
	if got, want := b.kinds(), "run intent:one done:one intent:two done:two intent:three done:three finished"; got != want {
		t.Errorf("journal: %s\nwant: %s", got, want)
	}
}

func TestRollbackUndoesInReverse(t *testing.T) {
	b := newBench(t, threeMoves)
	do(t, b.begin().Run)
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
	if got, want := b.kinds(), "rollback undone:three undone:two undone:one rolled_back"; !strings.HasSuffix(got, want) {
		t.Errorf("journal: %s", got)
	}
}

func TestStopBetweenStepsAndResume(t *testing.T) {
	b := newBench(t, threeMoves)
	stop, cancel := context.WithCancel(context.Background())
	b.onEvent = func(e engine.Event) {
		if e, ok := e.(engine.StepStarted); ok && e.Step.Name == "two" {
			cancel() // the step in hand is finished first
		}
	}
	r := b.begin()
	if err := r.Run(context.Background(), stop); !errors.Is(err, run.ErrInterrupted) {
		t.Fatal(err)
	}
	b.want("b c y")
	b.close()
	do(t, b.resume(nil).Run)
	b.want("a c y")
	if n := strings.Count(b.kinds(), "intent"); n != 3 {
		t.Errorf("%d intents: %s", n, b.kinds())
	}
}

func TestStopDuringARollbackAndGoOn(t *testing.T) {
	b := newBench(t, threeMoves)
	do(t, b.begin().Run)
	stop, cancel := context.WithCancel(context.Background())
	b.onEvent = func(e engine.Event) {
		if _, ok := e.(engine.UndoDone); ok {
			cancel()
		}
	}
	r := b.resume(nil)
	if err := r.Rollback(context.Background(), stop); !errors.Is(err, run.ErrInterrupted) {
		t.Fatal(err)
	}
	b.close()
	b.want("b c y")
	b.onEvent = nil
	r = b.resume(nil)
	if r.State().Phase != run.RollingBack {
		t.Fatal(r.State().Phase)
	}
	do(t, r.Rollback)
	b.want("a b c")
}

// Where the host has drifted since the plan, the run stops before the step and
// shows both.
func TestDriftStopsTheRun(t *testing.T) {
	b := newBench(t, threeMoves)
	r := b.begin()
	if err := os.Remove(filepath.Join(b.dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	var failure *run.Failure
	if err := r.Run(context.Background(), context.Background()); !errors.As(err, &failure) {
		t.Fatal(err)
	}
	for _, part := range []string{"has changed since", "file", "directory", "runbook rollback r1"} {
		if !strings.Contains(failure.Error(), part) {
			t.Errorf("%q not in: %s", part, failure)
		}
	}
	b.want("b c y")
}

func TestFailedPreconditionStopsBeforeTheStep(t *testing.T) {
	b := newBench(t, threeMoves)
	r := b.begin()
	b.onEvent = func(e engine.Event) {
		if e, ok := e.(engine.StepStarted); ok && e.Step.Name == "three" {
			b.write("x", "again")
		}
	}
	var failure *run.Failure
	if err := r.Run(context.Background(), context.Background()); !errors.As(err, &failure) || !strings.Contains(err.Error(), "y isn't there yet") {
		t.Fatal(err)
	}
	b.close()
	b.want("b c x y")
	if strings.Contains(b.kinds(), "intent:three") {
		t.Error("an intent was recorded")
	}
	if err := os.Remove(filepath.Join(b.dir, "x")); err != nil {
		t.Fatal(err)
	}
	b.onEvent = nil
	do(t, b.resume(nil).Run)
	b.want("a c y")
}

// A full disk fails a step and the journal alike; both are told.
func TestFailureThatCannotBeRecorded(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  precondition {
    condition     = path("${var.dir}/b").exists
    error_message = "b is gone"
  }
}
`)
	r := b.begin()
	if err := os.Remove(filepath.Join(b.dir, "b")); err != nil {
		t.Fatal(err)
	}
	b.close()
	err := r.Run(context.Background(), context.Background())
	if err == nil || !strings.Contains(err.Error(), "b is gone") || !strings.Contains(err.Error(), "can't be written") || engine.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestPlanReportsFailingPreconditions(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  precondition {
    condition     = path("${var.dir}/nothing").exists
    error_message = "There is nothing."
  }
}
`)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || len(p.Failing()["one"]) != 1 || p.Failing()["one"][0].Message != "There is nothing." {
		t.Fatalf("%+v %v", p, diags)
	}
}

func TestPostconditionsAreTriedAgain(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  retry {
    attempts = 3
    delay    = "1ms"
  }
  postcondition {
    condition     = self.path == "${var.dir}/x" && path("${var.dir}/ready").exists
    error_message = "not ready"
  }
}
`)
	b.onEvent = func(e engine.Event) {
		if e, ok := e.(engine.StepRetried); ok && e.Attempt == 2 {
			b.write("ready", "")
		}
	}
	do(t, b.begin().Run)
	b.want("b c ready x")
	if strings.Count(b.kinds(), "intent") != 1 {
		t.Error(b.kinds())
	}
}

func TestTimeoutEndsTheRetries(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from    = "${var.dir}/a"
  to      = "${var.dir}/x"
  timeout = "30ms"
  retry {
    attempts = 1000
    delay    = "1ms"
  }
  postcondition {
    condition     = false
    error_message = "never"
  }
}
`)
	err := b.begin().Run(context.Background(), context.Background())
	if err == nil || !strings.Contains(err.Error(), "timeout of 30ms") || !strings.Contains(err.Error(), "never") {
		t.Fatal(err)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

func TestRollbackBlocks(t *testing.T) {
	b := newBench(t, `
step "move" "kept" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  rollback "none" { reason = "x is better than a." }
}
step "move" "other" {
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
  rollback "move" {
    from = self.path
    to   = "${var.dir}/z"
  }
}
`)
	p, _, _ := b.plan("r1")
	if p.Steps[0].CantUndo != "x is better than a." || p.Steps[1].Undo != "move" {
		t.Errorf("%+v", p.Steps)
	}
	do(t, b.begin().Run)
	do(t, b.resume(nil).Rollback)
	b.want("c x z")
	if !strings.Contains(b.kinds(), "undo:other undone:other undone:kept") {
		t.Error(b.kinds())
	}
}

func TestGoalThatHoldsIsAnEmptyPlan(t *testing.T) {
	b := newBench(t, threeMoves)
	b.text = strings.Replace(b.text, "{}", `{
  goal {
    condition = path("${var.dir}/c").exists
    message   = "c is there."
  }
}`, 1)
	p, _, diags := b.plan("r1")
	if diags.HasErrors() || !p.GoalHolds() || !p.NothingToDo() || len(p.Steps) != 0 || p.Goal.Message != "c is there." {
		t.Fatalf("%+v %v", p, diags)
	}
}

const secretMove = `
variable "secret" {
  type      = string
  sensitive = true
}
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/${var.secret}"
}
step "move" "two" {
  from = "${var.dir}/b"
  to   = "${var.dir}/x"
  precondition {
    condition     = path("${var.dir}/go").exists
    error_message = "Not yet, ${var.secret}."
  }
}
`

// Sensitive values reach neither the journal nor an error; a resume asks for
// them, takes the same one only, and goes on with what was recorded.
func TestSensitiveValuesStayOutOfTheJournal(t *testing.T) {
	const secret = "s3cr3t-name"
	b := newBench(t, secretMove)
	b.vars["secret"] = secret
	b.write("go", "")
	r := b.begin()
	if err := os.Remove(filepath.Join(b.dir, "go")); err != nil {
		t.Fatal(err)
	}
	err := r.Run(context.Background(), context.Background())
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Fatal(err)
	}
	b.close()
	if strings.Contains(b.journal(), secret) {
		t.Errorf("the journal holds the secret:\n%s", b.journal())
	}
	for _, set := range []map[string]string{nil, {"secret": "wrong"}, {"secret": secret, "dir": "/"}} {
		if _, err := b.store.Resume("r1", b.host(), b.reg, settings(set), "test", b.emit); err == nil || strings.Contains(err.Error(), secret) {
			t.Fatalf("resumed with %v: %v", set, err)
		}
	}
	b.write("go", "")
	r = b.resume(map[string]string{"secret": secret})
	do(t, r.Run)
	b.close()
	b.want("c go " + secret + " x")
	do(t, b.resume(map[string]string{"secret": secret}).Rollback)
	b.want("a b c go")
	if strings.Contains(b.journal(), secret) {
		t.Error("the journal holds the secret")
	}
}

// A step that began and isn't finished has no result yet; its rollback block
// then works with what was known of it before.
func TestRollbackBlockOfAStepInDoubt(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  postcondition {
    condition     = path("${var.dir}/go").exists
    error_message = "Not yet."
  }
  rollback "move" {
    from = self.path
    to   = "${var.dir}/z"
  }
}
`)
	if err := b.begin().Run(context.Background(), context.Background()); err == nil {
		t.Fatal("it is done")
	}
	do(t, b.resume(nil).Rollback)
	b.want("b c z")
}

// A rollback block isn't carried out for a step that was killed before it had
// done anything.
func TestRollbackBlockOfAStepThatDidNothing(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/x"
  rollback "move" {
    from = self.path
    to   = "${var.dir}/z"
  }
}
`)
	do(t, b.begin().Run)
	b.close()
	path := filepath.Join(b.store.Dir, "runs", "r1", journal.FileName)
	upToIntent := strings.Join(strings.SplitAfter(b.journal(), "\n")[:2], "")
	if err := os.WriteFile(path, []byte(upToIntent), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(b.dir, "x"), filepath.Join(b.dir, "a")); err != nil {
		t.Fatal(err)
	}
	do(t, b.resume(nil).Rollback)
	b.want("a b c")
}

// derivedMove makes another text of a secret, hands it on in a result, and
// stops at the gate until "go" exists.
const derivedMove = `
variable "secret" {
  type      = string
  sensitive = true
}
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/${upper(var.secret)}"
}
step "move" "gate" {
  from = "${var.dir}/b"
  to   = "${var.dir}/y"
  postcondition {
    condition     = path("${var.dir}/go").exists
    error_message = "Not yet."
  }
}
step "move" "two" {
  from = step.one.path
  to   = "${var.dir}/z"
  rollback "move" {
    from = self.path
    to   = step.one.path
  }
}
`

// What is made of a sensitive value is as sensitive: it stays out of the plan,
// the events and the journal, and is put back on resume and on rollback. So is
// a value that is as common a text as the record's own words.
func TestDerivedAndCommonSecrets(t *testing.T) {
	for _, secret := range []string{"s3cr3t", "two", "step", "move", "e", "2", "2026", "sensitive", "to\"p"} {
		t.Run(secret, func(t *testing.T) {
			b := newBench(t, derivedMove)
			b.vars["secret"] = secret
			r := b.begin()
			if err := r.Run(context.Background(), context.Background()); err == nil {
				t.Fatal("the gate was open")
			}
			b.write("go", "")
			set := map[string]string{"secret": secret}
			do(t, b.resume(set).Run)
			b.want("c go y z")
			do(t, b.resume(set).Rollback)
			b.want("a b c go")
			if secret != "s3cr3t" {
				return // too common to tell where it comes from
			}
			p, _, _ := b.plan("r1")
			shown, err := p.Shown()
			if err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprintf("%+v %+v %s", shown.Steps, b.events, b.journal())
			if strings.Contains(strings.ToLower(all), secret) {
				t.Errorf("the secret is shown: %s", all)
			}
		})
	}
}

// The difference of two texts takes a secret of several lines into pieces, and
// what a function makes of one is no text that anyone knows.
func TestNoDifferenceOfSensitiveTexts(t *testing.T) {
	b := newBench(t, `
variable "secret" {
  type      = string
  sensitive = true
}
step "write_file" "one" {
  path    = "${var.dir}/new-a"
  content = "key:\n${var.secret}\n${base64encode("${var.secret}!")}\n"
}
step "write_file" "two" {
  path    = "${var.dir}/new-b"
  content = "public\n"
}
`)
	b.vars["secret"] = "line-one\nline-two"
	do(t, b.begin().Run)
	p, _, _ := b.plan("r1")
	shown, err := p.Shown()
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%+v %+v %s", shown.Steps, b.events, b.journal())
	for _, secret := range []string{"line-one", "line-two", base64.StdEncoding.EncodeToString([]byte("line-one\nline-two!"))} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is shown: %s", secret, all)
		}
	}
	if !strings.Contains(all, "+public") {
		t.Errorf("what is no secret isn't shown: %s", all)
	}
}

func TestSecondWriterIsKeptOut(t *testing.T) {
	b := newBench(t, threeMoves)
	b.begin()
	if _, err := b.store.Resume("r1", b.host(), b.reg, nil, "test", b.emit); err == nil {
		t.Fatal("two processes work on one run")
	}
}

func TestUnfinishedRunsAndAbandoning(t *testing.T) {
	b := newBench(t, threeMoves)
	if id, err := b.store.Unfinished(); id != "" || err != nil {
		t.Fatal(id, err)
	}
	b.begin()
	b.close()
	if id, err := b.store.Unfinished(); id != "r1" || err != nil {
		t.Fatal(id, err)
	}
	if err := b.store.Abandon("r1", "by hand"); err != nil {
		t.Fatal(err)
	}
	if id, err := b.store.Unfinished(); id != "" || err != nil {
		t.Fatal(id, err)
	}
	if err := b.store.Abandon("r1", "again"); err == nil {
		t.Fatal("abandoned twice")
	}
}

// Steps that reach the same place by different names see each other's effects.
func TestPlanFollowsLinkedParents(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/real/d"
  to   = "${var.dir}/real/e"
}
step "remove" "two" { path = "${var.dir}/link/d" }
step "chown" "three" {
  path  = "${var.dir}/link/e"
  owner = "nobody"
}
`)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(b.dir, "real", "d"), 0o700),
		os.Symlink("real", filepath.Join(b.dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p, _, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if !p.Steps[1].Change.Empty() || p.Steps[2].Change.Empty() {
		t.Errorf("planned: two\n%s\nthree\n%s", run.Describe(p.Steps[1].Change), run.Describe(p.Steps[2].Change))
	}
	r := b.begin()
	do(t, r.Run)
	for _, s := range p.Steps {
		if got := r.State().Steps[s.Name]; s.Change.Empty() != got.Unchanged {
			t.Errorf("step %s: planned empty %v, done %+v", s.Name, s.Change.Empty(), got)
		}
	}
}
