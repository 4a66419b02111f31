package view

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"runbook/engine/lang"
	"runbook/engine/run"
)

// Plan shows a plan, and how long it may take: what will be done, and with
// -v all that is known.
func (h *Human) Plan(p *run.Plan, e run.Estimate) {
	h.line("%s on %s", h.bold.Sprintf("Runbook %s", p.Runbook), p.Host)
	if p.OnFailure != "" {
		h.line("If a step fails: %s", p.OnFailure)
	}
	h.summary(p.Summary)
	h.data(p)
	if p.GoalHolds() {
		h.line("\n%s %s", h.good.Sprint("Nothing to do."), p.Goal.Message)
		return
	}
	h.line("")
	h.failing(p)
	switch {
	case len(p.Steps) == 0: // a precondition of the runbook fails
		return
	case h.verbose:
		h.allSteps(p, e)
	case len(p.Failing()) == 0:
		h.stepsToDo(p, e)
	}
	h.line("%s", h.tally(p))
	h.estimate(e)
}

// mostOfLine is how much is shown of a line that should take one or two on a
// terminal.
const mostOfLine = 150

// Recall shows once more, right above a question, what a plan says first.
func (h *Human) Recall(p *run.Plan) {
	if len(p.Summary) > 0 {
		h.line("")
		h.summary(p.Summary)
	}
}

// summary shows what a runbook has to say first.
func (h *Human) summary(lines []string) {
	if len(lines) == 0 {
		return
	}
	for line := range strings.SplitSeq(strings.Join(lines, "\n"), "\n") {
		text := strings.TrimLeft(line, " ")
		lead := "  " + line[:len(line)-len(text)]
		if !h.verbose {
			text = beginning(h.fitting(text), mostOfLine)
		}
		text = lead + printable(text)
		if h.outWidth > 0 && columnsOf(text) > h.outWidth {
			text = folded(text, h.outWidth, len(lead)+2)
		}
		h.asIs("%s", text)
	}
}

// data shows what the data sources say. In a summary, or in a goal that holds, the
// runbook has said what matters of that.
func (h *Human) data(p *run.Plan) {
	if h.verbose {
		for _, d := range p.Data {
			h.line("\n%s", h.bold.Sprintf("data %s.%s", d.Type, d.Name))
			h.result(plain(d.Result), "  ")
		}
		return
	}
	if len(p.Summary) > 0 || len(p.Data) == 0 || p.GoalHolds() {
		return
	}
	h.line("")
	for _, d := range p.Data {
		h.line("%s  %s", h.bold.Sprintf("data %s.%s", d.Type, d.Name), gist(plain(d.Result), mostOfLine-len(d.Type)-len(d.Name)))
	}
}

// failing shows the preconditions that are known not to hold.
func (h *Human) failing(p *run.Plan) {
	by := p.Failing()
	for _, c := range by[""] {
		h.condition("", c)
	}
	for _, s := range p.Steps {
		for _, c := range by[s.Name] {
			h.line("%s", h.bold.Sprint("Step "+s.Name))
			h.condition("  ", c)
		}
	}
	if len(by) > 0 {
		h.line("")
	}
}

// worthTelling is how much there has to be to write, in bytes, for it to take
// time.
const worthTelling = 1 << 20

func (h *Human) estimate(e run.Estimate) {
	write := ""
	if e.Bytes >= worthTelling {
		write = humanize.IBytes(uint64(e.Bytes)) + " to write"
	}
	switch {
	case e.Known() && e.Never > 0:
		if write != "" {
			write = ", with " + write
		}
		h.line("Takes %s by earlier runs, and %s that no earlier run has done%s.", about(e.Total), count(e.Never, "step"), write)
	case e.Known():
		h.line("Takes %s by earlier runs.", about(e.Total))
	case write != "":
		h.line("There is %s; no earlier run tells how long it takes.", write)
	}
}

// stepCounts are the steps of a plan by what is to be done.
type stepCounts struct{ changing, checking, later, blocked, final, passed, same int }

func countSteps(p *run.Plan, steps []run.StepPlan) stepCounts {
	n := stepCounts{blocked: len(p.Failing())}
	for _, s := range steps {
		if s.CantUndo != "" && !s.Change.Empty() {
			n.final++
		}
		switch planStatus(s) {
		case "known_later":
			n.later++
		case "changes":
			n.changing++
		case "checks":
			n.checking++
		case "skipped":
			n.passed++
		case "already_so":
			if s.Action != lang.SubAction { // what is in it has its own lines
				n.same++
			}
		}
	}
	return n
}

// tally counts the steps, but for those that are there for a failure.
func (h *Human) tally(p *run.Plan) painted {
	n := countSteps(p, slices.DeleteFunc(slices.Clone(p.Steps), func(s run.StepPlan) bool { return s.IfWell == run.PassedOver }))
	if p.NothingToDo() {
		return painted(sprintf("%s %s, %d of which check something%s.", h.good.Sprint("No changes."), count(len(p.Steps), "step"), n.checking, h.unseen(n, p)))
	}
	text := painted(sprintf("%s: %d to change the host, %d to check", count(len(p.Steps), "step"), n.changing, n.checking))
	if n.later > 0 {
		text += painted(sprintf(", %d known only later", n.later))
	}
	if n.final > 0 {
		text += ", " + h.bad.Sprintf("%d that can't be undone", n.final)
	}
	if n.blocked > 0 {
		text += ", " + h.bad.Sprintf("%d blocked by a precondition", n.blocked)
	}
	return text + painted(h.unseen(n, p)) + "."
}

// unseen says how many steps aren't shown, and how they are.
func (h *Human) unseen(n stepCounts, p *run.Plan) string {
	var parts []string
	if n.passed > 0 {
		parts = append(parts, fmt.Sprintf("%d passed over", n.passed))
	}
	if n.same > 0 {
		parts = append(parts, fmt.Sprintf("%d already so", n.same))
	}
	switch text := strings.Join(parts, ", "); {
	case h.verbose, text == "" && len(p.Data) == 0:
		return ""
	case text == "":
		return " (-v tells more)"
	default:
		return ", " + text + " (-v shows all)"
	}
}
