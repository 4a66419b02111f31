package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"runbook/cmd/runbook/trace"
	"runbook/cmd/runbook/view"
	"runbook/engine"
)

// logging is where and how the log is written.
type logging struct {
	file, format string
	logger       hclog.Logger
	out          *view.Output                   // the file; nil where there is none
	secrets      atomic.Pointer[engine.Secrets] // that it is without
}

func (l *logging) flags(root *cobra.Command) {
	root.PersistentFlags().StringVar(&l.file, "log-file", "", "append a log to `FILE` instead of standard error (level: RUNBOOK_LOG, or else info)")
	root.PersistentFlags().StringVar(&l.format, "log-format", "text", "how the log is written: text or json")
}

// open opens the log. RUNBOOK_LOG names the least level that is written:
// trace, debug, info, warn, error or off. Without a file it goes to standard.
func (l *logging) open(standard io.Writer) error {
	level, err := l.level()
	if err != nil {
		return err
	}
	if l.format != "text" && l.format != "json" {
		return engine.Errorf("--log-format "+l.format, "there is no such format").WithHint("Write text or json")
	}
	options := &hclog.LoggerOptions{Name: "runbook", Level: level, Output: standard, JSONFormat: l.format == "json"}
	if l.file != "" {
		f, err := os.OpenFile(l.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return engine.Errorf("--log-file", "%w", err)
		}
		l.out = view.NewOutput(f) // the process's end closes it
		options.Output = l.out
	}
	options.Output = veil{options.Output, &l.secrets}
	l.logger = hclog.New(options)
	return nil
}

func (l *logging) level() (hclog.Level, error) {
	text := os.Getenv("RUNBOOK_LOG")
	switch level := hclog.LevelFromString(text); {
	case level != hclog.NoLevel:
		return level, nil
	case text != "":
		return level, engine.Errorf("RUNBOOK_LOG="+text, "there is no such level").WithHint("Use trace, debug, info, warn, error or off")
	case l.file != "":
		return hclog.Info, nil
	}
	return hclog.Off, nil
}

// changing are the commands whose exit code tells what they did to the host.
// What the others do is to show something.
var changing = []string{"run", "resume", "rollback", "approve", "abandon", "prune", "drill"}

// unwritten tells of output that could not be written, and returns the exit
// code in view of it. A reader that has seen enough and gone is no failure.
func (a *app) unwritten(cmd string, code exitCode) exitCode {
	if err := failed(a.log.out); err != nil {
		a.human.Note("The log is incomplete: %s.", err)
	}
	err := failed(a.out)
	if err == nil {
		return code
	}
	a.human.Note("What is shown is incomplete: %s.", err)
	if slices.Contains(changing, cmd) {
		a.human.Note("`runbook list` and `runbook show` tell what was done.")
		return code
	}
	return exitError
}

func failed(o *view.Output) error {
	if o == nil || errors.Is(o.Err(), syscall.EPIPE) {
		return nil
	}
	return o.Err()
}

// logger takes what runbook and its libraries have to say beside the views.
func (a *app) logger() hclog.Logger {
	if a.log.logger == nil {
		return hclog.NewNullLogger() // a command that wants none
	}
	return a.log.logger
}

// event shows an event, and tells the log and the collector of traces.
func (a *app) event(e engine.Event) {
	a.view.Event(e)
	logEvent(a.logger(), e)
	a.traced(e)
}

// traced hands an event to the tracer, which is made for the first one: most
// commands have none.
func (a *app) traced(e engine.Event) {
	a.traceOnce.Do(func() {
		if trace.Wanted() {
			a.tracer = trace.New(version, a.logger())
		}
	})
	a.tracer.Event(e)
}

// endTraces hands on what is still to be sent.
func (a *app) endTraces() {
	a.traceOnce.Do(func() {}) // a late request to stop begins no trace
	a.tracer.Close()
}

func logEvent(l hclog.Logger, e engine.Event) {
	what := strings.TrimPrefix(fmt.Sprintf("%T", e), "engine.")
	switch e := e.(type) {
	case engine.RunStarted:
		l.Info(what, "run", e.ID, "runbook", e.Runbook, "host", e.Host, "resumed", e.Resumed)
	case engine.RunFinished:
		l.Info(what, "run", e.ID, "took", e.Took)
	case engine.RolledBack:
		l.Info(what, "run", e.ID)
	case engine.JournalTorn:
		l.Warn(what, "bytes", e.Bytes, "aside", e.Aside)
	case engine.Stopping:
		l.Info(what)
	default:
		logStep(l, what, e)
	}
}

func logStep(l hclog.Logger, what string, e engine.Event) {
	switch e := e.(type) {
	case engine.StepStarted:
		l.Info(what, "step", e.Step.Name, "action", e.Step.Action)
	case engine.StepExamined:
		l.Info(what, "step", e.Step.Name, "finding", e.Finding)
	case engine.StepProgress:
		l.Debug(what, "step", e.Step.Name, "doing", e.Progress.Doing)
	case engine.StepRetried:
		l.Warn(what, "step", e.Step.Name, "attempt", e.Attempt, "error", e.Err)
	case engine.StepDone:
		l.Info(what, "step", e.Step.Name, "unchanged", e.Unchanged, "took", e.Took)
	case engine.StepSkipped:
		l.Info(what, "step", e.Step.Name, "reason", e.Reason)
	case engine.StepWaiting:
		l.Info(what, "step", e.Step.Name, "message", e.Message)
	case engine.StepFailed:
		l.Error(what, "step", e.Step.Name, "error", e.Err)
	case engine.UndoStarted:
		l.Info(what, "step", e.Step.Name)
	case engine.UndoDone:
		l.Info(what, "step", e.Step.Name, "reason", e.Reason)
	case engine.UndoFailed:
		l.Error(what, "step", e.Step.Name, "error", e.Err)
	}
}
