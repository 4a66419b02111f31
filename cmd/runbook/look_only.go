package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"runbook/cmd/runbook/sandbox"
	"runbook/engine"
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

// canWrite refuses a file that can't be written, before the work for it is done.
func canWrite(cmd *cobra.Command) error {
	for _, dir := range written(cmd) {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return engine.Errorf("--out", "%s is no directory", dir)
		}
		name := cmd.Flags().Lookup("out").Value.String()
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return engine.Errorf("--out", "%s is a directory", name).WithHint("Name a file in it")
		}
	}
	return nil
}

// written is the directory of the file that a command was asked to write.
func written(cmd *cobra.Command) []string {
	if out := cmd.Flags().Lookup("out"); out != nil && out.Value.String() != "" {
		return []string{filepath.Dir(out.Value.String())}
	}
	return nil
}
