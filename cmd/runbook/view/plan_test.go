package view

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

var update = flag.Bool("update", false, "write what the views show to testdata")

// golden compares what a view shows with a file, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what is shown:\n%s", name, got)
	}
}

// everyKindOfStep is a plan with a step of each kind that there is.
func everyKindOfStep() *run.Plan {
	item := engine.Item{Target: "/etc/x", Before: "file", After: "at /etc/y"}
	holds := lang.CheckResult{Condition: `path("/etc/x").exists`, OK: true}
	fails := lang.CheckResult{Condition: `path("/etc/z").exists`, Message: "there is no z"}
	later := lang.CheckResult{Condition: "step.plain.path != null", Unknown: true, Because: "plain"}
	unknown := lang.CheckResult{Condition: "timestamp() != null", Unknown: true}
	return &run.Plan{
		Runbook: "rb", Host: "h",
		Data: []run.DataResult{{Type: "etcd_snapshot", Name: "latest", Result: engine.Result{"path": "/b/1.db", "size": 4096, "empty": ""}}},
		Steps: []run.StepPlan{
			{Name: "plain", Action: "move", Description: "Move x.", Change: engine.Change{Items: []engine.Item{item}}},
			{Name: "attribute", Action: "chown", Change: engine.Change{Items: []engine.Item{{Target: "/d", Attribute: "owner", Before: "root", After: "etcd", Note: "4.0 MiB"}}}},
			{Name: "diff", Action: "write", Change: engine.Change{
				Items: []engine.Item{{Target: "/etc/c", Before: "sha256 1", After: "sha256 2", Diff: "--- a\n+++ b\n@@ -1,2 +1,2 @@\n same\n-old\x1b[2J\n+new\n"}},
				Kept:  []string{"/etc/c.kept"},
			}},
			{Name: "final", Action: "restart", CantUndo: "a restart stays one.", Change: engine.Change{Items: []engine.Item{{Target: "unit x", Attribute: "state", Before: "active", After: "restarted"}}, Checks: []string{"x is active"}}},
			{Name: "unpredictable", Action: "command", Undo: "move", Change: engine.Change{Items: []engine.Item{{Target: "command true", Before: "not run", After: "run"}}, Unpredictable: "it has no probe."}},
			{Name: "checks", Action: "etcd_health", Preconditions: []lang.CheckResult{holds, later, unknown}, Change: engine.Change{Checks: []string{"http://h:1 is healthy"}}},
			{Name: "same", Action: "chown"},
			{Name: "later", Action: "chown", KnownAfter: "plain"},
			{Name: "skipped", Action: "chown", Skip: "when is false: var.x"},
			{Name: "circumstances", Action: "chown", KnownAfter: "plain", When: "step.plain.changed", WhenAfter: "plain", Approve: "Go on?", OnFailure: "rollback"},
			{Name: "blocked", Action: "move", Preconditions: []lang.CheckResult{fails}},
		},
	}
}

func show(colors bool, what func(*Human)) string {
	var out bytes.Buffer
	what(newHuman(&out, &out, 80, colors))
	return out.String()
}

// showAt is what is shown on a terminal of that width.
func showAt(width int, what func(*Human)) string {
	var out bytes.Buffer
	what(newHuman(&out, &out, width, false))
	return out.String()
}

func TestPlanForPeople(t *testing.T) {
	plan := everyKindOfStep()
	earlier := run.Estimate{
		Steps: map[string]time.Duration{"plain": 200 * time.Millisecond, "final": 11800 * time.Millisecond},
		Total: 12 * time.Second, Never: 1,
	}
	whole := func(e run.Estimate) func(*Human) {
		return func(h *Human) {
			h.Verbose()
			h.Plan(plan, e)
		}
	}
	golden(t, "plan_all.txt", show(false, whole(earlier)))
	golden(t, "plan_color.txt", strings.ReplaceAll(show(true, whole(run.Estimate{})), "\x1b", "ESC"))
	golden(t, "plan_blocked.txt", show(false, func(h *Human) { h.Plan(plan, earlier) }))
	plan.Steps = plan.Steps[:len(plan.Steps)-1]
	golden(t, "plan.txt", show(false, func(h *Human) { h.Plan(plan, earlier) }))
	for name, p := range map[string]*run.Plan{
		"plan_goal.txt":    {Runbook: "rb", Host: "h", Data: plan.Data, Goal: &lang.CheckResult{OK: true, Message: "All is well."}},
		"plan_nothing.txt": {Runbook: "rb", Host: "h", Steps: plan.Steps[6:7]},
		"plan_checks.txt":  {Runbook: "rb", Host: "h", Steps: plan.Steps[5:6]},
	} {
		golden(t, name, show(false, func(h *Human) { h.Plan(p, run.Estimate{}) }))
	}
}

func TestAbout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Millisecond:         "under 1 s",
		12400 * time.Millisecond: "about 12 s",
		150 * time.Second:        "about 3 min",
		90 * time.Minute:         "about 1.5 h",
	} {
		if got := about(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestEstimate(t *testing.T) {
	took := map[string]time.Duration{"one": 12 * time.Second}
	for want, e := range map[string]run.Estimate{
		"": {Never: 2, Bytes: 4096},
		"There is 1.5 GiB to write; no earlier run tells how long it takes.\n":                                 {Never: 2, Bytes: 3 << 29},
		"Takes about 12 s by earlier runs.\n":                                                                  {Steps: took, Total: 12 * time.Second},
		"Takes about 12 s by earlier runs, and 1 step that no earlier run has done.\n":                         {Steps: took, Total: 12 * time.Second, Never: 1},
		"Takes about 12 s by earlier runs, and 2 steps that no earlier run has done, with 1.5 GiB to write.\n": {Steps: took, Total: 12 * time.Second, Never: 2, Bytes: 3 << 29},
	} {
		if got := showAt(0, func(h *Human) { h.estimate(e) }); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
