package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"runbook/cmd/runbook/view"
)

const jsonFlag = "json"

// addJSONFlag gives cmd --json. What it says is read by chooseView, before the
// flags are parsed: a mistake in them is shown as JSON too.
func addJSONFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Bool(jsonFlag, false, "write JSON for programs on stdout (docs/json.md)")
	return cmd
}

// chooseView chooses how everything is shown.
func (a *app) chooseView(root *cobra.Command, args []string) {
	if !wantsJSON(args) {
		return
	}
	switch cmd, _, err := root.Find(args); {
	case err != nil:
		a.view = view.NewDocument("error", a.out, a.err)
	case cmd.Flags().Lookup(jsonFlag) == nil: // the command says that it has no such flag
	case slices.Contains([]string{"run", "resume", "rollback"}, cmd.Name()):
		a.view = view.NewEvents(a.out, a.err)
	default:
		a.view = view.NewDocument(cmd.Name(), a.out, a.err)
	}
}

// wantsJSON reports whether --json is among the arguments, wherever that is.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	wants := false
	for _, a := range args {
		value, given := strings.CutPrefix(a, "--"+jsonFlag+"=")
		if a == "--"+jsonFlag {
			wants = true
		} else if yes, err := strconv.ParseBool(value); given && err == nil { // as flags are read
			wants = yes
		}
	}
	return wants
}
