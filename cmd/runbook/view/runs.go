package view

import (
	"fmt"
	"text/tabwriter"
	"time"

	"runbook/engine/run"
)

// List shows runs, a line each.
func (h *Human) List(runs []run.Summary) {
	if len(runs) == 0 {
		h.line("There are no runs yet.")
		return
	}
	w := tabwriter.NewWriter(h.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tRUNBOOK\tSTATE\tSTEPS DONE\tUPDATED")
	for _, r := range runs {
		if r.State == nil {
			word := "unreadable"
			if r.GivenUp {
				word += ", given up"
			}
			fmt.Fprintf(w, "%s\t\t%s\t\t%s\n", r.ID, word, r.Err)
			continue
		}
		steps := r.State.Header.Plan.Steps
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%s\n", r.ID, r.State.Header.Run.Runbook, status(r.State, r.Busy),
			doneOf(r.State), len(steps), r.State.Updated.Local().Format(time.DateTime))
	}
	_ = w.Flush() // as with line
}

func doneOf(s *run.State) int {
	n := 0
	for _, p := range s.Header.Plan.Steps {
		if st := s.Steps[p.Name]; st != nil && st.Done {
			n++
		}
	}
	return n
}

// status tells a run that works from one that only stands at that phase.
func status(s *run.State, busy bool) string {
	switch {
	case !s.Phase.Open() || busy:
		return string(s.Phase)
	case s.Waiting != nil:
		return "waits for approval of " + s.Waiting.Step
	case s.Failure != nil:
		return "failed at " + s.Failure.Step
	case s.Interrupted:
		return "stopped"
	}
	return "interrupted"
}

// Show shows one run.
func (h *Human) Show(s *run.State) {
	head := s.Header
	h.line("%s of %s on %s", h.bold.Sprintf("Run %s", head.Run.ID), head.Run.Runbook, head.Host)
	h.line("  state    %s", status(s, false))
	h.line("  started  %s", head.Run.Started.Local().Format(time.DateTime))
	h.line("  updated  %s", s.Updated.Local().Format(time.DateTime))
	h.line("  version  %s", head.Version)
	for i, p := range head.Plan.Steps {
		h.stepState(i+1, p, s.Steps[p.Name])
	}
	if s.Failure != nil {
		h.line("\n%s step %s: %s", h.bad.Sprint("Failed:"), s.Failure.Step, s.Failure.Error)
	}
	for _, o := range s.Outputs {
		h.line("\noutput %s = %s", o.Name, o.Text())
	}
	if w := s.Waiting; w != nil {
		h.line("\nStep %s waits for an approval: %s\n  agree:    runbook approve %s %s", w.Step, w.Message, head.Run.ID, w.Step)
	}
	if s.Phase.Open() {
		h.line("\nIt can be taken up again:")
		howToGoOn(h.line, head.Run.ID, s.Phase)
	}
}

func (h *Human) stepState(n int, p run.StepPlan, st *run.StepState) {
	word := "not begun"
	switch {
	case st == nil:
	case st.Undone && st.UndoNote != "":
		word = "left as it is: " + st.UndoNote
	case st.Undone:
		word = h.note.Sprint("undone")
	case st.Failed:
		word = h.bad.Sprint("failed, and passed over")
	case st.SkippedBy != "":
		word = h.note.Sprintf("passed over by %s: %s", st.SkippedBy, st.Skipped)
	case st.Skipped != "":
		word = "passed over: " + st.Skipped
	case st.Done && st.Unchanged:
		word = h.good.Sprint("done, nothing changed")
	case st.Done:
		word = h.good.Sprintf("done in %s", took(st.Took))
	case st.InDoubt():
		word = h.bad.Sprint("begun, not finished")
	}
	h.line("\n%s  %s  %s", h.bold.Sprintf("%2d  %s", n, p.Name), h.faint.Sprint(p.Action), word)
	if st == nil {
		return
	}
	if a := st.Approval; a != nil {
		h.line("      approved by %s at %s %s", a.By, a.At.Local().Format(time.DateTime), a.Reason)
	}
	for _, it := range st.Change.Items {
		h.item("    ", it)
	}
	for _, kept := range st.Change.Kept {
		if st.Done && !st.Undone {
			h.line("      kept: %s", kept)
		}
	}
	h.result(st.Result, "      ")
}

// RollbackPlan shows what a rollback would undo, in its order.
func (h *Human) RollbackPlan(s *run.State) {
	head := s.Header
	h.line("%s of %s on %s would be undone:", h.bold.Sprintf("Run %s", head.Run.ID), head.Run.Runbook, head.Host)
	n := 0
	for i := len(head.Plan.Steps) - 1; i >= 0; i-- {
		p := head.Plan.Steps[i]
		st := s.Steps[p.Name]
		if st == nil || st.Undone || st.Change.Empty() { // never begun, or nothing to undo
			continue
		}
		n++
		h.line("\n%s  %s", h.bold.Sprintf("%2d  %s", i+1, p.Name), h.faint.Sprint(p.Action))
		if p.CantUndo != "" {
			h.line("    %s left as it is: %s", h.bad.Sprint("!"), p.CantUndo)
			continue
		}
		for _, it := range st.Change.Items {
			it.Before, it.After, it.Note = it.After, it.Before, ""
			h.item("    ", it)
		}
	}
	if n == 0 {
		h.line("  nothing: it has changed nothing")
	}
}

// Kept shows what a run keeps.
func (h *Human) Kept(id string, paths []string) {
	if len(paths) == 0 {
		h.line("Run %s keeps nothing.", id)
		return
	}
	h.line("Run %s keeps:", id)
	for _, path := range paths {
		h.line("  %s", path)
	}
}

// Changed shows how a runbook has changed since its run began, and what
// follows.
func (h *Human) Changed(diff, what string) {
	h.Note("The runbook has changed since the run began:\n\n%s\n%s\n", diff, what)
}
