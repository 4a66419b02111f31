package main

import (
	"time"

	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/lang"
	"runbook/engine/run"
)

func (a *app) validateCommand() *cobra.Command {
	return addJSONFlag(&cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a runbook for mistakes, without looking at the host",
		Example: "  runbook validate mine.hcl",
		Args:    cobra.ExactArgs(1),
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
	var given settings
	var out string
	var detailed bool
	cmd := addJSONFlag(&cobra.Command{
		Use:     "plan FILE",
		Short:   "Show what a run would change, step by step; changes nothing",
		Example: "  runbook plan etcd-recover.hcl",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			changes, err := a.showPlan(args[0], given, out)
			if detailed && changes {
				a.code = exitChanges
			}
			return err
		},
	})
	given.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "keep the plan in `FILE`, to be carried out with runbook run FILE")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 0 if there is nothing to do, 1 after an error, 2 if there is something to do")
	return cmd
}

// showPlan shows the plan of a runbook, and reports whether there is something
// to do.
func (a *app) showPlan(file string, given settings, out string) (changes bool, err error) {
	book, err := a.load(file)
	if err != nil {
		return false, err
	}
	id := engine.PlannedRunID
	if out != "" {
		id = run.NewID(time.Now())
	}
	p, scope, err := a.plan(book, given, id)
	if err != nil {
		return false, err
	}
	shown, err := p.Shown()
	if err != nil {
		return false, err
	}
	a.view.Plan(shown, a.store().Estimate(p))
	a.warnExposed(append(filesOf(book.Sources), given.files...))
	if err := shown.BlockedBy(); err != nil || out == "" {
		return !p.NothingToDo(), err
	}
	return !p.NothingToDo(), a.keepPlan(scope, p, out)
}

// keepPlan writes a plan to a file, from which it can be carried out.
func (a *app) keepPlan(scope *lang.Scope, p *run.Plan, out string) error {
	text, err := run.EncodePlan(a.host(), scope, p, version)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(out, text, 0o600); err != nil {
		return err
	}
	a.view.Note("The plan is kept: sha256:%s\nCarry it out with `runbook run %s`. With --sha256, it is refused where somebody has changed it.", digest(text), out)
	return nil
}
