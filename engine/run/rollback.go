package run

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Rollback undoes in reverse what the run's steps did, finished or not. It can
// be stopped and taken up again like Run.
func (r *Runner) Rollback(ctx, stop context.Context) error {
	if err := r.takeUp(); err != nil {
		return err
	}
	if r.state.Phase != RollingBack {
		if err := r.append(kindRollback, struct{}{}); err != nil {
			return err
		}
	}
	for _, u := range r.units {
		if u.end && r.state.step(u.addr).Done {
			// Outputs that can't be had may leave a rollback block without its
			// values, which is reported where it needs them.
			if v, diags := u.outputs(); !diags.HasErrors() {
				u.adopt(v)
			}
			continue
		}
		if st := r.state.Steps[u.addr]; st != nil && st.Done {
			if err := r.recall(ctx, u, st); err != nil {
				return err
			}
		}
	}
	for _, u := range slices.Backward(r.units) {
		if st := r.state.Steps[u.addr]; !st.begun() || st.Undone {
			continue
		}
		if stop.Err() != nil {
			return r.interrupted()
		}
		if err := r.undo(ctx, stop, u); err != nil {
			return err
		}
	}
	if err := r.append(kindRolledBack, struct{}{}); err != nil {
		return err
	}
	r.emit(r.rolledBack())
	return nil
}

// rolledBack says what state the host is in.
func (r *Runner) rolledBack() engine.RolledBack {
	e := engine.RolledBack{ID: r.id(), Began: r.state.Began}
	if goal := r.state.Header.Plan.Goal; goal != nil {
		e.Broken = !goal.OK && !goal.Unknown
	}
	for _, u := range r.units {
		st := r.state.Steps[u.addr]
		if st == nil || !st.Undone {
			continue
		}
		if st.UndoNote != "" {
			e.Left = append(e.Left, u.addr)
		}
		for _, path := range st.Kept() {
			e.Kept = append(e.Kept, r.secrets.hide(path))
		}
	}
	return e
}

// undo undoes one step.
func (r *Runner) undo(ctx, stop context.Context, u *unit) error {
	st := r.state.Steps[u.addr]
	r.emit(engine.UndoStarted{Step: u.info()})
	reason := st.Change().Irreversible
	err := r.settle(ctx, u, st)
	switch {
	case err != nil:
	case u.Rollback != nil && u.Rollback.Action == "none":
		reason = u.Rollback.Reason
	case u.Rollback != nil && st.undo == nil && r.untouched(ctx, u, st):
		reason = "nothing of it had been done."
	case u.Rollback != nil:
		reason, err = "", r.ownRollback(ctx, u, st)
	case reason == "":
		err = r.automaticUndo(ctx, u, st)
	}
	if err != nil {
		return r.undoFailed(ctx, stop, u, err)
	}
	out := undone{Step: u.addr, Reason: reason, Kept: r.leftAside(ctx, st)}
	if err := r.append(kindUndone, out); err != nil {
		return err
	}
	r.emit(engine.UndoDone{Step: u.info(), Reason: r.secrets.hide(reason)})
	return nil
}

// leftAside lists what is at the paths at which a step, and undoing it, may keep
// something. Which of them it is depends on how far the step got, and on how it
// was undone.
func (r *Runner) leftAside(ctx context.Context, st *StepState) []string {
	change := st.Change()
	paths := slices.Concat(change.Kept, change.UndoKept)
	if st.undo != nil {
		var in intent
		if err := st.undo.decode(&in); err == nil {
			paths = append(paths, in.Change.Kept...)
		}
	}
	kept := []string{}
	for _, path := range paths {
		// Of what can't be looked at it is better to say too much.
		if fact, err := r.host.Stat(ctx, path, false, nil); err != nil || fact.Exists {
			kept = append(kept, path)
		}
	}
	return kept
}

// settle waits for what a step in doubt may have left at work: what it does
// still must not come after it is undone, nor beside what is undone next.
func (r *Runner) settle(ctx context.Context, u *unit, st *StepState) error {
	if !st.unsettled() {
		return nil
	}
	req, change, err := r.recorded(ctx, u, u.Config, st.intent, cty.NilVal)
	if err != nil {
		return err
	}
	return r.host.Settle(ctx, req, change, reporter{r, u.info()})
}

// untouched reports whether a step in doubt hadn't begun. Its rollback block
// undoes what the step does, and may fail where it did nothing.
func (r *Runner) untouched(ctx context.Context, u *unit, st *StepState) bool {
	if !st.unsettled() {
		return false
	}
	req, change, err := r.recorded(ctx, u, u.Config, st.intent, cty.NilVal)
	if err != nil {
		return false
	}
	now, err := r.host.Plan(r.confidential(ctx), req)
	return err == nil && notBegun(change, now)
}

func (r *Runner) undoFailed(ctx, stop context.Context, u *unit, err error) error {
	if ctx.Err() != nil && stop.Err() != nil {
		return r.interrupted()
	}
	d, ok := err.(*hcl.Diagnostic)
	if !ok {
		d = u.Config.Diagnose("Step "+u.addr+" can't be undone", err)
	}
	return r.fail(kindUndoFailed, u, d)
}

// automaticUndo is the action's own. The intent to undo needs no record of its
// own: what undo works from was recorded before the step began, and Undo may
// be called again.
func (r *Runner) automaticUndo(ctx context.Context, u *unit, st *StepState) error {
	self, err := u.self(st)
	if err != nil {
		return err
	}
	req, change, err := r.recorded(ctx, u, u.Config, st.intent, self)
	if err != nil {
		return err
	}
	return r.host.Undo(r.confidential(ctx), req, change, reporter{r, u.info()})
}

// ownRollback carries out the step's rollback block, which is an action like
// any other: planned, recorded, applied.
func (r *Runner) ownRollback(ctx context.Context, u *unit, st *StepState) error {
	if st.unsettled() {
		if err := r.recall(ctx, u, st); err != nil {
			return err
		}
	}
	self, err := u.self(st)
	if err != nil {
		return err
	}
	if st.undo == nil {
		if err := r.intendRollback(ctx, u, self); err != nil {
			return err
		}
	}
	req, change, err := r.recorded(ctx, u, u.Rollback.Config, st.undo, self)
	if err != nil {
		return err
	}
	_, err = r.host.Apply(r.confidential(ctx), req, change, reporter{r, u.info()})
	return err
}

func (r *Runner) intendRollback(ctx context.Context, u *unit, self cty.Value) error {
	u.adopt(self)
	cfg, d := r.config(ctx, u, u.Rollback.Config, self)
	if d != nil {
		return d
	}
	// It is a step of its own: what the step has recorded as its own work, or what
	// a server knows its request by, mustn't be taken for the undoing.
	req, err := newRequest(u.scope.Run, u.addr+"/rollback", u.Rollback.Spec, cfg)
	if err != nil {
		return err
	}
	change, err := r.host.Plan(r.confidential(ctx), req)
	change = withoutDiffs(change, cfg)
	if err != nil {
		return err
	}
	return r.append(kindUndo, intent{
		Step: u.addr, Request: without(req, cfg.Sensitive), Sensitive: cfg.Sensitive, Change: change,
	})
}
