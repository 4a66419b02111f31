// Package invariants says what is true of the journal of every run, however
// often the run was killed, resumed and rolled back.
package invariants

import (
	"fmt"

	"runbook/engine/journal"
	"runbook/engine/run"
)

// Check reads a run's journal as the product does, and returns the first
// record that must not be where it is.
func Check(store run.Store, id string) error {
	h, err := store.History(id, run.Wanted{Log: true})
	if err != nil {
		return err
	}
	records, err := journal.All(store.Dir + "/runs/" + id)
	if err != nil {
		return err
	}
	if len(records) != len(h.Log) {
		return fmt.Errorf("%d records, and %d of them in the run's history", len(records), len(h.Log))
	}
	return Hold(records)
}

// Hold returns the first record that must not be where it is.
func Hold(records []journal.Record) error {
	c := checker{steps: map[string]*step{}}
	for i, r := range records {
		if err := c.next(i, r); err != nil {
			return fmt.Errorf("record %d (%s): %w", r.Seq, r.Kind, err)
		}
	}
	return nil
}

// step is what has been recorded of one step so far.
type step struct {
	intent, done, approved, undo, undone bool

	resumed bool // since its intent
}

// checker follows a run through its records.
type checker struct {
	plan  []run.StepPlan
	steps map[string]*step
	at    map[string]int // where a step is in the plan
	order []*step        // the steps as the plan has them
	phase run.Phase
	// last is the last record of a process that had nothing more to do; empty
	// while one is at work.
	last string
}

// body is what of a record's data matters here.
type body struct {
	Step      string
	Unchanged bool
	Skipped   string
	By        string
	Failed    bool
	Plan      struct{ Steps []run.StepPlan }
}

func (c *checker) next(i int, r journal.Record) error {
	if r.Seq != i+1 {
		return fmt.Errorf("it is the %d. in the file", i+1)
	}
	var b body
	if err := r.Decode(&b); err != nil {
		return err
	}
	if (i == 0) != (r.Kind == "run") {
		return fmt.Errorf("the first record, and no other, is the run's header")
	}
	if err := c.mayFollow(r.Kind, b); err != nil {
		return err
	}
	rule, ok := rules[r.Kind]
	if !ok {
		return fmt.Errorf("there is no such kind")
	}
	return rule(c, b)
}

// mayFollow holds that nothing follows a run's end, and that a process which
// has stopped writes nothing more: the next one says first that it goes on, or
// a person decides something.
func (c *checker) mayFollow(kind string, b body) error {
	switch {
	case c.phase == run.RolledBack || c.phase == run.Abandoned:
		if kind != "pruned" {
			return fmt.Errorf("the run is %s", c.phase)
		}
	case c.phase == run.Finished:
		if kind != "resumed" && kind != "rollback" && kind != "pruned" {
			return fmt.Errorf("the run is %s", c.phase)
		}
	}
	if c.last == "" {
		return nil
	}
	byPerson := b.By != "" || kind == "approved" || kind == "again" || kind == "accepted" || kind == "abandoned"
	policy := c.last == "failed" && (kind == "rollback" || kind == "done" && b.Failed)
	if kind == "resumed" || policy {
		c.last = ""
		return nil
	}
	if !byPerson {
		return fmt.Errorf("it follows a record after which the process has nothing more to do: %s", c.last)
	}
	return nil
}

// of returns what is known of a step, which has to be in the plan.
func (c *checker) of(name string) (*step, error) {
	i, ok := c.at[name]
	if !ok {
		return nil, fmt.Errorf("the plan has no step %q", name)
	}
	return c.order[i], nil
}

// follow takes a plan in. Another one may come later.
func (c *checker) follow(plan []run.StepPlan) {
	c.plan, c.at, c.order = plan, map[string]int{}, nil
	for i, p := range plan {
		if c.steps[p.Name] == nil {
			c.steps[p.Name] = &step{}
		}
		c.at[p.Name] = i
		c.order = append(c.order, c.steps[p.Name])
	}
}

// each returns the first step from i on, up to before end, that isn't as want
// says.
func (c *checker) each(i, end int, want func(*step) bool) error {
	for ; i < end; i++ {
		if !want(c.order[i]) {
			return fmt.Errorf("not while step %s is where it is", c.plan[i].Name)
		}
	}
	return nil
}
