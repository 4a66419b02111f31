package run_test

import (
	"bytes"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/run"
)

// A run's time counts from its command on, over planning, questions and pauses.
func TestTookCountsFromTheCommand(t *testing.T) {
	b := newBench(t, `step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/d"
}`)
	p, scope, diags := b.plan("r1")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	r, err := b.store.Begin(b.host(), scope, p, time.Now().Add(-time.Hour), "test", b.emit)
	if err != nil {
		t.Fatal(err)
	}
	b.open = r
	b.close()
	r = b.resume(nil)
	do(t, r.Run)
	state, err := b.store.Load("r1")
	if err != nil {
		t.Fatal(err)
	}
	finished := b.events[len(b.events)-1].(engine.RunFinished)
	for what, took := range map[string]time.Duration{"the journal": state.Took(), "the event": finished.Took} {
		if took < time.Hour {
			t.Errorf("by %s it took %s", what, took)
		}
	}
	for _, e := range b.events {
		if e, ok := e.(engine.RunStarted); ok && time.Since(e.Started) < time.Hour {
			t.Errorf("it is said to have started at %s", e.Started)
		}
	}
}

// A journal of a version that didn't record when the command was given counts from
// its own first record on.
func TestTookOfAnOlderJournal(t *testing.T) {
	b := newBench(t, `step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/d"
}`)
	do(t, b.begin().Run)
	b.close()
	records, err := journal.All(b.store.Dir + "/runs/r1")
	if err != nil {
		t.Fatal(err)
	}
	records[0].Data = bytes.Replace(records[0].Data, []byte(`"began":`), []byte(`"not_yet":`), 1)
	state, err := run.Replay(records)
	if err != nil {
		t.Fatal(err)
	}
	if !state.Began.Equal(records[0].Time) || state.Phase != run.Finished {
		t.Errorf("it began at %s and is %s, and its first record is of %s", state.Began, state.Phase, records[0].Time)
	}
}
