package run

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
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
		head := Header{Format: formatVersion, Version: version, Run: engine.RunInfo{ID: id, Runbook: runbook}, Sources: []lang.Source{{}}, Plan: &Plan{}}
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

// Twice as much to write takes twice as long; of little, the amount says
// nothing.
func TestScaled(t *testing.T) {
	writes := func(n int64) engine.Change {
		return engine.Change{Effects: []engine.Effect{
			{Copied: &engine.Copied{From: "/a", To: "/b", Bytes: n / 2}},
			{Created: &engine.Created{Bytes: n - n/2}},
		}}
	}
	const mib = 1 << 20
	for _, c := range []struct {
		then, now engine.Change
		want      time.Duration
	}{
		{writes(10 * mib), writes(20 * mib), 2 * time.Minute},
		{writes(10 * mib), writes(5 * mib), 30 * time.Second},
		{writes(100), writes(5000), time.Minute},
		{writes(100), writes(3 * mib), 3 * time.Minute},
		{writes(10 * mib), engine.Change{}, time.Minute},
	} {
		if got := scaled(time.Minute, c.then, c.now); got != c.want {
			t.Errorf("%d bytes took a minute, %d take %s, not %s", c.then.Bytes(), c.now.Bytes(), got, c.want)
		}
	}
}

// Where no earlier run tells, the plan tells how much there is to write.
func TestNeverRun(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	copies := engine.Change{Items: []engine.Item{{Target: "/b"}}, Effects: []engine.Effect{{Copied: &engine.Copied{Bytes: 7}}}}
	e := s.Estimate(&Plan{Steps: []StepPlan{{Name: "one", Change: copies}, {Name: "two", Change: copies}, {Name: "three"}}})
	if e.Known() || e.Never != 2 || e.Bytes != 14 {
		t.Errorf("%+v", e)
	}
}
