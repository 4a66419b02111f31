package run_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"runbook/engine"
	"runbook/engine/run"
)

// A journal keeps how often a step was tried, and what the last attempt before
// the successful one ended with.
func TestAttemptsAreRecorded(t *testing.T) {
	b := newBench(t, `
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/d"
  retry {
    attempts = 3
    delay    = "1ms"
  }
  postcondition {
    condition     = path("${var.dir}/go").exists
    error_message = "not yet"
  }
}`)
	if err := b.begin().Run(context.Background(), context.Background()); err == nil {
		t.Fatal("did not fail")
	}
	h := b.history()
	if len(h.Failures) != 1 || h.Failures[0].Attempts != 3 || h.Failures[0].Step != "one" {
		t.Errorf("%+v", h.Failures)
	}
	b.onEvent = func(e engine.Event) {
		if _, ok := e.(engine.StepRetried); ok {
			b.write("go", "")
		}
	}
	do(t, b.resume(nil).Run)
	h = b.history()
	if st := h.State.Steps["one"]; st.Attempts != 2 || !strings.Contains(st.LastError, "not yet") {
		t.Errorf("%+v", st)
	}
	if got := told(h); got != "failed one, done one; stopped by a failure" {
		t.Error(got)
	}
	if h.Settled.IsZero() || !h.Settled.Equal(h.Ended) {
		t.Errorf("settled %s, ended %s", h.Settled, h.Ended)
	}
}

// What is said before a run goes on belongs to the pause, and a rollback that
// was decided on later follows the run's end.
func TestHistoryOfARunWithHelp(t *testing.T) {
	b := newBench(t, strings.Replace(failing, "%s", "stop", 1))
	if err := b.begin().Run(context.Background(), context.Background()); err == nil {
		t.Fatal("did not fail")
	}
	r := b.resume(nil)
	if err := r.From("three", "ann", "moved b by hand"); err != nil {
		t.Fatal(err)
	}
	do(t, r.Run)
	do(t, b.resume(nil).Rollback)
	h := b.history()
	if got := told(h); got != "done one, failed two, done three, undone three, undone two, undone one; stopped by a failure, ended, and was rolled back later" {
		t.Error(got)
	}
	if len(h.Decisions) != 2 || h.Decisions[0].Kind != "skipped" || h.Decisions[1].Kind != "again" || h.Decisions[1].Reason != "moved b by hand" {
		t.Errorf("%+v", h.Decisions)
	}
	if !h.Settled.Before(h.Ended) || h.Pauses[1].From != h.Settled {
		t.Errorf("settled %s, ended %s, %+v", h.Settled, h.Ended, h.Pauses)
	}
	last := h.State.Began
	for _, s := range h.Spans {
		if s.From.Before(last) || s.To.Before(s.From) {
			t.Errorf("%+v begins before %s", s, last)
		}
		last = s.To
	}
}

func (b *bench) history() *run.History {
	b.t.Helper()
	h, err := b.store.History("r1", run.Wanted{Log: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return h
}

// told is a history's spans and pauses in a line.
func told(h *run.History) string {
	var spans, pauses []string
	for _, s := range h.Spans {
		spans = append(spans, fmt.Sprintf("%s %s", s.Kind, s.Step))
	}
	for _, p := range h.Pauses {
		pauses = append(pauses, string(p.Why))
	}
	return strings.Join(spans, ", ") + "; " + strings.Join(pauses, ", ")
}
