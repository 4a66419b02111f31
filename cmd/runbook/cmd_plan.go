package main

import (
	"github.com/spf13/cobra"

	"runbook/engine"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
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
	}
}

func (a *app) planCommand() *cobra.Command {
	var given settings
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a run would change, step by step; changes nothing",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			book, err := a.load(args[0])
			if err != nil {
				return err
			}
			p, _, err := a.plan(book, given, engine.PlannedRunID)
			if err != nil {
				return err
			}
			shown, err := p.Shown()
			if err != nil {
				return err
			}
			a.view.Plan(shown)
			return blocked(shown)
		},
	}
	given.flags(cmd)
	return cmd
}
