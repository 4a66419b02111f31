package view

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/hashicorp/hcl/v2"

	"runbook/engine"
	"runbook/engine/run"
)

// Event shows one event of a run.
func (h *Human) Event(e engine.Event) {
	if h.foldsAway(e) {
		return
	}
	switch e := e.(type) {
	case engine.RunStarted:
		h.started(e)
	case engine.JournalTorn:
		h.line("The journal's last record was cut short by a crash (%d bytes); it was set aside to %s.", e.Bytes, e.Aside)
	case engine.StepStarted:
		h.doing, h.shown = "", time.Now()
		h.line("\n%s  %s", h.bold.Sprintf("[%d/%d] %s", e.Step.Index, e.Step.Total, e.Step.Name), h.faint.Sprint(headline(e.Step)))
	case engine.StepExamined:
		h.line("  %s %s", h.note.Sprint("in flight when the run ended:"), finding(e.Finding))
	case engine.StepProgress:
		h.progress(e.Progress)
	case engine.StepRetried:
		h.progress(engine.Progress{Doing: fmt.Sprintf("not yet: %s", e.Err)})
	case engine.StepDone:
		h.done(e)
	case engine.StepSkipped:
		h.line("  %s: %s", h.faint.Sprint("passed over"), e.Reason)
	case engine.StepWaiting:
		h.line("  %s %s", h.note.Sprint("waits for an approval:"), e.Message)
	case engine.StepFailed:
		h.failed(e.Err)
	case engine.Stopping:
		h.line("\nStopping after the step in hand. Press Ctrl-C again to cut it short.")
	case engine.RunFinished:
		h.finished(e)
	default:
		h.undoEvent(e)
	}
}

// foldsAway reports whether an event is of a step that is passed over: such steps
// are counted, and the number is shown before whatever follows.
func (h *Human) foldsAway(e engine.Event) bool {
	if h.verbose {
		return false
	}
	switch e := e.(type) {
	case engine.StepStarted:
		if h.folding = e.PassedOver; h.folding {
			h.passed++
			return true
		}
	case engine.StepSkipped:
		if h.folding {
			return true
		}
	}
	if h.passed > 0 {
		how := " (-v shows them)"
		if h.toldHow {
			how = ""
		}
		h.line("\n%s", h.faint.Sprintf("%s passed over%s", count(h.passed, "step"), how))
		h.passed, h.toldHow = 0, true
	}
	return false
}

func headline(s engine.StepInfo) string {
	if s.Description != "" {
		return s.Description
	}
	return s.Action
}

func finding(f string) string {
	switch f {
	case "done":
		return "it was done, and only the record of it is missing"
	case "not begun":
		return "nothing that it changes had changed yet"
	case "unknown":
		return "nothing on the host tells how far it had got"
	}
	return "it had got half-way"
}

func (h *Human) started(e engine.RunStarted) {
	if e.Resumed {
		h.line("Run %s of %s on %s goes on; %s done before.", h.bold.Sprint(e.ID), e.Runbook, e.Host, count(e.Done, "step"))
		return
	}
	h.line("\nRun %s of %s on %s.", h.bold.Sprint(e.ID), e.Runbook, e.Host)
}

// progress shows what is being done: when that changes, and at most once a
// second, so that a log stays readable.
func (h *Human) progress(p engine.Progress) {
	if p.Doing == h.doing || time.Since(h.shown) < time.Second {
		return
	}
	h.doing, h.shown = p.Doing, time.Now()
	size := ""
	if p.Total > 0 {
		size = " (" + humanize.IBytes(uint64(p.Total)) + ")"
	}
	h.line("  … %s%s", p.Doing, size)
}

func (h *Human) done(e engine.StepDone) {
	h.items("  ", e.Change.Items)
	for _, c := range e.Change.Checks {
		h.line("  %s %s", h.good.Sprint("✓"), c)
	}
	word := "done"
	if e.Unchanged && len(e.Change.Checks) == 0 {
		word = "already so"
	}
	h.line("  %s in %s", h.good.Sprint(word), took(e.Took))
}

func (h *Human) finished(e engine.RunFinished) {
	h.line("\n%s Run %s took %s.", h.good.Sprint("Finished."), e.ID, took(e.Took))
	if len(e.Failed) > 0 {
		h.line("%s %s", h.bad.Sprint("Failed, and passed over:"), strings.Join(e.Failed, ", "))
	}
	for _, o := range e.Outputs {
		h.line("  %s = %s", o.Name, o.Text)
	}
	if len(e.Kept) > 0 {
		h.line("What was replaced is kept:")
	}
	for _, path := range e.Kept {
		h.line("  %s", oneWord(path))
	}
	h.line("Its report: runbook report %s", e.ID)
}

// failed says why a step failed, in a line or two. What to do follows where the run
// stops for it.
func (h *Human) failed(err error) {
	why := err.Error()
	var failure *run.Failure
	if errors.As(err, &failure) {
		why = firstPart(cmp.Or(failure.Diag.Detail, failure.Diag.Summary))
		h.told = failure.Diag
	}
	h.line("  %s %s", h.bad.Sprint("failed:"), h.brief(why, mostOfReason))
}

// firstPart is what is wrong; what to do stands behind it.
func firstPart(text string) string {
	first, _, _ := strings.Cut(text, "\n\n")
	return first
}

// mostOfReason is how much is said at once of why a step failed.
const mostOfReason = 300

// untold is why the run stopped, without what was said when its step failed: where
// both stand on one screen.
func (h *Human) untold(d *hcl.Diagnostic) *hcl.Diagnostic {
	why, rest, more := strings.Cut(d.Detail, "\n\n")
	oneScreen := h.outWidth > 0 && h.errWidth > 0
	if d != h.told || !more || !oneScreen || len(why) > mostOfReason {
		return d
	}
	short := *d
	short.Detail = rest
	return &short
}

func (h *Human) undoEvent(e engine.Event) {
	switch e := e.(type) {
	case engine.UndoStarted:
		h.doing, h.shown = "", time.Now()
		h.line("\n%s  %s", h.bold.Sprintf("[undo %d] %s", e.Step.Index, e.Step.Name), h.faint.Sprint(headline(e.Step)))
	case engine.UndoDone:
		if e.Reason != "" {
			h.line("  left as it is: %s", e.Reason)
			return
		}
		h.line("  %s", h.good.Sprint("undone"))
	case engine.UndoFailed:
		h.failed(e.Err)
	case engine.RolledBack:
		h.rolledBack(e)
	}
}
