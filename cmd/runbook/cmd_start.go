package main

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"
)

// start says what to type to somebody who has typed `runbook` and nothing more.
func (a *app) start(*cobra.Command, []string) error {
	id, err := a.store().Unfinished()
	a.human.Start(id)
	if id != "" || errors.Is(err, fs.ErrPermission) {
		return nil // who may not see the runs has none to go on with
	}
	return err
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.human.Text("runbook " + version + "\n")
			return nil
		},
	}
}
