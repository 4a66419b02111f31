package main

import (
	"github.com/spf13/cobra"

	"runbook/cmd/runbook/view"
	"runbook/engine/durable"
	"runbook/engine/lang"
	"runbook/engine/run"
)

func (a *app) reportCommand() *cobra.Command {
	var html bool
	var out string
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Write a report of a run for those who look back at it; of the newest run if none is named",
		Long: `Write a report of a run for those who look back at it: how it ended, what took
how long, what changed, what failed, and who decided what. It is made from the
run's journal alone, so that it can be made later, and with --state-dir on
another machine. It is Markdown, or with --html a page that needs nothing beside
it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := a.named(args)
			if err != nil {
				return err
			}
			return a.report(id, html, out)
		},
	}
	cmd.Flags().BoolVar(&html, "html", false, "write a page of HTML instead of Markdown")
	cmd.Flags().StringVar(&out, "out", "", "write it to `FILE` instead of standard output")
	return cmd
}

func (a *app) report(id string, html bool, out string) error {
	h, err := a.store().History(id, run.Wanted{})
	if err != nil {
		return err
	}
	// A runbook that this version can't read has a report all the same: without
	// what only its text tells.
	book, _ := lang.Load(lang.NewSources(h.State.Header.Sources...), a.registry())
	text, err := view.Report(h, book, html)
	if err != nil {
		return err
	}
	if out == "" {
		a.human.Text(text)
		return nil
	}
	if err := durable.WriteFile(out, []byte(text), 0o600); err != nil {
		return err
	}
	a.view.Note("The report is written to %s.", out)
	return nil
}
