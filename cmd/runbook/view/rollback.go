package view

import (
	"slices"
	"strings"

	"runbook/engine"
	"runbook/engine/run"
)

// undo is a step that a rollback would undo.
type undo struct {
	index  int
	plan   run.StepPlan
	change engine.Change
}

// undoable lists what a rollback would undo, in its order.
func undoable(s *run.State) []undo {
	var all []undo
	for i, p := range slices.Backward(s.Header.Plan.Steps) {
		if st := s.Steps[p.Name]; st != nil && !st.Undone {
			if c := st.Change(); !c.Empty() {
				all = append(all, undo{index: i + 1, plan: p, change: c})
			}
		}
	}
	return all
}

// reversed is a change as its undo shows it. A diff would have to be turned
// round line by line, and says little to somebody who wants back.
func reversed(c engine.Change) engine.Change {
	items := slices.Clone(c.Items)
	for i, it := range items {
		items[i] = engine.Item{Target: it.Target, Attribute: it.Attribute, Before: it.After, After: it.Before}
	}
	return engine.Change{Items: items}
}

// RollbackPlan shows what a rollback would undo, in its order, and what it takes away
// that was written since.
func (h *Human) RollbackPlan(s *run.State) {
	head := s.Header
	all := undoable(s)
	if len(all) == 0 {
		h.line("%s of %s on %s has changed nothing: there is nothing to undo.", h.bold.Sprintf("Run %s", head.Run.ID), head.Run.Runbook, head.Host)
		return
	}
	h.line("%s of %s on %s would be undone, from its last step to its first:", h.bold.Sprintf("Run %s", head.Run.ID), head.Run.Runbook, head.Host)
	var aside []string
	for _, u := range all {
		h.undo(u)
		if u.plan.CantUndo == "" {
			aside = append(aside, u.change.UndoKept...)
		}
	}
	h.line("\nThe host is then as it was when the run began, at %s.", moment(s.Began))
	if len(aside) > 0 {
		h.line("%s", h.wrap("What it takes out is kept, with all that was written there since the run:", ""))
	}
	for _, path := range aside {
		h.line("  %s", oneWord(path))
	}
}

func (h *Human) undo(u undo) {
	h.line("\n%s  %s", h.bold.Sprintf("%2d  %s", u.index, u.plan.Name), h.faint.Sprint(u.plan.Action))
	if u.plan.CantUndo != "" {
		h.line("    %s %s", h.bad.Sprint("!"), strings.TrimPrefix(h.wrap("left as it is: "+u.plan.CantUndo, "      "), "      "))
		return
	}
	for _, it := range reversed(u.change).Items {
		h.item("    ", it)
	}
	if u.change.UndoNote != "" {
		h.line("    %s %s", h.bad.Sprint("!"), strings.TrimPrefix(h.wrap(u.change.UndoNote, "      "), "      "))
	}
}

// rolledBack says what state the host is in after a rollback.
func (h *Human) rolledBack(e engine.RolledBack) {
	h.line("\n%s Run %s is rolled back.", h.good.Sprint("Done."), e.ID)
	h.line("%s", h.wrap("The host is as it was at "+moment(e.Began)+".", ""))
	if e.Broken {
		h.line("What was wrong then is wrong again.")
	}
	if len(e.Left) > 0 {
		h.line("%s %s", h.bad.Sprint("Left as they are:"), strings.Join(e.Left, ", "))
	}
	if len(e.Kept) > 0 {
		h.line("What was taken out is kept:")
	}
	for _, path := range e.Kept {
		h.line("  %s", oneWord(path))
	}
	h.line("Its report: runbook report %s", e.ID)
}
