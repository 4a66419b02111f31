package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"runbook/cmd/runbook/sandbox"
	"runbook/engine/lang"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man",
		Short: "Print the manual page: runbook man | man -l -",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.human.Text(manualPage(cmd.Root()))
			return nil
		},
	}
}

// environment is what the process's environment can say, by variable.
var environment = [][2]string{
	{"RUNBOOK_STATE_DIR", "The directory that holds the runs' journals, in place of /var/lib/runbook."},
	{"RUNBOOK_LOCK", "The file of the lock that all runs of the machine share, in place of /run/runbook.lock. Empty for none."},
	{lang.EnvPrefix + "NAME", "The value of variable NAME, where --var and --var-file give none."},
	{"RUNBOOK_LOG", "The least level that is logged: trace, debug, info, warn, error or off. The log goes to standard error, or to the file that --log-file names."},
	{sandbox.Off, "Not empty: the kernel does not hold plan and the like to looking. For containers that end a process for asking."},
	{"OTEL_EXPORTER_OTLP_ENDPOINT", "An OpenTelemetry collector that takes OTLP over HTTP. A run sends it its trace: a span for the run and one for each step. OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and the other variables of the OpenTelemetry SDK count too."},
	{"NO_COLOR", "Not empty: no colours."},
}

// exitCodes are what the process ends with.
var exitCodes = [][2]string{
	{fmt.Sprint(int(exitDone)), "Done, or nothing to do."},
	{fmt.Sprint(int(exitError)), "An error; there is nothing to resume."},
	{fmt.Sprint(int(exitChanges)), "The plan has changes (with plan --detailed-exitcode)."},
	{fmt.Sprint(int(exitStopped)), "Stopped; runbook resume goes on."},
	{fmt.Sprint(int(exitWaiting)), "Waits for an approval."},
	{fmt.Sprint(int(exitUndone)), "Failed, and was rolled back."},
	{fmt.Sprint(int(exitLocked)), "Another run holds the lock."},
}

// page is a manual page that is being written, in roff.
type page struct{ strings.Builder }

func manualPage(root *cobra.Command) string {
	var p page
	p.macro(`TH RUNBOOK 8 "" "runbook %s" "System Administration"`, root.Version)
	p.section("NAME", "runbook - carry a written recovery procedure out, safely")
	p.section("SYNOPSIS", "runbook COMMAND [ARGUMENT]... [OPTION]...")
	p.section("DESCRIPTION", root.Long)
	p.section("COMMANDS", "")
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() {
			p.command(cmd)
		}
	}
	p.section("OPTIONS OF ALL COMMANDS", "")
	root.PersistentFlags().VisitAll(p.flag)
	p.table("ENVIRONMENT", environment)
	p.table("EXIT STATUS", exitCodes)
	p.section("SHELL COMPLETION", "runbook completion bash, zsh or fish prints a script that teaches the shell to complete commands, runbooks, runs and names. Put it where your shell looks for such scripts; runbook completion bash --help tells where.")
	return p.String()
}

func (p *page) macro(format string, args ...any) { fmt.Fprintf(p, "."+format+"\n", args...) }

func (p *page) section(title, text string) {
	p.macro("SH %s", title)
	p.text(text)
}

// text writes paragraphs.
func (p *page) text(text string) {
	if text == "" {
		return
	}
	p.WriteString(strings.ReplaceAll(roff(strings.TrimSpace(text)), "\n\n", "\n.PP\n") + "\n")
}

func (p *page) command(cmd *cobra.Command) {
	p.macro("SS %s", roff(strings.TrimSuffix(cmd.UseLine(), " [flags]")))
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	p.text(text)
	cmd.LocalNonPersistentFlags().VisitAll(p.flag)
}

func (p *page) flag(f *pflag.Flag) {
	if f.Hidden || f.Name == "help" {
		return
	}
	name, usage := pflag.UnquoteUsage(f)
	term := "--" + f.Name
	if f.Shorthand != "" {
		term = "-" + f.Shorthand + ", " + term
	}
	if name != "" {
		term += " " + strings.ToUpper(name)
	}
	p.term(term, usage)
}

func (p *page) table(title string, rows [][2]string) {
	p.section(title, "")
	for _, row := range rows {
		p.term(row[0], row[1])
	}
}

func (p *page) term(term, text string) {
	p.macro("TP")
	fmt.Fprintf(p, "\\fB%s\\fR\n", roff(term))
	p.text(text)
}

// roff escapes what means something else in roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
