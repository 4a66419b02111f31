package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"runbook/engine"
	"runbook/engine/lang"
)

// explainMistakes has a mistake in the arguments or flags of a command told with
// what to type instead.
func explainMistakes(root *cobra.Command) {
	root.SetFlagErrorFunc(flagMistake)
	for _, cmd := range root.Commands() {
		check := cmd.Args
		if check == nil {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			return argumentMistake(cmd, args)
		}
	}
}

// argumentMistake says which argument is missing, or is one too many.
func argumentMistake(cmd *cobra.Command, args []string) error {
	var wanted []string
	most := 0
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "-") {
			break
		}
		if most++; !strings.HasPrefix(word, "[") {
			wanted = append(wanted, word)
		}
	}
	if len(args) < len(wanted) {
		return engine.Errorf(cmd.CommandPath(), "it needs %s", strings.Join(wanted[len(args):], " and ")).WithHint("%s", howToCall(cmd))
	}
	return engine.Errorf(cmd.CommandPath(), "%q is one argument too many", args[most]).WithHint("%s", howToCall(cmd))
}

// howToCall says what to type.
func howToCall(cmd *cobra.Command) string {
	call := "`" + strings.TrimSuffix(cmd.UseLine(), " [flags]") + "`"
	if cmd.Example == "" {
		return "Type " + call + ". `" + cmd.CommandPath() + " --help` tells more"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	return "Type " + call + ", for example `" + strings.TrimSpace(first) + "`"
}

// flagMistake says what is wrong with a flag.
func flagMistake(cmd *cobra.Command, err error) error {
	help := "`" + cmd.CommandPath() + " --help` lists its flags"
	var unknown *pflag.NotExistError
	var lacking *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return engine.Errorf(cmd.CommandPath(), "there is no flag -%s", unknown.GetSpecifiedName()).WithHint("%s", help)
	case errors.As(err, &unknown):
		hint := help
		if near := lang.Closest(unknown.GetSpecifiedName(), flagNames(cmd)); near != "" {
			hint = fmt.Sprintf("Did you mean --%s? %s", near, help)
		}
		return engine.Errorf(cmd.CommandPath(), "there is no flag --%s", unknown.GetSpecifiedName()).WithHint("%s", hint)
	case errors.As(err, &lacking):
		name, usage := pflag.UnquoteUsage(lacking.GetFlag())
		flag := "--" + lacking.GetFlag().Name
		return engine.Errorf(cmd.CommandPath(), "%s has no value", flag).
			WithHint("Type %s %s: %s", flag, name, usage)
	}
	return engine.Errorf(cmd.CommandPath(), "%w", err).WithHint("%s", help)
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// noCommand says what to type in place of a command that there isn't, and
// returns any other error as it is.
func noCommand(root *cobra.Command, err error) error {
	var name string
	if _, scan := fmt.Sscanf(err.Error(), "unknown command %q", &name); scan != nil {
		return err
	}
	unknown := engine.Errorf(root.Name(), "there is no command %q", name)
	if strings.HasSuffix(name, bookSuffix) {
		return unknown.WithHint("To carry it out, type `runbook run %s`", name)
	}
	hint := "`runbook --help` lists the commands"
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "Did you mean `runbook " + strings.Join(near, "` or `runbook ") + "`? " + hint
	}
	return unknown.WithHint("%s", hint)
}
