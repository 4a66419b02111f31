package run

import (
	"testing"
	"time"

	"runbook/engine"
)

// An estimate is the median of a step's newest durations, from runs in which it
// had as much to do.
func TestEarlier(t *testing.T) {
	change := engine.Change{Items: []engine.Item{{Target: "/a"}}}
	sp := StepPlan{Name: "one", Action: "move", Change: change}
	past := func(runbook, action string, st StepState) Summary {
		head := Header{Run: engine.RunInfo{Runbook: runbook}, Plan: &Plan{Steps: []StepPlan{{Name: "one", Action: action}}}}
		return Summary{State: &State{Header: head, Steps: map[string]*StepState{"one": &st}}}
	}
	runs := []Summary{
		{}, // unreadable
		past("other", "move", StepState{Done: true, Took: 1}),
		past("rb", "copy", StepState{Done: true, Took: 2}),
		past("rb", "move", StepState{Took: 3}),
		past("rb", "move", StepState{Done: true, Unchanged: true, Took: 4}),
		past("rb", "move", StepState{Done: true, Failed: true, Took: 5}),
	}
	if took := earlier(runs, "rb", sp); len(took) != 0 {
		t.Errorf("%v from runs that tell nothing", took)
	}
	for i := range lookBack + 3 {
		runs = append(runs, past("rb", "move", StepState{Done: true, Took: time.Duration(100 + i)}))
	}
	took := earlier(runs, "rb", sp)
	if len(took) != lookBack || took[0] != 100 {
		t.Errorf("%v are not the newest", took)
	}
	waits := StepPlan{Name: "one", Action: "move", Change: engine.Change{Checks: []string{"c"}}}
	if took := earlier(runs, "rb", waits); len(took) != 1 || took[0] != 4 {
		t.Errorf("%v for a step that only checks", took)
	}
}
