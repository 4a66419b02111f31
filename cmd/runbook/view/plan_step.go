package view

import (
	"strings"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// allSteps shows each step of a plan, with all that is known of it.
func (h *Human) allSteps(p *run.Plan, e run.Estimate) {
	for i, s := range p.Steps {
		if s.OnFailure == p.OnFailure {
			s.OnFailure = "" // said once, above
		}
		h.step(i+1, s, e)
	}
}

func (h *Human) step(n int, s run.StepPlan, e run.Estimate) {
	head := s.Action
	if d, ok := e.Steps[s.Name]; ok {
		head += ", " + about(d)
	}
	h.line("%s  %s", h.bold.Sprintf("%2d  %s", n, s.Name), h.faint.Sprint(head))
	const indent = "    "
	if s.Description != "" {
		h.line("%s%s", indent, s.Description)
	}
	h.circumstances(indent, s)
	for _, c := range s.Preconditions {
		h.condition(indent, c)
	}
	if s.KnownAfter != "" {
		h.line("%s%s known after step %s", indent, h.note.Sprint("?"), s.KnownAfter)
	}
	for _, it := range s.Change.Items {
		h.item(indent, it)
	}
	for _, c := range s.Change.Checks {
		h.line("%s%s check: %s", indent, h.note.Sprint("?"), c)
	}
	if s.KnownAfter == "" && s.Change.Empty() && len(s.Change.Checks) == 0 && !s.Blocked() && s.Skip == "" {
		h.line("%s%s already so", indent, h.good.Sprint("="))
	}
	for _, kept := range s.Change.Kept {
		h.line("%s  keeps what it replaces: %s", indent, oneWord(kept))
	}
	if s.Change.Unpredictable != "" {
		h.line("%s%s %s", indent, h.bad.Sprint("! can't be predicted:"), s.Change.Unpredictable)
	}
	if s.CantUndo != "" {
		h.line("%s%s %s", indent, h.bad.Sprint("! can't be undone:"), s.CantUndo)
	}
	if s.Undo != "" {
		h.line("%s  rolled back with: %s", indent, s.Undo)
	}
	h.line("")
}

// ifAllGoesWell says what becomes of a step then.
var ifAllGoesWell = map[string]string{
	run.CarriedOut: "; if all goes well, it is carried out", run.PassedOver: "; if all goes well, it is passed over",
}

// circumstances says whether, and on whose word, the step is carried out.
func (h *Human) circumstances(indent string, s run.StepPlan) {
	if s.Skip != "" {
		h.line("%s%s passed over: %s", indent, h.faint.Sprint("-"), s.Skip)
	}
	if s.When != "" {
		h.line("%s%s only when %s, known after step %s%s", indent, h.note.Sprint("?"), s.When, s.WhenAfter, ifAllGoesWell[s.IfWell])
	}
	if s.Approve != "" {
		h.line("%s%s waits for an approval: %s", indent, h.bad.Sprint("!"), s.Approve)
	}
	if s.OnFailure != "" {
		h.line("%s  if it fails: %s", indent, s.OnFailure)
	}
}

func (h *Human) condition(indent string, c lang.CheckResult) {
	switch {
	case c.Unknown && c.Because != "":
		h.line("%s%s precondition, known after step %s: %s", indent, h.note.Sprint("?"), c.Because, c.Condition)
	case c.Unknown:
		h.line("%s%s precondition, not known yet: %s", indent, h.note.Sprint("?"), c.Condition)
	case c.OK:
		h.line("%s%s precondition holds: %s", indent, h.good.Sprint("✓"), c.Condition)
	default:
		message := strings.ReplaceAll(c.Message, "\n", "\n"+indent+"  ")
		h.line("%s%s precondition fails: %s", indent, h.bad.Sprint("✗"), message)
		if h.verbose {
			h.line("%s    %s", indent, c.Condition)
		}
	}
}

// items shows changes: in a line or two each, or with all that is known of them.
func (h *Human) items(indent string, all []engine.Item) {
	for _, it := range all {
		if h.verbose {
			h.item(indent, it)
			continue
		}
		h.line("%s%s %s", indent, h.change.Sprint("~"), changed(it, h.roomForTwo(len(indent)+2)))
	}
}

func (h *Human) item(indent string, it engine.Item) {
	target := oneWord(it.Target)
	if it.Attribute != "" {
		target += " " + it.Attribute
	}
	note := painted("")
	if it.Note != "" {
		note = h.faint.Sprintf("  (%s)", it.Note)
	}
	h.line("%s%s %s: %s → %s%s", indent, h.change.Sprint("~"), target, oneWord(it.Before), oneWord(it.After), note)
	h.diff(indent+"    ", it.Diff)
}

// diff shows the difference of two texts in unified format.
func (h *Human) diff(indent, text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		h.asIs("%s%s", indent, h.diffColor(line).Sprint(clean(line)))
	}
}

func (h *Human) diffColor(line string) paint {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		return h.faint
	case strings.HasPrefix(line, "+"):
		return h.good
	case strings.HasPrefix(line, "-"):
		return h.bad
	case strings.HasPrefix(line, "@@"):
		return h.note
	}
	return h.plain
}
