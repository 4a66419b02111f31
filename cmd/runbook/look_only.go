package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"runbook/cmd/runbook/sandbox"
)

// looking are the commands that change nothing. The kernel holds them to it.
// `fmt --check` and `fmt --diff` are like them and see to it themselves.
var looking = []string{"validate", "plan", "list", "show", "report", "read", "explain", "runbooks", "cat"}

// holdToLooking has the kernel see to it that the commands of looking change
// nothing. What they have open by then stays open: the log.
func (a *app) holdToLooking(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if !slices.Contains(looking, cmd.Name()) {
			continue
		}
		cmd.PreRunE = func(*cobra.Command, []string) error {
			if err := canWrite(cmd); err != nil {
				return err
			}
			err := sandbox.LookOnly(written(cmd)...)
			if err != nil && (cmd.Name() == "plan" || cmd.Name() == "read") {
				a.view.Note("Note: the kernel does not hold this %s to looking: %s.", cmd.Name(), strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			return nil
		}
	}
}
