package run

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/journal"
)

// An estimate is the median of a step's newest durations, from runs in which it
// had as much to do.
func TestEarlier(t *testing.T) {
	change := engine.Change{Items: []engine.Item{{Target: "/a"}}}
	sp := StepPlan{Name: "one", Action: "move", Change: change}
	past := func(action string, st StepState) Summary {
		head := Header{Plan: &Plan{Steps: []StepPlan{{Name: "one", Action: action}}}}
		return Summary{State: &State{Header: head, Steps: map[string]*StepState{"one": &st}}}
	}
	runs := []Summary{
		{}, // unreadable
		past("copy", StepState{Done: true, Took: 2}),
		past("move", StepState{Took: 3}),
		past("move", StepState{Done: true, Unchanged: true, Took: 4}),
		past("move", StepState{Done: true, Failed: true, Took: 5}),
	}
	if took := earlier(runs, sp); len(took) != 0 {
		t.Errorf("%v from runs that tell nothing", took)
	}
	for i := range lookBack + 3 {
		runs = append(runs, past("move", StepState{Done: true, Took: time.Duration(100 + i)}))
	}
	took := earlier(runs, sp)
	if len(took) != lookBack || took[0] != 100 {
		t.Errorf("%v are not the newest", took)
	}
	waits := StepPlan{Name: "one", Action: "move", Change: engine.Change{Checks: []string{"c"}}}
	if took := earlier(runs, waits); len(took) != 1 || took[0] != 4 {
		t.Errorf("%v for a step that only checks", took)
	}
}

// However much was run since, the earlier run of the same runbook is found.
func TestOtherRunbooksAreNotRead(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	put := func(id, runbook, version string) {
		t.Helper()
		head := Header{Format: formatVersion, Version: version, Run: engine.RunInfo{ID: id, Runbook: runbook}, Plan: &Plan{}}
		j, err := journal.Create(filepath.Join(s.runs(), id), kindRun, head)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	put("1", "rb", "v1")
	for _, id := range []string{"2", "3", "4"} {
		put(id, "other", strings.Repeat("v", readAtMost/2))
	}
	put("5", "rb", strings.Repeat("v", readAtMost+1))
	runs := s.recent("rb")
	if len(runs) != 1 || runs[0].ID != "1" || runs[0].State == nil {
		t.Errorf("%+v", runs)
	}
}
