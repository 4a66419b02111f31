package main

import (
	"path/filepath"
	"slices"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"runbook/cmd/runbook/sandbox"
	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/lang"
)

// stdin is how the operator names the standard input.
const stdin = "-"

// formatting is one file, as it is and as it should be.
type formatting struct{ name, old, new string }

func (f formatting) differs() bool { return f.old != f.new }

func (a *app) fmtCommand() *cobra.Command {
	var check, showDiff bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Lay runbooks out in the usual way",
		Long: `fmt rewrites runbooks in the usual layout, and names those that it has changed.
Without a FILE it takes all *.hcl files of the working directory; the FILE - is
the standard input, and its layout goes to the standard output. With --check or
--diff no file is changed. Where one FILE has a syntax error, none is changed.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if check || showDiff {
				_ = sandbox.LookOnly() // where the kernel can't, nothing is lost
			}
			files, err := a.formatAll(args)
			if err != nil {
				return err
			}
			files = slices.DeleteFunc(files, func(f formatting) bool { return f.name != stdin && !f.differs() })
			return a.formatted(files, check, showDiff)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; list the files that differ, and exit with 1 if there are any")
	cmd.Flags().BoolVar(&showDiff, "diff", false, "change nothing; show what would be changed")
	return cmd
}

// formatAll reads and lays out everything before anything is written.
func (a *app) formatAll(names []string) ([]formatting, error) {
	names, err := formatNames(names)
	if err != nil {
		return nil, err
	}
	var files []formatting
	for _, name := range names {
		f, err := a.format(name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func formatNames(names []string) ([]string, error) {
	if len(names) > 0 {
		return names, nil
	}
	names, err := filepath.Glob("*.hcl")
	if err == nil && len(names) == 0 {
		err = engine.Errorf("runbook fmt", "there are no *.hcl files in this directory").WithHint("Name the files, or - for the standard input")
	}
	return names, err
}

func (a *app) format(name string) (formatting, error) {
	text, err := a.readText(name)
	if err != nil {
		return formatting{}, err
	}
	laidOut, err := lang.Format(lang.Source{Name: name, Text: text})
	return formatting{name: name, old: text, new: laidOut}, err
}

func (a *app) readText(name string) (string, error) {
	if name == stdin {
		text, err := lang.ReadAtMost(a.in, "standard input", lang.MostText)
		return string(text), err
	}
	text, err := lang.ReadFile(name, lang.MostText)
	return string(text), err
}

// formatted does with the files what the operator asked for.
func (a *app) formatted(files []formatting, check, showDiff bool) error {
	differing := 0
	for _, f := range files {
		if f.differs() {
			differing++
		}
		switch {
		case showDiff:
			a.human.Shown(string(diff.Diff(f.name, []byte(f.old), f.name+" (formatted)", []byte(f.new))))
		case check:
			if f.differs() {
				a.human.Shown(f.name + "\n")
			}
		case f.name == stdin:
			a.human.Text(f.new)
		default:
			if err := durable.Rewrite(f.name, []byte(f.new)); err != nil {
				return err
			}
			a.human.Shown(f.name + "\n")
		}
	}
	if check && differing > 0 {
		return engine.Errorf("runbook fmt", "not in the usual layout: %d of the files", differing).WithHint("`runbook fmt` lays them out")
	}
	return nil
}
