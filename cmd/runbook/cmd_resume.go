package main

import (
	"context"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/run"
)

func (a *app) resumeCommand() *cobra.Command {
	var settings []string
	cmd := addJSONFlag(&cobra.Command{
		Use:   "resume [RUN]",
		Short: "Go on with a run that was interrupted or stopped",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.resume(args, settings)
		},
	})
	addVarFlag(cmd, &settings)
	return cmd
}

func (a *app) resume(args, settings []string) error {
	id, err := a.pick(args, "can be resumed", func(s run.Summary) bool { return s.State.Phase.Open() })
	if err != nil {
		return err
	}
	return a.reopen("resume", id, settings, func(r *run.Runner) (func(ctx, stop context.Context) error, error) {
		switch phase := r.State().Phase; phase {
		case run.Running:
			return r.Run, nil
		case run.RollingBack:
			return r.Rollback, nil
		default:
			return nil, engine.Errorf("run "+id, "it is %s: there is nothing to resume", phase)
		}
	})
}

func (a *app) rollbackCommand() *cobra.Command {
	var settings []string
	var yes bool
	cmd := addJSONFlag(&cobra.Command{
		Use:   "rollback [RUN]",
		Short: "Undo in reverse what a run changed",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.rollback(args, settings, yes)
		},
	})
	addVarFlag(cmd, &settings)
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask before changing the host")
	return cmd
}

func (a *app) rollback(args, settings []string, yes bool) error {
	id, err := a.pick(args, "can be rolled back", canRollBack)
	if err != nil {
		return err
	}
	state, err := a.store().Load(id)
	if err != nil {
		return err
	}
	if err := a.mayRollBack(id, state); err != nil {
		return err
	}
	a.view.RollbackPlan(state)
	if !yes {
		if err := a.confirm("Undo this?"); err != nil {
			return err
		}
	}
	return a.reopen("rollback", id, settings, func(r *run.Runner) (func(ctx, stop context.Context) error, error) {
		// The answer may have taken its time, and others gone on meanwhile.
		return r.Rollback, a.mayRollBack(id, r.State())
	})
}

// mayRollBack refuses to undo what is past undoing, and to pull a finished
// run's changes away from under one that stands half-way.
func (a *app) mayRollBack(id string, state *run.State) error {
	if !canRollBack(run.Summary{State: state}) {
		return engine.Errorf("run "+id, "it is %s: there is nothing to roll back", state.Phase)
	}
	if state.Phase.Open() {
		return nil
	}
	return a.noneUnfinished()
}

func canRollBack(s run.Summary) bool {
	return s.State.Phase.Open() || s.State.Phase == run.Finished
}

// pick is the run that the operator named, or the only one for which want
// holds.
func (a *app) pick(args []string, what string, want func(run.Summary) bool) (string, error) {
	if len(args) == 0 {
		return a.store().Pick(what, want)
	}
	_, err := a.store().Load(args[0])
	return args[0], err
}

// reopen takes a run up again under the lock.
func (a *app) reopen(doing, id string, settings []string, choose func(*run.Runner) (func(ctx, stop context.Context) error, error)) error {
	set, err := variables(settings)
	if err != nil {
		return err
	}
	release, err := a.lock(doing, id)
	if err != nil {
		return err
	}
	defer release()
	r, err := a.store().Resume(id, a.host(), a.registry(), set, version, a.view.Event)
	if err != nil {
		return err
	}
	work, err := choose(r)
	if err != nil {
		return err
	}
	return a.drive(r, id, work)
}
