package view

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"runbook/engine/lang"
	"runbook/engine/run"
)

// stepsToDo shows the steps that will do something, as far as anybody can tell,
// and names those of which that depends on another one.
func (h *Human) stepsToDo(p *run.Plan, e run.Estimate) {
	var otherwise, open stepNames
	shown, most := 0, 2
	if len(p.Summary) > 0 {
		most = 1
	}
	later := ""
	for i, s := range p.Steps {
		switch status := planStatus(s); {
		case status == "skipped", status == "already_so" && s.When == "" && s.Action != lang.SubAction:
		case later != "" && strings.HasPrefix(s.Name, later): // told with its runbook
		case s.IfWell == run.PassedOver:
			otherwise.add(s)
			shown++
		case s.When != "" && s.IfWell == "":
			open.add(s)
			shown++
		case s.Action == lang.SubAction:
			if n := knownLater(p.Steps[i+1:], s.Name+"/"); n > 0 {
				h.dependent(&open)
				h.wholeRunbook(i+1, s, n)
				later = s.Name + "/"
				shown++
			}
		default:
			h.dependent(&open)
			h.toDo(i+1, s, e.Steps[s.Name], most)
			shown++
		}
	}
	h.dependent(&open)
	if otherwise.count > 0 {
		h.line("    %s %s", h.note.Sprint("?"), otherwise.said(" only if one of these fails", h.room(6)))
	}
	if shown > 0 {
		h.line("")
	}
}

// knownLater is how many steps a runbook has, if none of them is known yet.
func knownLater(steps []run.StepPlan, within string) int {
	n := 0
	for _, s := range steps {
		switch {
		case !strings.HasPrefix(s.Name, within):
			return n
		case s.Skip == "" && s.KnownAfter == "" && s.Action != lang.SubAction:
			return 0
		case s.KnownAfter != "":
			n++
		}
	}
	return n
}

// wholeRunbook stands for the steps of a runbook of which none is known yet.
func (h *Human) wholeRunbook(n int, s run.StepPlan, steps int) {
	h.headed(h.bold.Sprintf("%2d  %s", n, s.Name), s, "("+count(steps, "step")+", known later)")
}

// headed shows a step's headline, on one line where that says enough.
func (h *Human) headed(head painted, s run.StepPlan, note string) {
	said := cmp.Or(s.Description, s.Action)
	most := h.room(columnsOf(string(head)) + 2)
	if note != "" {
		most -= columnsOf(note) + 1
	}
	if most < enough/2 {
		most = mostOfLine
	}
	h.line("%s", painted(strings.TrimRight(sprintf("%s  %s %s", head, beginning(said, min(most, mostOfLine)), h.faint.Sprint(note)), " ")))
}

// dependent names steps of which the steps before decide whether they are carried
// out.
func (h *Human) dependent(open *stepNames) {
	if open.count > 0 {
		h.line("    %s %s", h.note.Sprint("?"), open.said(", depending on step "+open.after, h.room(6)))
	}
	*open = stepNames{}
}

// stepNames are steps that are named together.
type stepNames struct {
	after string // what the first of them depends on
	names []string
	count int
}

// add adds a step. Of a runbook, the name stands for all that is in it.
func (a *stepNames) add(s run.StepPlan) {
	if len(a.names) == 0 {
		a.after = s.WhenAfter
	}
	if s.Action != lang.SubAction {
		a.count++
	}
	if !slices.ContainsFunc(a.names, func(n string) bool { return strings.HasPrefix(s.Name, n+"/") }) {
		a.names = append(a.names, s.Name)
	}
}

func (a *stepNames) said(when string, room int) string {
	return listed(count(a.count, "more step")+when+": ", a.names, room)
}

// long is what a step takes where that is worth telling.
const long = 10 * time.Second

// toDo shows what a step will do in a few lines, with that many for its changes.
func (h *Human) toDo(n int, s run.StepPlan, takes time.Duration, most int) {
	head := h.bold.Sprintf("%2d  %s", n, s.Name)
	switch {
	case s.Change.Empty() && s.Approve != "":
		h.line("%s  %s asks: %s", head, h.bad.Sprint("!"), h.brief(s.Approve, 2*mostOfLine))
		return
	case s.Change.Empty() && s.KnownAfter == "":
		head += "  " + h.note.Sprint("?")
		h.line("%s %s", head, middle(oneLine(strings.Join(s.Change.Checks, "; ")), h.room(columnsOf(string(head))+1)))
		return
	}
	note := ""
	switch {
	case s.KnownAfter != "":
		note = "(known after step " + s.KnownAfter + ")"
	case takes >= long:
		note = "(" + about(takes) + ")"
	}
	h.headed(head, s, note)
	const indent = "    "
	if s.Approve != "" {
		h.line("%s%s asks: %s", indent, h.bad.Sprint("!"), h.brief(s.Approve, 2*mostOfLine))
	}
	h.changes(indent, s.Change.Items, most)
	h.warnings(indent, s)
}

// warnings are what can't be told, or taken back.
func (h *Human) warnings(indent string, s run.StepPlan) {
	if s.Change.Unpredictable != "" {
		h.line("%s%s %s", indent, h.bad.Sprint("! can't be predicted:"), h.brief(s.Change.Unpredictable, mostOfLine))
	}
	if s.CantUndo != "" {
		h.line("%s%s %s", indent, h.bad.Sprint("! can't be undone:"), h.brief(s.CantUndo, mostOfLine))
	}
}
