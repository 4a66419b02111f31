package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// aRecovery is a plan such as a recovery has: a summary, a gentle cure and, for its
// failure, a rough one.
func aRecovery() *run.Plan {
	moved := func(pod string) engine.Item {
		return engine.Item{Target: "/etc/kubernetes/manifests/" + pod + ".yaml", Before: "in /etc/kubernetes/manifests", After: "in /etc/kubernetes/manifests.stopped", Note: "pod " + pod + ": running and ready"}
	}
	const afterSalvage = "salvage"
	p := &run.Plan{
		Runbook: "etcd-recover", Host: "cp1",
		Summary: []string{
			"etcd is down: the write-ahead log's newest file /var/lib/etcd/member/wal/0000000000000002-0000000000003a1f.wal is cut short.",
			"Data: 1,204 keys at revision 48,211 in /var/lib/etcd.",
			"Cure: a new data directory is made of the database and what is left of the log. The old one is kept.",
			"Lost: at most the last tenth of a second before the crash.",
		},
		Data: []run.DataResult{{Type: "etcd_backups", Name: "all", Result: engine.Result{"newest": "/var/backups/etcd/etcd-20260102-030405.db", "good": 7}}},
	}
	p.Steps = []run.StepPlan{
		{Name: "stop_unit", Action: "systemd_unit", Skip: "when is false: !local.pod"},
		{Name: "stop_pods", Action: "static_pod_move", Description: "Stop the control plane, etcd last.",
			Preconditions: []lang.CheckResult{{Condition: "local.possible", OK: true}},
			Change: engine.Change{Items: []engine.Item{{Target: "/etc/kubernetes/manifests.stopped", Before: "absent", After: "directory, 0700 root:root"}, moved("kube-apiserver"), moved("etcd")},
				Checks: []string{"kube-apiserver and etcd are gone, within 5m0s"}}},
		{Name: "salvage", Action: "runbook", Description: "Make a new data directory.", OnFailure: "continue"},
		{Name: "salvage/build", Action: "etcd_salvage", Description: "Build a new data directory from the old one's database, replay the log, and swap the two.",
			Change: engine.Change{Items: []engine.Item{
				{Target: "/var/lib/etcd", Before: "broken data", After: "what its database and its log hold", Note: "1204 keys"},
				{Target: "/var/lib/etcd.before-<run-id>-salvaged", Before: "absent", After: "the data that was in /var/lib/etcd"}},
				Kept: []string{"/var/lib/etcd.before-<run-id>-salvaged"}}},
		{Name: "salvage/start", Action: "static_pod_move", Description: "Start etcd on the salvaged data.", When: "step.build != null", WhenAfter: "salvage/build", IfWell: run.CarriedOut,
			Change: engine.Change{Items: []engine.Item{{Target: "/etc/kubernetes/manifests.stopped/etcd.yaml", Before: "in /etc/kubernetes/manifests.stopped", After: "in /etc/kubernetes/manifests"}}}},
		{Name: "salvage/healthy", Action: "etcd_health", Description: "Wait until etcd answers.", Change: engine.Change{Checks: []string{"https://127.0.0.1:2379 is healthy"}}},
		{Name: "restore", Action: "runbook", When: "step.salvage == null", WhenAfter: afterSalvage, IfWell: run.PassedOver},
	}
	for i := range 6 {
		p.Steps = append(p.Steps, run.StepPlan{Name: fmt.Sprintf("restore/step%d", i+1), Action: "etcd_snapshot_restore", When: "step.salvage == null", WhenAfter: afterSalvage, IfWell: run.PassedOver, KnownAfter: afterSalvage})
	}
	p.Steps = append(p.Steps,
		run.StepPlan{Name: "agree", Action: "confirm", Approve: "Start the rest of the control plane? The controllers will act on what etcd holds now.", Change: engine.Change{Checks: []string{"somebody has said yes"}}},
		run.StepPlan{Name: "start_pods", Action: "static_pod_move", Description: "Start the rest of the control plane.", KnownAfter: afterSalvage},
	)
	return p
}

var recoveryTakes = run.Estimate{Total: 41 * time.Second, Steps: map[string]time.Duration{"salvage/build": 12 * time.Second}, Bytes: 300 << 20}

// aStop is how a run of a recovery may stand when it stops: it has stopped the
// pods, and either its next step has failed or a later one waits.
func aStop(t *testing.T, failed bool) *run.State {
	t.Helper()
	plan := aRecovery()
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	m := newMade(t, encode(plan))
	m.add(time.Second, "intent", `{"step":"stop_pods","request":{},"change":`+encode(plan.Steps[1].Change)+`}`)
	m.add(time.Second, "done", `{"step":"stop_pods","took_ns":1000000000}`)
	m.add(time.Second, "intent", `{"step":"salvage/build","request":{},"change":`+encode(plan.Steps[3].Change)+`}`)
	if failed {
		m.add(time.Second, "failed", `{"step":"salvage/build","error":"page 214 can't be read"}`)
	} else {
		m.add(time.Second, "done", `{"step":"salvage/build","took_ns":1000000000}`)
		m.add(time.Second, "waiting", `{"step":"agree","message":"Start the rest?"}`)
	}
	h, err := run.Tell(m.records, false)
	if err != nil {
		t.Fatal(err)
	}
	return h.State
}

// recoveryEvents are what a run of the recovery says, as far as the salvage.
func recoveryEvents(p *run.Plan) []engine.Event {
	info := func(i int) engine.StepInfo {
		s := p.Steps[i]
		return engine.StepInfo{Name: s.Name, Action: s.Action, Description: s.Description, Index: i + 1, Total: len(p.Steps)}
	}
	return []engine.Event{
		engine.RunStarted{ID: "20260102-030405-abcd", Runbook: p.Runbook, Host: p.Host},
		engine.StepStarted{Step: info(0)},
		engine.StepSkipped{Step: info(0), Reason: p.Steps[0].Skip},
		engine.StepStarted{Step: info(1)},
		engine.StepDone{Step: info(1), Change: p.Steps[1].Change, Took: 1300 * time.Millisecond},
		engine.StepStarted{Step: info(3)},
		engine.StepDone{Step: info(3), Change: p.Steps[3].Change, Took: 900 * time.Millisecond},
		engine.StepStarted{Step: info(5)},
		engine.StepDone{Step: info(5), Change: p.Steps[5].Change, Unchanged: true, Took: 3 * time.Second},
	}
}

// Each screen, as it is on a terminal of the usual size and on a narrow one. No
// line is wider than the terminal, but for a word that is.
func TestScreens(t *testing.T) {
	failure := &run.Failure{Book: &lang.Runbook{}, Diag: &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Step salvage/build failed",
		Detail: "/var/lib/etcd/member/snap/db: page 214 of bucket key can't be read: it is all zeroes, and 3,112 keys are behind it.\n\nTake the newest backup instead: `runbook run etcd-restore.hcl`."}}
	plan := aRecovery()
	for name, what := range map[string]func(*Human){
		"plan": func(h *Human) { h.Plan(plan, recoveryTakes) },
		"question": func(h *Human) {
			h.Recall(plan)
			h.Ask("Carry this out?")
		},
		"run": func(h *Human) {
			for _, e := range recoveryEvents(plan) {
				h.Event(e)
			}
		},
		"failure": func(h *Human) {
			h.Event(engine.StepFailed{Step: engine.StepInfo{Name: "salvage/build"}, Err: failure})
			h.Error(failure)
			h.Stopped("20260102-030405-abcd", run.Running, aStop(t, true))
		},
		"waits": func(h *Human) { h.Stopped("20260102-030405-abcd", run.Running, aStop(t, false)) },
		"error": func(h *Human) {
			h.Error(engine.Errorf("/var/lib/runbook/20260102-030405-abcd/journal.jsonl", "the journal can't be written: %w", errors.New("no space left on device")).
				WithHint("Make room on the file system of /var/lib/runbook, then go on with `runbook resume 20260102-030405-abcd`"))
		},
	} {
		for _, width := range []int{80, 50} {
			got := showAt(width, what)
			golden(t, fmt.Sprintf("screen_%s_%d.txt", name, width), got)
			for line := range strings.SplitSeq(got, "\n") {
				if columnsOf(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
					t.Errorf("%s: too wide for %d columns: %q", name, width, line)
				}
			}
			if rows := strings.Count(got, "\n"); width == 80 && rows > 24 {
				t.Errorf("%s has %d rows", name, rows)
			}
		}
	}
}
