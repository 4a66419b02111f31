// Package view shows what the engine does: to people, on a terminal or not, and
// to programs.
package view

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// A View shows what a command does. It is chosen before the first thing can
// fail. Events may come from several goroutines.
type View interface {
	// Valid says that a runbook has no mistakes.
	Valid(book *lang.Runbook)
	// Books lists runbooks, and Book tells of one what it does and can be told.
	Books(all []Book)
	Book(b Book)
	// Plan shows a plan without its sensitive values.
	Plan(p *run.Plan, e run.Estimate)
	// RollbackPlan shows what a rollback would undo, in its order.
	RollbackPlan(s *run.State)
	// Event shows one event of a run.
	Event(e engine.Event)
	// List shows runs, with all too those of which there is nothing to tell. Show
	// shows one of them, with its journal's records where they were asked for.
	List(runs []run.Summary, all bool)
	Show(s *run.State, busy bool, log []run.LogEntry)
	// Read shows what a data source says.
	Read(s engine.DataSpec, r engine.Result)
	// Drill shows what a drill found.
	Drill(d Drill)
	// Changed shows how a runbook has changed since its run began, and what
	// follows.
	Changed(diff, what string)
	// Verbose has all shown that there is, from now on.
	Verbose()
	// Recall shows once more, right above a question, what a plan says first.
	Recall(p *run.Plan)
	// Asks reports whether a person reads this, who can be asked. Ask puts a
	// question; the answer follows on the same line.
	Asks() bool
	Ask(question string)
	// Note tells something beside the result.
	Note(format string, args ...any)
	// Error shows what went wrong, where, and what to do now.
	Error(err error)
	// Stopped says that a run stopped early, what it has done so far, and how to go
	// on. s is nil where that isn't known.
	Stopped(id string, phase run.Phase, s *run.State)
	// Logs is where the logs of libraries go.
	Logs() io.Writer
	// Close ends the output.
	Close()
}

var (
	_ View = (*Human)(nil)
	_ View = (*Live)(nil)
	_ View = (*JSON)(nil)
)

// ForPeople returns the view for whoever reads out and err.
func ForPeople(out *Output, err *os.File) View {
	h := NewHuman(out, err)
	if term := os.Getenv("TERM"); !isatty.IsTerminal(out.Fd()) || term == "" || term == "dumb" {
		return h
	}
	return NewLive(h, out, isatty.IsTerminal(err.Fd()))
}
