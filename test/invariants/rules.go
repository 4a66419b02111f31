package invariants

import (
	"errors"
	"fmt"

	"runbook/engine/run"
)

// rules are those of each kind of record. Each takes the record in.
var rules map[string]func(*checker, body) error

func init() {
	rules = map[string]func(*checker, body) error{
		"run":  func(c *checker, b body) error { c.follow(b.Plan.Steps); c.phase = run.Running; return nil },
		"done": (*checker).done, "intent": (*checker).intent, "examined": (*checker).examined,
		"waiting": (*checker).waiting, "approved": (*checker).approved, "again": (*checker).again,
		"failed":      func(c *checker, b body) error { return c.stops("failed", run.Running) },
		"undo_failed": func(c *checker, b body) error { return c.stops("undo_failed", run.RollingBack) },
		"interrupted": func(c *checker, b body) error { c.last = "interrupted"; return nil },
		"resumed":     (*checker).resumed,
		"accepted":    func(c *checker, b body) error { c.follow(b.Plan.Steps); return nil },
		"finished":    (*checker).finished,
		"rollback":    (*checker).rollback, "undo": (*checker).undo, "undone": (*checker).undone,
		"rolled_back": (*checker).rolledBack,
		"abandoned":   func(c *checker, b body) error { c.phase = run.Abandoned; return nil },
		"pruned":      (*checker).pruned,
	}
}

// in returns what is known of a step, in a phase of the run.
func (c *checker) in(phase run.Phase, name string) (*step, error) {
	if c.phase != phase {
		return nil, fmt.Errorf("the run is %s", c.phase)
	}
	return c.of(name)
}

func (c *checker) intent(b body) error {
	st, err := c.in(run.Running, b.Step)
	switch {
	case err != nil:
		return err
	case st.intent || st.done:
		return errors.New("the step has begun already")
	case c.plan[c.at[b.Step]].Approve != "" && !st.approved:
		return errors.New("nobody has approved the step")
	}
	st.intent = true
	return c.each(0, c.at[b.Step], func(before *step) bool { return before.done })
}

func (c *checker) done(b body) error {
	st, err := c.in(run.Running, b.Step)
	switch {
	case err != nil:
		return err
	case st.done:
		return errors.New("the step is done already")
	case b.Skipped != "" || b.Failed:
	case st.intent == b.Unchanged:
		return fmt.Errorf("an intent recorded: %v, unchanged: %v", st.intent, b.Unchanged)
	}
	st.done = true
	return c.each(0, c.at[b.Step], func(before *step) bool { return before.done })
}

// examined comes only to a step that a process which is gone has begun.
func (c *checker) examined(b body) error {
	st, err := c.in(run.Running, b.Step)
	if err == nil && (!st.intent || st.done || !st.resumed) {
		err = errors.New("the step isn't in doubt")
	}
	return err
}

func (c *checker) waiting(b body) error {
	st, err := c.in(run.Running, b.Step)
	if err == nil && (st.intent || st.done || st.approved) {
		err = errors.New("the step has nothing to wait for")
	}
	c.last = "waiting"
	return err
}

func (c *checker) approved(b body) error {
	st, err := c.in(run.Running, b.Step)
	if err == nil && (st.intent || st.done || st.approved) {
		err = errors.New("the step is approved, or begun, already")
	}
	if err == nil {
		st.approved = true
	}
	return err
}

func (c *checker) again(b body) error {
	st, err := c.in(run.Running, b.Step)
	if err == nil && st.done {
		err = errors.New("the step is done")
	}
	return err
}

func (c *checker) stops(kind string, phase run.Phase) error {
	c.last = kind
	if c.phase != phase {
		return fmt.Errorf("the run is %s", c.phase)
	}
	return nil
}

func (c *checker) resumed(body) error {
	for _, st := range c.steps {
		st.resumed = st.intent
	}
	return nil
}

func (c *checker) finished(body) error {
	if c.phase != run.Running {
		return fmt.Errorf("the run is %s", c.phase)
	}
	c.phase = run.Finished
	return c.each(0, len(c.plan), func(st *step) bool { return st.done })
}

func (c *checker) rollback(body) error {
	if c.phase != run.Running && c.phase != run.Finished {
		return fmt.Errorf("the run is %s", c.phase)
	}
	c.phase = run.RollingBack
	return nil
}

// after holds that all that was done after a step is undone.
func (c *checker) after(name string) error {
	return c.each(c.at[name]+1, len(c.plan), func(later *step) bool { return !later.intent || later.undone })
}

// undo is the intent of a step's own rollback block.
func (c *checker) undo(b body) error {
	st, err := c.in(run.RollingBack, b.Step)
	if err == nil && (!st.intent || st.undo || st.undone) {
		err = errors.New("there is nothing to undo, or it has begun already")
	}
	if err != nil {
		return err
	}
	st.undo = true
	return c.after(b.Step)
}

func (c *checker) undone(b body) error {
	st, err := c.in(run.RollingBack, b.Step)
	if err == nil && (!st.intent || st.undone) {
		err = errors.New("there is nothing to undo, or it is undone already")
	}
	if err != nil {
		return err
	}
	st.undone = true
	return c.after(b.Step)
}

func (c *checker) rolledBack(body) error {
	if c.phase != run.RollingBack {
		return fmt.Errorf("the run is %s", c.phase)
	}
	c.phase = run.RolledBack
	return c.each(0, len(c.plan), func(st *step) bool { return !st.intent || st.undone })
}

func (c *checker) pruned(body) error {
	if c.phase.Open() {
		return fmt.Errorf("the run is %s", c.phase)
	}
	return nil
}
