package main

import (
	"github.com/spf13/cobra"

	"runbook/engine"
)

func (a *app) validateCommand() *cobra.Command {
	return addJSONFlag(&cobra.Command{
		Use:   "validate FILE",
		Short: "Check a runbook for mistakes, without looking at the host",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			book, err := a.load(args[0])
			if err != nil {
				return err
			}
			a.view.Valid(book)
			return nil
		},
	})
}

func (a *app) planCommand() *cobra.Command {
	var settings []string
	var detailed bool
	cmd := addJSONFlag(&cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a run would change, step by step; changes nothing",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			changes, err := a.showPlan(args[0], settings)
			if detailed && changes {
				a.code = exitChanges
			}
			return err
		},
	})
	addVarFlag(cmd, &settings)
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 0 if there is nothing to do, 1 after an error, 2 if there is something to do")
	return cmd
}

// showPlan shows the plan of a runbook, and reports whether there is something
// to do.
func (a *app) showPlan(file string, settings []string) (changes bool, err error) {
	book, err := a.load(file)
	if err != nil {
		return false, err
	}
	p, _, err := a.plan(book, settings, engine.PlannedRunID)
	if err != nil {
		return false, err
	}
	shown, err := p.Shown()
	if err != nil {
		return false, err
	}
	a.view.Plan(shown, a.store().Estimate(p))
	return !p.NothingToDo(), blocked(shown)
}
