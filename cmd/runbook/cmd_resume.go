package main

import (
	"context"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/run"
)

// byHand is what the operator has seen to by hand.
type byHand struct {
	skip         []string
	from, reason string
	accept       bool // follow the changed runbook
}

func (b byHand) check() error {
	if (len(b.skip) > 0 || b.from != "") && b.reason == "" {
		return engine.Errorf("runbook resume", "--skip and --from need a --reason").WithHint("It is kept in the run's journal, for those who ask later")
	}
	return nil
}

// unused refuses it for a rollback, which undoes what was recorded.
func (b byHand) unused() error {
	if len(b.skip) == 0 && b.from == "" && !b.accept {
		return nil
	}
	return engine.Errorf("runbook resume", "--skip, --from and --accept-changes are not for a run that is being rolled back").
		WithHint("Resume without them. What can't be undone is to be undone by hand; then give the run up with `runbook abandon`")
}

// tell records it in the run.
func (b byHand) tell(r *run.Runner) error {
	for _, step := range b.skip {
		if err := r.Skip(step, operator(), b.reason); err != nil {
			return err
		}
	}
	if b.from == "" {
		return nil
	}
	return r.From(b.from, operator(), b.reason)
}

func (a *app) resumeCommand() *cobra.Command {
	var given settings
	var hand byHand
	cmd := addJSONFlag(&cobra.Command{
		Use:   "resume [RUN]",
		Short: "Go on with a run that was interrupted or stopped",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.resume(args, given, hand)
		},
	})
	given.flags(cmd)
	cmd.Flags().StringArrayVar(&hand.skip, "skip", nil, "take `STEP` as done: it was seen to by hand (repeatable)")
	cmd.Flags().StringVar(&hand.from, "from", "", "go on at `STEP`: what comes before it was seen to by hand")
	cmd.Flags().BoolVar(&hand.accept, "accept-changes", false, "let the steps that have not begun follow the runbook as it is now")
	cmd.Flags().StringVar(&hand.reason, "reason", "", "why, for --skip and --from; kept in the journal")
	return cmd
}

func (a *app) resume(args []string, given settings, hand byHand) error {
	if err := hand.check(); err != nil {
		return err
	}
	id, err := a.pick(args, "can be resumed", func(s run.Summary) bool { return s.State.Phase.Open() })
	if err != nil {
		return err
	}
	return a.reopen("resume", id, given, func(r *run.Runner) (func(ctx, stop context.Context) error, error) {
		switch phase := r.State().Phase; phase {
		case run.Running:
			if err := a.followed(r, hand.accept); err != nil {
				return nil, err
			}
			return r.Run, hand.tell(r)
		case run.RollingBack:
			return r.Rollback, hand.unused()
		default:
			return nil, engine.Errorf("run "+id, "it is %s: there is nothing to resume", phase)
		}
	})
}

// followed shows how the runbook has changed since the run began. The run
// follows that only where it is told to.
func (a *app) followed(r *run.Runner, accept bool) error {
	changes := r.Changed()
	switch {
	case changes == "" && accept:
		return engine.Errorf("runbook resume", "the runbook has not changed since the run began").WithHint("Resume without --accept-changes")
	case changes == "":
		return nil
	case !accept:
		a.view.Changed(changes, "The run goes on with what it began with. --accept-changes lets the steps that have not begun follow the file.")
		return nil
	}
	a.view.Changed(changes, "The steps that have not begun follow it now.")
	a.warnExposed([]string{r.State().Header.File})
	src, err := readSources(r.State().Header.File)
	if err != nil {
		return err
	}
	p, err := r.Accept(a.stop, src, a.registry(), operator())
	if err != nil {
		return err
	}
	shown, err := p.Shown()
	if err != nil {
		return err
	}
	a.view.Plan(shown, a.store().Estimate(p))
	return nil
}

func (a *app) rollbackCommand() *cobra.Command {
	var given settings
	var yes bool
	cmd := addJSONFlag(&cobra.Command{
		Use:   "rollback [RUN]",
		Short: "Undo in reverse what a run changed",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.rollback(args, given, yes)
		},
	})
	given.flags(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before changing the host")
	return cmd
}

func (a *app) rollback(args []string, given settings, yes bool) error {
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
		if err := a.confirm("Undo this?", "Run "+id+" is as it was; `runbook show "+id+"` shows it"); err != nil {
			return err
		}
	}
	return a.reopen("rollback", id, given, func(r *run.Runner) (func(ctx, stop context.Context) error, error) {
		// The answer may have taken its time, and others gone on meanwhile.
		return r.Rollback, a.mayRollBack(id, r.State())
	})
}

// mayRollBack refuses to undo what is past undoing, and to pull a finished
// run's changes away from under one that stands half-way.
func (a *app) mayRollBack(id string, state *run.State) error {
	if !canRollBack(run.Summary{State: state}) {
		if len(state.Pruned) > 0 {
			return engine.Errorf("run "+id, "what it kept was deleted with `runbook prune`: it can't be rolled back")
		}
		return engine.Errorf("run "+id, "it is %s: there is nothing to roll back", state.Phase)
	}
	if state.Phase.Open() {
		return nil
	}
	return a.noneUnfinished()
}

func canRollBack(s run.Summary) bool {
	return s.State.Phase.Open() || s.State.Phase == run.Finished && len(s.State.Pruned) == 0
}

// pick is the run that the operator named, or the only one for which want
// holds.
func (a *app) pick(args []string, what string, want func(run.Summary) bool) (string, error) {
	if len(args) == 0 {
		return a.store().Pick(what, want)
	}
	return args[0], a.store().Exists(args[0])
}

// reopen takes a run up again under the lock.
func (a *app) reopen(doing, id string, given settings, choose func(*run.Runner) (func(ctx, stop context.Context) error, error)) error {
	set, err := given.read()
	if err != nil {
		return err
	}
	a.warnExposed(given.files)
	release, err := a.lock(doing, id)
	if err != nil {
		return err
	}
	defer release()
	r, err := a.store().Resume(id, a.host(), a.registry(), set, version, a.event)
	if err != nil {
		return err
	}
	work, err := choose(r)
	if err != nil {
		return err
	}
	return a.drive(r, id, work)
}
