package run

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"runbook/engine"
	"runbook/engine/journal"
)

// Estimate is how long the steps of a plan take, going by earlier runs of the
// same runbook on this machine and by how much there is to write.
type Estimate struct {
	Steps map[string]time.Duration // by name; what no earlier run has done is missing
	Total time.Duration            // of Steps
	Never int                      // steps that no earlier run has done
	Bytes int64                    // what those have to write, as far as it is known
}

// Known reports whether there is anything to tell.
func (e Estimate) Known() bool { return len(e.Steps) > 0 }

// lookBack is how many of a step's durations count: a machine changes, and its
// latest runs tell most.
const lookBack = 5

// Estimate looks into the journals of earlier runs. It is a service and no more:
// where they can't be read, nothing is known.
func (s Store) Estimate(p *Plan) Estimate {
	e := Estimate{Steps: map[string]time.Duration{}}
	if p.GoalHolds() {
		return e
	}
	runs := s.recent(p.Runbook)
	for _, sp := range p.Steps {
		if sp.idle() {
			continue
		}
		took := earlier(runs, sp)
		if len(took) == 0 {
			e.Never++
			e.Bytes += sp.Change.Bytes()
			continue
		}
		slices.Sort(took)
		e.Steps[sp.Name] = took[len(took)/2]
		e.Total += e.Steps[sp.Name]
	}
	return e
}

// readAtMost bounds, in bytes, how much of earlier journals a plan reads: it has
// to stay quick however much the machine has been through.
const readAtMost = 1 << 20

// recent are the newest runs of a runbook, as many of them as are quickly read.
func (s Store) recent(runbook string) []Summary {
	entries, err := os.ReadDir(s.runs())
	if err != nil {
		return nil
	}
	var runs []Summary
	left := int64(readAtMost)
	for _, e := range slices.Backward(entries) { // by name, and so by time
		path := filepath.Join(s.run(e.Name()), journal.FileName)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > left || runbookOf(path) != runbook {
			continue
		}
		left -= info.Size()
		runs = append(runs, s.summary(e.Name()))
	}
	return runs
}

// runbookOf is the name of the runbook that a journal is of, which stands near
// its beginning; empty where it can't be read.
func runbookOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	dec := json.NewDecoder(f)
	for {
		switch word, err := dec.Token(); {
		case err != nil:
			return ""
		case word == "runbook":
			name, _ := dec.Token() // what isn't text is no name
			text, _ := name.(string)
			return text
		}
	}
}

// idle reports whether the step is known to have nothing to do or wait for.
func (s StepPlan) idle() bool {
	return s.KnownAfter == "" && s.Change.Empty() && len(s.Change.Checks) == 0
}

// earlier lists how long the newest runs took for a step, where they had as
// much to do as it has now.
func earlier(runs []Summary, sp StepPlan) []time.Duration {
	var took []time.Duration
	for _, r := range runs {
		if r.State == nil || r.State.Header.Plan.step(sp.Name).Action != sp.Action {
			continue
		}
		st := r.State.Steps[sp.Name]
		if st == nil || !st.Done || st.PassedOver() || sp.KnownAfter == "" && st.Unchanged != sp.Change.Empty() {
			continue
		}
		if took = append(took, scaled(st.Took, st.Change(), sp.Change)); len(took) == lookBack {
			break
		}
	}
	return took
}

// smallest is the amount, in bytes, below which other things than writing take
// a step's time.
const smallest = 1 << 20

// scaled is how long a change takes that wrote other amounts when it took
// that long. A plan that was kept, and a step that isn't planned yet, don't say
// how much there is to write.
func scaled(took time.Duration, then, now engine.Change) time.Duration {
	if len(now.Effects) == 0 {
		return took
	}
	return time.Duration(float64(took) * float64(max(now.Bytes(), smallest)) / float64(max(then.Bytes(), smallest)))
}
