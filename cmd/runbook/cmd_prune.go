package main

import (
	"github.com/spf13/cobra"

	"runbook/engine"
)

func (a *app) pruneCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "prune RUN",
		Short: "Delete for good what a run that has ended keeps, after asking",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.prune(args[0], yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before deleting")
	return cmd
}

func (a *app) prune(id string, yes bool) error {
	state, err := a.store().Load(id)
	if err != nil {
		return err
	}
	if state.Phase.Open() {
		return engine.Errorf("run "+id, "it has not ended: what it keeps may still be needed").
			WithHint("Go on with `runbook resume %s`, or undo it with `runbook rollback %s`", id, id)
	}
	kept, err := state.ToPrune(a.ctx, a.host())
	if err != nil {
		return err
	}
	if a.human.Kept(id, kept); len(kept) == 0 {
		return nil
	}
	if !yes {
		if err := a.confirm("Delete this for good? The run can't be rolled back then.", "Everything that run "+id+" keeps is still there"); err != nil {
			return err
		}
	}
	release, err := a.lock("prune", id)
	if err != nil {
		return err
	}
	defer release()
	return a.store().Prune(a.ctx, id, a.host(), func(path string) { a.view.Note("deleted %s", path) })
}
