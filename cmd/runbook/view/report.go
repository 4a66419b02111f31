package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// report is what a run leaves for those who look back at it. Texts are as the
// journal has them: the formats escape what they have to.
type report struct {
	Run         *jsonRun // as `runbook show --json` tells it
	Description string
	Word        string // how it ended, in a word or two
	Tone        tone
	Summary     string
	Took        time.Duration
	open        bool
	pauses      []run.Pause
	Began       time.Time
	Ended       time.Time
	Budget      *budget
	Variables   []namedValue
	Decisions   []decision
	Failures    []failure
	Steps       []reportStep
	Timeline    *timeline
	Inventories []inventory
	Pruned      []string
	Outputs     []namedValue
	Data        []reportData
}

type namedValue struct{ Name, Value string }

// budget is the time that the runbook gives itself.
type budget struct {
	Limit, Used time.Duration
	Percent     float64
	Over        bool
}

type decision struct {
	At               time.Time
	What, Step, By   string
	Reason, Question string
}

type failure struct {
	run.PastFailure
	What, Then string
}

type reportData struct {
	Title  string
	At     time.Time
	Values []namedValue
}

type reportStep struct {
	jsonStepRun
	Anchor  string // of a link to it
	Word    string
	Tone    tone
	Began   time.Time // zero if it never was
	Worked  time.Duration
	Checks  []string // what was verified
	Values  []namedValue
	Kept    []string
	Retried string
}

// newReport gathers what there is to say. book is the runbook that the journal
// holds, as far as it can be understood.
func newReport(h *run.History, book *lang.Runbook) *report {
	s := h.State
	r := &report{
		Run: runJSON(s, h.Busy, nil), Description: book.Description, Began: s.Began, Ended: h.Ended,
		open: s.Phase.Open(), Took: end(h).Sub(s.Began), pauses: h.Pauses, Variables: variables(s.Header), Pruned: pruned(s),
	}
	for _, o := range run.Said(s.Outputs) {
		r.Outputs = append(r.Outputs, namedValue{o.Name, o.Text()})
	}
	for _, d := range s.Readings() {
		title := d.Type + "." + d.Name
		if d.Step != "" {
			title = d.Step + ": " + title
		}
		r.Data = append(r.Data, reportData{Title: title, At: d.At, Values: values(d.Result)})
	}
	r.Steps = reportSteps(r.Run.Record, h)
	r.Budget = newBudget(book.TimeBudget, h)
	r.Timeline = newTimeline(r.Steps, h, book.TimeBudget)
	r.Inventories = inventories(s)
	r.Failures = failures(h)
	r.Decisions = decisions(h)
	r.Word, r.Tone = outcome(h)
	r.Summary = summary(h)
	return r
}

// end is when the run came to its end first, or the last that is known of it.
func end(h *run.History) time.Time {
	if !h.Settled.IsZero() {
		return h.Settled
	}
	return h.Ended
}

func newBudget(limit time.Duration, h *run.History) *budget {
	if limit <= 0 {
		return nil
	}
	used := max(0, end(h).Sub(h.State.Began)) // the clock may have been set back
	return &budget{Limit: limit, Used: used, Percent: 100 * float64(used) / float64(limit), Over: used > limit}
}

// variables are those that the run was given, without the sensitive ones'
// values, which the journal doesn't hold.
func variables(head run.Header) []namedValue {
	var all []namedValue
	for name, raw := range head.Variables {
		var v struct{ Value any }
		if err := json.Unmarshal(raw, &v); err != nil {
			v.Value = string(raw)
		}
		all = append(all, namedValue{name, text(v.Value)})
	}
	for name := range head.Sensitive {
		all = append(all, namedValue{name, "(sensitive)"})
	}
	slices.SortFunc(all, func(a, b namedValue) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func pruned(s *run.State) []string {
	var paths []string
	for path := range s.Pruned {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths
}

// values are those of a result. What is empty says nothing, and counts have a
// table of their own.
func values(r engine.Result) []namedValue {
	var all []namedValue
	for name, v := range plain(r) {
		if _, counted := counts(v); text(v) == "" || name == "counts" && counted {
			continue
		}
		all = append(all, namedValue{name, text(v)})
	}
	slices.SortFunc(all, func(a, b namedValue) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Idle is how long nobody was at work before the run came to an end.
func (r *report) Idle() time.Duration {
	var d time.Duration
	for _, p := range r.pauses {
		if p.Why != run.PauseSettled {
			d += p.To.Sub(p.From)
		}
	}
	return d
}

// Open reports whether the run is still to be brought to an end.
func (r *report) Open() bool { return r.open }

// Changed are the steps that changed something, or began to.
func (r *report) Changed() []reportStep {
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s reportStep) bool { return len(s.Change.Items) == 0 })
}

// PassedOver are the steps that nobody had to pass over: they weren't wanted. CameTo
// are all others.
func (r *report) PassedOver() []reportStep {
	return slices.DeleteFunc(slices.Clone(r.Steps), reportStep.cameTo)
}

// CameTo are the steps that were carried out, or are still to be.
func (r *report) CameTo() []reportStep {
	return slices.DeleteFunc(slices.Clone(r.Steps), func(s reportStep) bool { return !s.cameTo() })
}

func (s reportStep) cameTo() bool { return s.Skipped == "" || s.SkippedBy != "" }

// ManyChanged reports whether so many steps changed something that they are
// better folded.
func (r *report) ManyChanged() bool { return len(r.Changed()) > 50 }

// Excess is how much longer than its budget the run took.
func (b *budget) Excess() time.Duration { return b.Used - b.Limit }

func reportSteps(records []jsonStepRun, h *run.History) []reportStep {
	plans := h.State.Header.Plan.Steps
	began, worked := map[string]time.Time{}, map[string]time.Duration{}
	for _, s := range h.Spans {
		if _, ok := began[s.Step]; !ok {
			began[s.Step] = s.From
		}
		if s.Kind != run.SpanWaited {
			worked[s.Step] += s.To.Sub(s.From)
		}
	}
	all := make([]reportStep, len(records))
	for i, rec := range records {
		st := h.State.Steps[rec.Name]
		out := reportStep{jsonStepRun: rec, Anchor: fmt.Sprintf("step-%d", i+1), Word: "not begun", Began: began[rec.Name], Worked: worked[rec.Name]}
		if st != nil {
			out.Word, out.Tone = reportedStanding(st)
			out.Checks, out.Kept = checksOf(plans[i], st, st.Change()), st.Kept()
			out.Values = values(st.Result())
			out.Retried = retried(st)
		}
		if rec.Started == nil {
			out.Change.Items = nil // they were planned, and never made
		}
		all[i] = out
	}
	return all
}

// reportedStanding is standingOf without the time, which stands beside it.
func reportedStanding(st *run.StepState) (string, tone) {
	word, tone := standingOf(st)
	if strings.HasPrefix(word, "done in ") {
		word = "done"
	}
	return word, tone
}

func retried(st *run.StepState) string {
	if st.Attempts < 2 {
		return ""
	}
	return count(st.Attempts, "attempt") + "; before the last: " + st.LastError
}

var failedWords = map[bool]string{false: "failed", true: "could not be undone"}

func failures(h *run.History) []failure {
	var all []failure
	for _, f := range h.Failures {
		out := failure{PastFailure: f, What: failedWords[f.Undoing]}
		if f.Attempts > 1 {
			out.What += " after " + count(f.Attempts, "attempt")
		}
		out.Then, _ = reportedStanding(h.State.Steps[f.Step])
		all = append(all, out)
	}
	return all
}

var decided = map[string]string{
	"approved": "approved", "again": "had the step carried out again", "skipped": "took the step as done",
	"accepted": "had the run follow the changed runbook", "abandoned": "gave the run up",
}

func decisions(h *run.History) []decision {
	var all []decision
	for _, d := range h.Decisions {
		all = append(all, decision{
			At: d.At, What: cmp.Or(decided[d.Kind], d.Kind), Step: d.Step, By: d.By, Reason: d.Reason, Question: d.Question,
		})
	}
	return all
}
