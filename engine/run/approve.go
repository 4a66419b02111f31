package run

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"runbook/engine"
)

// ErrWaiting says that a run stopped at a step that somebody has to approve.
var ErrWaiting = errors.New("waiting for an approval")

// approval sees to it that somebody has agreed to a step that wants it. A step
// that has nothing to do needs nobody's leave.
func (r *Runner) approval(w *work) error {
	idle := w.change.Empty() && len(w.change.Checks) == 0
	if w.Approve == nil || idle || r.state.step(w.addr).Approval != nil {
		return nil
	}
	message, diags := w.scope.Text(w.Approve.Message)
	if d := first(diags); d != nil {
		return r.fail(kindFailed, w.unit, d)
	}
	if r.Ask != nil {
		if yes, who := r.Ask(r.secrets.hide(message)); yes {
			return r.append(kindApproved, approved{Step: w.addr, By: who})
		}
	}
	if err := r.append(kindWaiting, waiting{Step: w.addr, Message: message}); err != nil {
		return err
	}
	r.emit(engine.StepWaiting{Step: w.info(), Message: r.secrets.hide(message)})
	return ErrWaiting
}

// askAgain asks whether a step in doubt is to be carried out again, where
// nobody but the operator can know whether it was.
func (r *Runner) askAgain(w *work, why string) error {
	if r.Ask != nil {
		question := fmt.Sprintf("Step %s was in flight when the run ended, and nothing tells whether it was carried out: %s Carry it out again?", w.addr, why)
		if yes, who := r.Ask(r.secrets.hide(question)); yes {
			return r.append(kindAgain, approved{Step: w.addr, By: who})
		}
	}
	err := engine.Errorf("step "+w.addr, "it was in flight when the run ended, and nothing tells whether it was carried out: %s", why).
		WithHint("Find out. If it was, go on with `runbook resume %s --skip %s --reason \"…\"`; if it is to be carried out again, with `runbook resume %s --from %s --reason \"…\"`", r.id(), w.addr, r.id(), w.addr)
	return r.fail(kindFailed, w.unit, w.Config.Diagnose("Nobody but you can know", err))
}

// Approve records that somebody agreed to the step that a run waits for.
func (s Store) Approve(id, step, by, reason string) error {
	state := newState()
	j, _, err := s.open(id, state)
	if err != nil {
		return err
	}
	switch {
	case state.Waiting == nil || !state.Phase.Open():
		err = engine.Errorf("run "+id, "it waits for no approval")
	case state.Waiting.Step != step:
		err = engine.Errorf("run "+id, "it waits for the approval of step %s, not of %q", state.Waiting.Step, step)
	default:
		_, err = j.Append(kindApproved, approved{Step: step, By: by, Reason: reason})
	}
	return errors.Join(err, j.Close())
}

// Skip takes a step as done that the operator has seen to by hand, or that is
// not wanted.
func (r *Runner) Skip(step, by, reason string) error {
	for _, u := range r.units {
		if u.addr != step {
			continue
		}
		if st := r.state.Steps[step]; st != nil && st.Done {
			return engine.Errorf("step "+step, "it is done already")
		}
		return r.append(kindDone, done{Step: step, Skipped: reason, By: by})
	}
	return engine.Errorf("step "+step, "run %s has no such step", r.id()).WithHint("`runbook show %s` shows its steps", r.id())
}

// From goes on at a step: those before it that aren't done are taken as done
// by hand, and it is carried out again if it is in doubt.
func (r *Runner) From(step, by, reason string) error {
	known := func(u *unit) bool { return u.addr == step }
	if !slices.ContainsFunc(r.units, known) {
		return engine.Errorf("step "+step, "run %s has no such step", r.id()).WithHint("`runbook show %s` shows its steps", r.id())
	}
	for _, u := range r.units {
		st := r.state.step(u.addr)
		switch {
		case u.addr != step && st.Done:
		case u.inner != nil && strings.HasPrefix(step, u.addr+"/"): // the step is part of it
		case u.addr != step:
			if err := r.Skip(u.addr, by, reason); err != nil {
				return err
			}
		case st.Done:
			return engine.Errorf("step "+step, "it is done already").WithHint("What is done is undone with `runbook rollback %s`", r.id())
		default:
			return r.append(kindAgain, approved{Step: step, By: by, Reason: reason})
		}
	}
	return nil
}
