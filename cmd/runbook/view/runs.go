package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// standing tells a run that works from one that only stands at that phase.
func standing(s *run.State, busy bool) string {
	word := shortStanding(s, busy)
	switch {
	case !s.Phase.Open() || busy:
	case s.Waiting != nil:
		word += " of " + s.Waiting.Step
	case s.Failure != nil:
		word += " at " + s.Failure.Step
	}
	return word
}

// shortStanding is standing without the step.
func shortStanding(s *run.State, busy bool) string {
	if !s.Phase.Open() || busy {
		return string(s.Phase)
	}
	word := "interrupted"
	switch {
	case s.Waiting != nil:
		return "waits for approval"
	case s.Failure != nil:
		word = "failed"
	case s.Interrupted:
		word = "stopped"
	}
	if s.Phase == run.RollingBack {
		word = "rollback " + word
	}
	return word
}

// Show shows one run, and its journal's records where there are any to show.
func (h *Human) Show(s *run.State, busy bool, log []run.LogEntry) {
	defer h.inLargePieces()()
	head := s.Header
	h.line("%s of %s on %s", h.bold.Sprintf("Run %s", head.Run.ID), head.Run.Runbook, head.Host)
	h.line("  state    %s", standing(s, busy))
	h.line("  started  %s", moment(head.Run.Started))
	h.line("  updated  %s", moment(s.Updated))
	h.line("  version  %s", head.Version)
	h.line("  took     %s", took(s.Took()))
	h.stepStates(s)
	h.kept(s)
	h.log(log)
	if f := s.Failure; f != nil {
		h.line("\n%s step %s", h.bad.Sprint("Failed:"), f.Step)
		h.line("%s", h.wrap(f.Error, "  "))
	}
	h.outputs(s)
	if w := s.Waiting; w != nil {
		h.line("\nStep %s waits for an approval: %s\n  agree:    runbook approve %s %s", w.Step, w.Message, head.Run.ID, w.Step)
	}
	if s.Phase.Open() {
		h.line("\nIt can be taken up again:")
		howToGoOn(h.line, head.Run.ID, s.Phase, standsAt(s))
	}
}

// stepStates shows the steps of a run that have come to something, and how many
// have not.
func (h *Human) stepStates(s *run.State) {
	var passed, waiting []string
	for i, p := range s.Header.Plan.Steps {
		st := s.Steps[p.Name]
		switch {
		case h.verbose:
			h.stepState(i+1, p, st)
		case st == nil || !st.Done && !st.Failed && st.Started.IsZero() && st.Error == "":
			waiting = append(waiting, p.Name)
		case st.Skipped != "" && st.SkippedBy == "":
			passed = append(passed, p.Name)
		case p.Action != lang.SubAction || st.Failed: // of a runbook, the steps are shown
			h.stepState(i+1, p, st)
		}
	}
	h.foldedSteps("passed over", passed)
	h.foldedSteps("not begun", waiting)
}

// foldedSteps names steps on a line.
func (h *Human) foldedSteps(how string, names []string) {
	if len(names) > 0 {
		h.line("\n%s", listed(fmt.Sprintf("%s %s (-v shows them): ", count(len(names), "step"), how), names, h.room(0)))
	}
}

func (h *Human) outputs(s *run.State) {
	var all []namedValue
	for _, o := range run.Said(s.Outputs) {
		all = append(all, namedValue{o.Name, o.Text()})
	}
	if len(all) > 0 {
		h.line("\n%s", h.bold.Sprint("Outputs"))
	}
	h.rows(all)
}

func (h *Human) stepState(n int, p run.StepPlan, st *run.StepState) {
	said, tone := standingOf(st)
	word := h.toned(tone).Sprint(said)
	h.line("\n%s  %s  %s", h.bold.Sprintf("%2d  %s", n, p.Name), h.faint.Sprint(p.Action), word)
	if st == nil {
		return
	}
	if a := st.Approval; a != nil {
		h.line("      approved by %s at %s %s", a.By, moment(a.At), a.Reason)
	}
	if st.Error != "" {
		h.line("%s", h.bad.Sprint(h.wrap(st.Error, "      ")))
	}
	if text := retried(st); text != "" {
		h.line("    %s", h.faint.Sprint(text))
	}
	if !st.Started.IsZero() {
		h.line("    %s", h.faint.Sprint("began "+moment(st.Started)))
	}
	for _, c := range p.Preconditions {
		if h.verbose {
			h.condition("    ", c)
		}
	}
	change := st.Change() // it may have to be read
	h.items("    ", change.Items)
	for _, c := range checksOf(p, st, change) {
		h.line("    %s %s", h.good.Sprint("✓"), c)
	}
	h.result(st.Result(), "      ")
}

// standingOf says how a step stands, and how good that is.
func standingOf(st *run.StepState) (string, tone) {
	switch {
	case st == nil:
	case st.Undone && st.UndoNote != "":
		return "left as it is: " + st.UndoNote, neutral
	case st.Undone:
		return "undone", noted
	case st.Failed:
		return "failed, and passed over", bad
	case st.SkippedBy != "":
		return fmt.Sprintf("passed over by %s: %s", st.SkippedBy, st.Skipped), noted
	case st.Skipped != "":
		return "passed over: " + st.Skipped, neutral
	case st.Done && st.Unchanged:
		return "done, nothing changed", good
	case st.Done:
		return "done in " + took(st.Took), good
	case st.InDoubt():
		return "begun, not finished", bad
	case st.Error != "":
		return "failed", bad
	}
	return "not begun", neutral
}

// tone is how good something is.
type tone string

const (
	good    tone = "good"
	bad     tone = "bad"
	noted   tone = "note"
	neutral tone = ""
)

func (h *Human) toned(t tone) paint {
	switch t {
	case good:
		return h.good
	case bad:
		return h.bad
	case noted:
		return h.note
	}
	return h.plain
}

// checksOf are the checks that a finished step has made. Where it had nothing
// to change, its plan names them.
func checksOf(p run.StepPlan, st *run.StepState, change engine.Change) []string {
	switch {
	case !st.Done, st.PassedOver():
		return nil
	case st.Unchanged:
		return p.Change.Checks
	}
	return change.Checks
}

func (h *Human) kept(s *run.State) {
	paths := s.Kept()
	if len(paths) > 0 {
		h.line("\n%s", h.bold.Sprint("What was replaced is kept"))
	}
	for _, path := range paths {
		h.line("  %s", oneWord(path))
	}
}

func (h *Human) log(entries []run.LogEntry) {
	if len(entries) == 0 {
		return
	}
	h.line("\n%s", h.bold.Sprint("Journal"))
	for _, e := range entries {
		at := e.Time.Local().Format("2006-01-02 15:04:05.000")
		first, rest, _ := strings.Cut(e.Text, "\n")
		h.line("%s", painted(strings.TrimRight(sprintf("%4d  %s  %-11s %-20s %s", e.Seq, h.faint.Sprint(at), e.Kind, e.Step, clean(first)), " ")))
		if rest != "" {
			h.line("      %s", strings.ReplaceAll(rest, "\n", "\n      "))
		}
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
		h.line("  %s", oneWord(path))
	}
}

// Changed shows how a runbook has changed since its run began, and what
// follows.
func (h *Human) Changed(diff, what string) {
	_, _ = io.WriteString(h.err, sprintf("The runbook has changed since the run began:\n\n%s\n", diff)) // as with line
	h.Note("%s\n", what)
}

// moment tells a time as the reader's clock does, and which clock that is.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }
