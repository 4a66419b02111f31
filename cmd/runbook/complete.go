package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"runbook/engine/lang"
	"runbook/engine/run"
	"runbook/runbooks"
)

type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// complete tells the shell what may follow each command.
func (a *app) complete(root *cobra.Command) {
	all := func(run.Summary) bool { return true }
	open := func(s run.Summary) bool { return s.State == nil || s.State.Phase.Open() }
	follows := map[string]completer{
		"validate": once(completeBooks), "plan": once(completeBooks), "run": once(completeBooks),
		"runbooks": once(completeBooks), "cat": once(completeBooks),
		"fmt":     completeFiles,
		"approve": a.completeApproval, "prune": once(a.completeRuns(all)),
		"show": once(a.completeRuns(all)), "report": once(a.completeRuns(all)), "abandon": once(a.completeRuns(open)), "resume": once(a.completeRuns(open)),
		"rollback": once(a.completeRuns(func(s run.Summary) bool { return s.State != nil && canRollBack(s) })),
		"explain":  once(a.completeTopics),
		"read":     a.completeData,
		"drill":    once(completeSnapshots),
	}
	for _, cmd := range root.Commands() {
		cmd.ValidArgsFunction = follows[cmd.Name()]
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		if cmd.Flags().Lookup("var") != nil {
			_ = cmd.RegisterFlagCompletionFunc("var", a.completeVariables) // fails only for a flag that doesn't exist
		}
	}
	_ = root.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.MarkPersistentFlagDirname("state-dir")
}

// once completes the first argument alone.
func once(f completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(cmd, args, typed)
	}
}

// completeFiles lets the shell look for *.hcl files.
func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"hcl"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeSnapshots lets the shell look for *.db files.
func completeSnapshots(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"db"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeBooks offers runbook files, directories that may have some, and the
// runbooks that come with the binary.
func completeBooks(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	var found []string
	paths, _ := filepath.Glob(escapeGlob(typed) + "*") // the pattern is a good one
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			found = append(found, path+"/")
			directive |= cobra.ShellCompDirectiveNoSpace
		case strings.HasSuffix(path, ".hcl"):
			found = append(found, path)
		}
	}
	for _, name := range runbooks.Names() {
		if strings.HasPrefix(name, typed) && !slices.Contains(found, name) {
			found = append(found, name+"\tcomes with runbook")
		}
	}
	return found, directive
}

func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(text)
}

// completeRuns offers the runs for which want holds, the newest first.
func (a *app) completeRuns(want func(run.Summary) bool) completer {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		runs, err := a.store().List()
		if err != nil {
			return nil, directive | cobra.ShellCompDirectiveError
		}
		var found []string
		for _, s := range runs {
			if want(s) && strings.HasPrefix(s.ID, typed) {
				found = append(found, s.ID+"\t"+describe(s))
			}
		}
		return found, directive
	}
}

// completeApproval offers the runs that wait for an approval, then the step.
func (a *app) completeApproval(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.completeRuns(func(s run.Summary) bool { return s.State != nil && s.State.Waiting != nil })(cmd, args, typed)
	case 1:
		if state, err := a.store().Load(args[0]); err == nil && state.Waiting != nil {
			return []string{state.Waiting.Step}, cobra.ShellCompDirectiveNoFileComp
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func describe(s run.Summary) string {
	if s.State == nil {
		return "its journal can't be read"
	}
	state := string(s.State.Phase)
	if s.State.Phase.Open() {
		state = "unfinished"
	}
	return s.State.Header.Run.Runbook + ", " + state
}

func (a *app) completeTopics(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var found []string
	for _, t := range a.topics() {
		if strings.HasPrefix(t.name, typed) {
			summary, _, _ := strings.Cut(t.doc, ". ")
			found = append(found, t.name+"\t"+summary)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completeVariables offers the variables of the runbook that is on the line.
func (a *app) completeVariables(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) == 0 {
		return nil, directive
	}
	src, err := findSources(args[0])
	if err != nil {
		return nil, directive
	}
	book, _ := lang.Load(src, a.registry()) // its mistakes are for validate to tell
	var found []string
	for _, v := range book.Variables {
		if strings.HasPrefix(v.Name, typed) {
			found = append(found, v.Name+"=\t"+v.Description)
		}
	}
	return found, directive
}
