package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"runbook/actions"
	"runbook/cmd/runbook/trace"
	"runbook/cmd/runbook/view"
	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/host"
	"runbook/engine/journal"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// exitCode is what the process ends with.
type exitCode int

const (
	exitDone    exitCode = 0
	exitError   exitCode = 1 // an error, and nothing to resume
	exitChanges exitCode = 2 // plan --detailed-exitcode: there is something to do
	exitStopped exitCode = 3 // stopped; can be resumed
	exitWaiting exitCode = 4 // waits for an approval
	exitUndone  exitCode = 5 // failed, and was rolled back
	exitLocked  exitCode = 6 // another run holds the lock
)

// app is the program: what is wired once and used by every command.
type app struct {
	ctx, stop context.Context
	began     time.Time
	in        io.Reader
	lines     *bufio.Reader // of in, once somebody was asked
	verbose   bool
	out       *view.Output
	err       *os.File
	view      view.View
	human     *view.Human // for what only people read
	reg       *engine.Registry
	stateDir  string
	log       logging
	traceOnce sync.Once
	tracer    *trace.Tracer // nil where nobody asked for traces
	code      exitCode      // where there is no error
}

func newApp(ctx, stop context.Context) *app {
	out := view.NewOutput(os.Stdout)
	return &app{
		ctx: ctx, stop: stop, began: time.Now(), in: os.Stdin, out: out, err: os.Stderr,
		view: view.ForPeople(out, os.Stderr), human: view.NewHuman(out, os.Stderr),
	}
}

func (a *app) host() engine.Host { return veiled{host.NewLocal(a.registry()), &a.log.secrets} }

func (a *app) store() run.Store { return run.Store{Dir: a.stateDir, Machine: machineLock()} }

// registry is wired on first use: `runbook --help` needs none of it.
func (a *app) registry() *engine.Registry {
	if a.reg == nil {
		a.reg = actions.Registry(a.logger())
	}
	return a.reg
}

func (a *app) main(args []string) exitCode {
	defer a.endTraces()
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	a.chooseView(root, args)
	cmd, err := root.ExecuteC()
	if err != nil {
		err = noCommand(root, err)
	}
	code := a.end(err)
	a.view.Close()
	return a.unwritten(cmd.Name(), code)
}

// end shows how a command ended, and returns what to exit with.
func (a *app) end(err error) exitCode {
	if err != nil {
		a.view.Error(advised(err))
	}
	var stopped *stoppedError
	if errors.As(err, &stopped) {
		a.view.Stopped(stopped.id, stopped.phase, a.soFar(stopped.id))
	}
	if err == nil {
		return a.code
	}
	return codeOf(err)
}

// soFar is how a run stands, as its journal has it: without secrets. It is nil
// where the journal can't be read, which whoever takes the run up is told.
func (a *app) soFar(id string) *run.State {
	h, err := a.store().History(id, run.Wanted{Brief: true})
	if err != nil {
		return nil
	}
	return h.State
}

// advised adds to an error of a disk what to do, unless it says that already.
func advised(err error) error {
	if engine.HintOf(err) != "" {
		return err
	}
	return durable.Advised(err, "try again")
}

func codeOf(err error) exitCode {
	var locked *journal.LockedError
	var stopped *stoppedError
	var undone *run.RolledBackError
	switch {
	case errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &undone):
		return exitUndone
	case errors.Is(err, run.ErrWaiting):
		return exitWaiting
	case errors.As(err, &stopped):
		return exitStopped
	}
	return exitError
}

// stoppedError says that a run stopped and can be resumed.
type stoppedError struct {
	id    string
	phase run.Phase
	err   error
}

func (e *stoppedError) Error() string { return e.err.Error() }
func (e *stoppedError) Unwrap() error { return e.err }

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "runbook",
		Short: "Carry a written recovery procedure out, safely",
		Long: `runbook carries a written recovery procedure out, safely, on a machine that is
already in trouble. A runbook is an HCL file of steps. Look at what it would do
with plan; run checkpoints every step, so that an interrupted run resumes and a
finished one can be rolled back.`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          a.start,
	}
	root.SetVersionTemplate("runbook {{.Version}}\n")
	root.PersistentFlags().StringVar(&a.stateDir, "state-dir", defaultStateDir(), "directory that holds the runs' journals ("+stateDirVariable+")")
	root.AddCommand(
		a.validateCommand(), a.planCommand(), a.runCommand(), a.resumeCommand(), a.rollbackCommand(),
		a.approveCommand(), a.listCommand(), a.showCommand(), a.reportCommand(), a.abandonCommand(), a.pruneCommand(), a.readCommand(),
		a.drillCommand(), a.explainCommand(),
		a.runbooksCommand(), a.catCommand(), a.fmtCommand(), a.manCommand(), a.versionCommand(),
	)
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "show everything: all steps, what the data sources say, what holds already")
	a.log.flags(root)
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.verbose {
			a.view.Verbose()
		}
		if err := a.tellStateDir(); err != nil {
			return err
		}
		return a.log.open(a.view.Logs())
	}
	a.complete(root)
	explainMistakes(root)
	a.holdToLooking(root)
	return root
}

// machineLock is the lock that all runs of the machine share, whatever their
// state directory.
func machineLock() string {
	if path, ok := os.LookupEnv("RUNBOOK_LOCK"); ok {
		return path
	}
	return "/run/runbook.lock"
}

// stateDirVariable names the state directory where the flag doesn't.
const stateDirVariable = "RUNBOOK_STATE_DIR"

func defaultStateDir() string {
	if dir := os.Getenv(stateDirVariable); dir != "" {
		return dir
	}
	return "/var/lib/runbook"
}

// tellStateDir has the actions keep their records in the state directory, whatever
// has named it: they know it from the variable.
func (a *app) tellStateDir() error {
	dir, err := filepath.Abs(a.stateDir)
	if err == nil {
		err = os.Setenv(stateDirVariable, dir)
	}
	if err != nil {
		return engine.Errorf("--state-dir", "finding %s: %w", a.stateDir, err).WithHint("Name it by its absolute path")
	}
	return nil
}

// settings are the variables that the operator gave.
type settings struct{ files, assignments []string }

func (s settings) read() (lang.Settings, error) {
	return lang.ReadSettings(os.Environ(), s.files, s.assignments)
}

func (s *settings) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.assignments, "var", nil, "set a variable: `NAME=VALUE` (repeatable)")
	cmd.Flags().StringArrayVar(&s.files, "var-file", nil, "set variables from a `FILE` of NAME = VALUE lines (repeatable)")
}
