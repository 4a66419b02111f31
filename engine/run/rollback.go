package run

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
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
	for _, s := range r.scope.Book.Steps {
		if st := r.state.Steps[s.Name]; st != nil && st.Done {
			if err := r.recall(ctx, s, st); err != nil {
				return err
			}
		}
	}
	for i := len(r.scope.Book.Steps) - 1; i >= 0; i-- {
		s := r.scope.Book.Steps[i]
		if st := r.state.Steps[s.Name]; !st.begun() || st.Undone {
			continue
		}
		if stop.Err() != nil {
			return r.interrupted()
		}
		if err := r.undo(ctx, stop, s, r.info(i)); err != nil {
			return err
		}
	}
	if err := r.append(kindRolledBack, struct{}{}); err != nil {
		return err
	}
	r.emit(engine.RolledBack{ID: r.id()})
	return nil
}

// undo undoes one step.
func (r *Runner) undo(ctx, stop context.Context, s *lang.Step, info engine.StepInfo) error {
	st := r.state.Steps[s.Name]
	r.emit(engine.UndoStarted{Step: info})
	reason := st.Change.Irreversible
	var err error
	switch {
	case s.Rollback != nil && s.Rollback.Action == "none":
		reason = s.Rollback.Reason
	case s.Rollback != nil && st.undo == nil && r.untouched(ctx, s, st):
		reason = "nothing of it had been done."
	case s.Rollback != nil:
		reason, err = "", r.ownRollback(ctx, s, info, st)
	case reason == "":
		err = r.automaticUndo(ctx, s, info, st)
	}
	if err != nil {
		return r.undoFailed(ctx, stop, s, info, err)
	}
	if err := r.append(kindUndone, undone{Step: s.Name, Reason: reason}); err != nil {
		return err
	}
	r.emit(engine.UndoDone{Step: info, Reason: r.secrets.hide(reason)})
	return nil
}

// untouched reports whether a step in doubt hadn't begun. Its rollback block
// undoes what the step does, and may fail where it did nothing.
func (r *Runner) untouched(ctx context.Context, s *lang.Step, st *StepState) bool {
	if st.Done {
		return false
	}
	req, change, err := r.recorded(ctx, s.Config, st.intent, cty.NilVal)
	if err != nil {
		return false
	}
	now, err := r.host.Plan(ctx, req)
	return err == nil && now.SameAs(change)
}

func (r *Runner) undoFailed(ctx, stop context.Context, s *lang.Step, info engine.StepInfo, err error) error {
	if ctx.Err() != nil && stop.Err() != nil {
		return r.interrupted()
	}
	d, ok := err.(*hcl.Diagnostic)
	if !ok {
		d = s.Config.Diagnose("Step "+s.Name+" can't be undone", err)
	}
	return r.fail(kindUndoFailed, s, info, d)
}

// automaticUndo is the action's own. The intent to undo needs no record of its
// own: what undo works from was recorded before the step began, and Undo may
// be called again.
func (r *Runner) automaticUndo(ctx context.Context, s *lang.Step, info engine.StepInfo, st *StepState) error {
	self, err := engine.ResultValue(s.Spec.Results, st.Result, false)
	if err != nil {
		return err
	}
	req, change, err := r.recorded(ctx, s.Config, st.intent, self)
	if err != nil {
		return err
	}
	return r.host.Undo(ctx, req, change, reporter{r, info})
}

// ownRollback carries out the step's rollback block, which is an action like
// any other: planned, recorded, applied.
func (r *Runner) ownRollback(ctx context.Context, s *lang.Step, info engine.StepInfo, st *StepState) error {
	if !st.Done { // it has no result: what was known of it before has to do
		st.Result = st.Change.Results
		if err := r.recall(ctx, s, st); err != nil {
			return err
		}
	}
	self, err := engine.ResultValue(s.Spec.Results, st.Result, false)
	if err != nil {
		return err
	}
	if st.undo == nil {
		if err := r.intendRollback(ctx, s, self); err != nil {
			return err
		}
	}
	req, change, err := r.recorded(ctx, s.Rollback.Config, st.undo, self)
	if err != nil {
		return err
	}
	_, err = r.host.Apply(ctx, req, change, reporter{r, info})
	return err
}

func (r *Runner) intendRollback(ctx context.Context, s *lang.Step, self cty.Value) error {
	r.scope.Steps[s.Name] = self
	cfg, d := r.config(ctx, s.Rollback.Config, self)
	if d != nil {
		return d
	}
	req, err := newRequest(r.scope.Run, s.Name, s.Rollback.Spec, cfg)
	if err != nil {
		return err
	}
	change, err := r.host.Plan(ctx, req)
	change = withoutDiffs(change, cfg)
	if err != nil {
		return err
	}
	return r.append(kindUndo, intent{
		Step: s.Name, Request: without(req, cfg.Sensitive), Sensitive: cfg.Sensitive, Change: change,
	})
}
