package main

import (
	"github.com/spf13/cobra"

	"runbook/engine"
	"runbook/engine/run"
)

func (a *app) listCommand() *cobra.Command {
	var all bool
	cmd := addJSONFlag(&cobra.Command{
		Use:   "list",
		Short: "List the runs of this machine, the newest first",
		Long: `List the runs of this machine, the newest first. Of the runs that come again and
again and went well, such as backups, the newest stands for all; --all lists them.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			runs, err := a.store().List()
			if err != nil {
				return err
			}
			a.view.List(runs, all)
			return nil
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "list every run, also those that come again and again and went well")
	return cmd
}

func (a *app) showCommand() *cobra.Command {
	var withLog bool
	cmd := addJSONFlag(&cobra.Command{
		Use:   "show [RUN]",
		Short: "Show a run: its steps, results, and what it kept; the newest run if none is named",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := a.named(args)
			if err != nil {
				return err
			}
			whole, err := cmd.Flags().GetBool(jsonFlag)
			if err != nil {
				return err
			}
			return a.show(id, run.Wanted{Log: withLog, Brief: !whole})
		},
	})
	cmd.Flags().BoolVar(&withLog, "log", false, "show the records of its journal as well, the oldest first")
	return cmd
}

func (a *app) show(id string, want run.Wanted) error {
	h, err := a.store().History(id, want)
	if err != nil {
		return err
	}
	a.view.Show(h.State, h.Busy, h.Log)
	return nil
}

// named is the run that the operator named, or the newest one.
func (a *app) named(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	id, err := a.store().Newest()
	if err == nil && id == "" {
		err = engine.Errorf(a.stateDir, "there are no runs yet")
	}
	return id, err
}

func (a *app) abandonCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "abandon RUN --reason TEXT",
		Short: "Give an unfinished run up, leaving the host as it is",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if reason == "" {
				return engine.Errorf("runbook abandon", "it needs a --reason").WithHint("It is kept in the run's journal, for those who ask later")
			}
			if err := a.store().Exists(args[0]); err != nil {
				return err
			}
			release, err := a.lock("abandon", args[0])
			if err != nil {
				return err
			}
			defer release()
			if err := a.store().Abandon(args[0], reason); err != nil {
				return err
			}
			a.view.Note("Run %s is given up. The host was left as it is.", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it is given up; kept in its journal")
	return cmd
}
