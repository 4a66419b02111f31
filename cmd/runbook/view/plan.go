package view

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// Plan shows a plan, and how long it may take.
func (h *Human) Plan(p *run.Plan, e run.Estimate) {
	h.line("%s on %s", h.bold.Sprintf("Runbook %s", p.Runbook), p.Host)
	if p.OnFailure != "" {
		h.line("If a step fails: %s", p.OnFailure)
	}
	for _, line := range p.Summary {
		h.line("%s", line)
	}
	for _, d := range p.Data {
		if len(p.Summary) > 0 {
			break
		}
		h.line("\n%s", h.bold.Sprintf("data %s.%s", d.Type, d.Name))
		h.result(plain(d.Result), "  ")
	}
	if p.GoalHolds() {
		h.line("\n%s %s", h.good.Sprint("Nothing to do."), p.Goal.Message)
		return
	}
	h.line("")
	for i, s := range p.Steps {
		if s.OnFailure == p.OnFailure {
			s.OnFailure = "" // said once, above
		}
		h.step(i+1, s, e)
	}
	h.line("%s", h.summary(p))
	h.estimate(e)
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

// circumstances says whether, and on whose word, the step is carried out.
func (h *Human) circumstances(indent string, s run.StepPlan) {
	if s.Skip != "" {
		h.line("%s%s passed over: %s", indent, h.faint.Sprint("-"), s.Skip)
	}
	if s.When != "" {
		h.line("%s%s only when %s, known after step %s", indent, h.note.Sprint("?"), s.When, s.WhenAfter)
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
		h.line("%s%s precondition fails: %s", indent, h.bad.Sprint("✗"), c.Message)
		h.line("%s    %s", indent, c.Condition)
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
		h.line("%s%s", indent, h.diffColor(line).Sprint(clean(line)))
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

// stepCounts are the steps of a plan by what is to be done.
type stepCounts struct{ changing, checking, later, blocked, final int }

func countSteps(p *run.Plan) stepCounts {
	n := stepCounts{blocked: len(p.Failing())}
	for _, s := range p.Steps {
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
		}
	}
	return n
}

func (h *Human) summary(p *run.Plan) painted {
	n := countSteps(p)
	if p.NothingToDo() {
		return painted(sprintf("%s %s, %d of which check something.", h.good.Sprint("No changes."), count(len(p.Steps), "step"), n.checking))
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
	return text + "."
}

// result shows the values of a result as JSON has them, a line each. What is empty
// says nothing and is left out.
func (h *Human) result(r engine.Result, indent string) {
	names := make([]string, 0, len(r))
	width := 0
	for name, v := range r {
		if text(v) == "" {
			continue
		}
		names = append(names, name)
		width = max(width, len(name))
	}
	sort.Strings(names)
	for _, name := range names {
		h.line("%s%-*s  %s", indent, width, name, text(r[name]))
	}
}

// plain is a result as JSON has it: a result that was just read looks like one
// that comes out of a journal.
func plain(r engine.Result) engine.Result {
	raw, err := json.Marshal(r)
	if err != nil {
		return r
	}
	var out engine.Result
	if json.Unmarshal(raw, &out) != nil {
		return r
	}
	return out
}

// text is a result's value on one line; empty for what says nothing.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return oneLine(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return list(v)
	case map[string]any:
		return fields(v)
	}
	return fmt.Sprint(v)
}

// oneLine is a text without the end of its last line; one of several lines is
// quoted, and cut where it is long.
func oneLine(text string) string {
	const most = 200
	text = strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\n") {
		return text
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}

func list(all []any) string {
	parts := make([]string, len(all))
	for i, x := range all {
		parts[i] = text(x)
	}
	return strings.Join(parts, ", ")
}

func fields(m map[string]any) string {
	names := make([]string, 0, len(m))
	for name, v := range m {
		if text(v) != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = name + " " + text(m[name])
	}
	return strings.Join(names, ", ")
}
