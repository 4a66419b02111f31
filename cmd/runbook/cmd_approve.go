package main

import "github.com/spf13/cobra"

func (a *app) approveCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "approve RUN STEP",
		Short: "Agree to the step that a run waits for; resume then goes on",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.store().Exists(args[0]); err != nil {
				return err
			}
			release, err := a.lock("approve", args[0])
			if err != nil {
				return err
			}
			defer release()
			if err := a.store().Approve(args[0], args[1], operator(), reason); err != nil {
				return err
			}
			a.view.Note("Step %s is approved. Go on with `runbook resume %s`.", args[1], args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept in the run's journal")
	return cmd
}
