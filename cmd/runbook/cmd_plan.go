package main

import (
	"time"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/run"
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
	var out string
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a run would change, step by step; changes nothing",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.showPlan(args[0], given, out)
		},
	}
	given.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "keep the plan in `FILE`, to be carried out with runbook run FILE")
	return cmd
}

func (a *app) showPlan(file string, given settings, out string) error {
	book, err := a.load(file)
	if err != nil {
		return err
	}
	id := engine.PlannedRunID
	if out != "" {
		id = run.NewID(time.Now())
	}
	p, scope, err := a.plan(book, given, id)
	if err != nil {
		return err
	}
	shown, err := p.Shown()
	if err != nil {
		return err
	}
	a.view.Plan(shown)
	if err := blocked(shown); err != nil || out == "" {
		return err
	}
	text, err := run.EncodePlan(a.host(), scope, p, version)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(out, text, 0o600); err != nil {
		return err
	}
	a.view.Note("The plan is kept. Carry it out with `runbook run %s`.", out)
	return nil
}
