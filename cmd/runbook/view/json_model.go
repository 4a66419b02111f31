package view

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
)

// The types here are what docs/json.md promises to programs. They are apart from
// the engine's own, which are free to change, and leave out what only the engine
// has a use for.

type jsonRunbook struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	TimeBudget  float64        `json:"time_budget_seconds,omitempty"`
	Variables   []jsonVariable `json:"variables"`
	Steps       []jsonStepName `json:"steps"`
}

// jsonBook is a runbook that comes with the binary.
type jsonBook struct {
	File        string `json:"file"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Drill       bool   `json:"drill"`
}

type jsonVariable struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Sensitive   bool   `json:"sensitive"`
	// Default is missing where the variable is required.
	Default json.RawMessage `json:"default,omitempty"`
}

type jsonStepName struct {
	Name        string `json:"name"`
	Action      string `json:"action"`
	Description string `json:"description,omitempty"`
}

type jsonPlan struct {
	Runbook     string     `json:"runbook"`
	Host        string     `json:"host"`
	NothingToDo bool       `json:"nothing_to_do"`
	Goal        *jsonCheck `json:"goal,omitempty"`
	// Preconditions are the runbook's own.
	Preconditions []jsonCheck    `json:"preconditions,omitempty"`
	Data          []jsonData     `json:"data"`
	Steps         []jsonStepPlan `json:"steps"`
	Summary       jsonSummary    `json:"summary"`
	Estimate      *jsonEstimate  `json:"estimate,omitempty"`
}

type jsonSummary struct {
	Lines      []string `json:"lines"`
	Changing   int      `json:"changing"`
	Checking   int      `json:"checking"`
	KnownLater int      `json:"known_later"`
	Blocked    int      `json:"blocked"`
}

type jsonEstimate struct {
	Seconds    float64 `json:"seconds"`
	StepsNever int     `json:"steps_never_run"`
}

type jsonData struct {
	Step   string        `json:"step,omitempty"`
	Type   string        `json:"type"`
	Name   string        `json:"name"`
	Result engine.Result `json:"result"`
}

type jsonCheck struct {
	Condition  string `json:"condition"`
	Status     string `json:"status"`
	Message    string `json:"message,omitempty"`
	KnownAfter string `json:"known_after,omitempty"`
}

type jsonStepPlan struct {
	Index         int         `json:"index"`
	Name          string      `json:"name"`
	Action        string      `json:"action"`
	Description   string      `json:"description,omitempty"`
	Status        string      `json:"status"`
	KnownAfter    string      `json:"known_after,omitempty"`
	Preconditions []jsonCheck `json:"preconditions"`
	Change        jsonChange  `json:"change"`
	Skipped       string      `json:"skipped,omitempty"`
	When          string      `json:"when,omitempty"`
	WhenAfter     string      `json:"when_known_after,omitempty"`
	IfWell        string      `json:"if_all_goes_well,omitempty"`
	Approval      string      `json:"approval,omitempty"`
	OnFailure     string      `json:"on_failure,omitempty"`
	RollbackWith  string      `json:"rollback_with,omitempty"`
	CantUndo      string      `json:"cant_undo,omitempty"`
	Estimate      float64     `json:"estimate_seconds,omitempty"`
}

type jsonChange struct {
	Items         []engine.Item `json:"items"`
	Checks        []string      `json:"checks"`
	Kept          []string      `json:"kept"`
	Unpredictable string        `json:"unpredictable,omitempty"`
}

type jsonListed struct {
	ID         string     `json:"id"`
	Runbook    string     `json:"runbook,omitempty"`
	Status     string     `json:"status"`
	Phase      string     `json:"phase,omitempty"`
	FailedStep string     `json:"failed_step,omitempty"`
	Failed     []string   `json:"failed_steps"`
	Busy       bool       `json:"busy"`
	Started    *time.Time `json:"started,omitempty"`
	Updated    *time.Time `json:"updated,omitempty"`
	Took       float64    `json:"took_seconds"`
	StepsDone  int        `json:"steps_done"`
	Undone     int        `json:"steps_undone"`
	Steps      int        `json:"steps"`
	Error      string     `json:"error,omitempty"`
}

type jsonRun struct {
	jsonListed
	Host    string        `json:"host"`
	Version string        `json:"version"`
	Failure *jsonFailure  `json:"failure,omitempty"`
	Waiting *jsonWaiting  `json:"waiting,omitempty"`
	Outputs []jsonOutput  `json:"outputs"`
	Data    []jsonData    `json:"data"`
	Record  []jsonStepRun `json:"step_records"`
	Kept    []string      `json:"kept"`
	Log     []jsonEntry   `json:"log,omitempty"`
}

type jsonFailure struct {
	Step  string `json:"step"`
	Error string `json:"error"`
}

type jsonWaiting struct {
	Step    string `json:"step"`
	Message string `json:"message"`
}

type jsonOutput struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Text        string          `json:"text"`
	Sensitive   bool            `json:"sensitive"`
	Value       json.RawMessage `json:"value,omitempty"`
}

type jsonApproval struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

type jsonStepRun struct {
	Index         int           `json:"index"`
	Name          string        `json:"name"`
	Action        string        `json:"action"`
	Description   string        `json:"description,omitempty"`
	Status        string        `json:"status"`
	Started       *time.Time    `json:"started,omitempty"`
	Took          float64       `json:"took_seconds"`
	Preconditions []jsonCheck   `json:"preconditions"`
	Change        jsonChange    `json:"change"`
	Result        engine.Result `json:"result"`
	LeftAsIs      string        `json:"left_as_is,omitempty"`
	Skipped       string        `json:"skipped,omitempty"`
	SkippedBy     string        `json:"skipped_by,omitempty"`
	Error         string        `json:"error,omitempty"`
	Approval      *jsonApproval `json:"approval,omitempty"`
}

type jsonEntry struct {
	Seq  int       `json:"seq"`
	Time time.Time `json:"time"`
	Kind string    `json:"kind"`
	Step string    `json:"step,omitempty"`
	Text string    `json:"text,omitempty"`
}

func runbookJSON(b *lang.Runbook) *jsonRunbook {
	out := &jsonRunbook{
		Name: b.Name, Description: b.Description, TimeBudget: b.TimeBudget.Seconds(),
		Variables: []jsonVariable{}, Steps: []jsonStepName{},
	}
	for _, v := range b.Variables {
		out.Variables = append(out.Variables, jsonVariable{
			Name: v.Name, Type: v.Type.FriendlyNameForConstraint(), Description: v.Description,
			Required: v.Default == cty.NilVal, Sensitive: v.Sensitive, Default: constantJSON(v.Default),
		})
	}
	for _, s := range b.Steps {
		out.Steps = append(out.Steps, jsonStepName{Name: s.Name, Action: s.Action, Description: s.Description})
	}
	return out
}

// constantJSON is nil where there is no value, and where JSON has no word for it:
// infinity.
func constantJSON(v cty.Value) json.RawMessage {
	switch {
	case v == cty.NilVal:
		return nil
	case v.IsNull():
		return json.RawMessage("null")
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return nil
	}
	return text
}

func planJSON(p *run.Plan, e run.Estimate) *jsonPlan {
	n := countSteps(p, p.Steps)
	out := &jsonPlan{
		Runbook: p.Runbook, Host: p.Host, NothingToDo: p.NothingToDo(), Data: dataJSON(p), Steps: []jsonStepPlan{},
		Summary: jsonSummary{Lines: orEmpty(p.Summary), Changing: n.changing, Checking: n.checking, KnownLater: n.later, Blocked: n.blocked},
	}
	if p.Goal != nil {
		goal := checkJSON(*p.Goal)
		out.Goal = &goal
	}
	out.Preconditions = checksJSON(p.Preconditions)
	if e.Known() {
		out.Estimate = &jsonEstimate{Seconds: e.Total.Seconds(), StepsNever: e.Never}
	}
	for i, s := range p.Steps {
		out.Steps = append(out.Steps, jsonStepPlan{
			Index: i + 1, Name: s.Name, Action: s.Action, Description: s.Description, Status: planStatus(s),
			KnownAfter: s.KnownAfter, Preconditions: checksJSON(s.Preconditions), Change: changeJSON(s.Change),
			Skipped: s.Skip, When: s.When, WhenAfter: s.WhenAfter, IfWell: ifWell[s.IfWell], Approval: s.Approve, OnFailure: string(s.OnFailure),
			RollbackWith: s.Undo, CantUndo: s.CantUndo, Estimate: e.Steps[s.Name].Seconds(),
		})
	}
	return out
}

// ifWell are the engine's words for programs.
var ifWell = map[string]string{run.CarriedOut: "carried_out", run.PassedOver: "passed_over"}

// planStatus is what a plan says of a step, in a word.
func planStatus(s run.StepPlan) string {
	switch {
	case s.Skip != "":
		return "skipped"
	case s.Blocked():
		return "blocked"
	case s.KnownAfter != "":
		return "known_later"
	case !s.Change.Empty():
		return "changes"
	case len(s.Change.Checks) > 0:
		return "checks"
	}
	return "already_so"
}

func dataJSON(p *run.Plan) []jsonData {
	out := []jsonData{}
	for _, d := range p.Data {
		out = append(out, jsonData{Step: d.Step, Type: d.Type, Name: d.Name, Result: orEmptyMap(d.Result)})
	}
	return out
}

func checksJSON(checks []lang.CheckResult) []jsonCheck {
	out := []jsonCheck{}
	for _, c := range checks {
		out = append(out, checkJSON(c))
	}
	return out
}

func checkJSON(c lang.CheckResult) jsonCheck {
	out := jsonCheck{Condition: c.Condition, Status: "fails", Message: c.Message, KnownAfter: c.Because}
	switch {
	case c.Unknown:
		out.Status = "unknown"
	case c.OK:
		out.Status = "holds"
	}
	return out
}

func changeJSON(c engine.Change) jsonChange {
	return jsonChange{Items: append([]engine.Item{}, c.Items...), Checks: orEmpty(c.Checks), Kept: orEmpty(c.Kept), Unpredictable: c.Unpredictable}
}

func listedJSON(r run.Summary) jsonListed {
	out := jsonListed{ID: r.ID, Busy: r.Busy, Status: "unreadable", Failed: []string{}}
	if r.State == nil {
		if r.GivenUp {
			out.Status = "abandoned"
		}
		out.Error = r.Err.Error()
		return out
	}
	head := r.State.Header
	out.Runbook, out.Started, out.Updated = head.Run.Runbook, &head.Run.Started, &r.State.Updated
	out.Status, out.Phase, out.Took = statusWord(r.State, r.Busy), word(r.State.Phase), r.State.Took().Seconds()
	out.StepsDone, out.Undone, out.Steps = doneOf(r.State), undoneOf(r.State), len(head.Plan.Steps)
	out.Failed = orEmpty(failedSteps(r.State))
	if out.Status == "failed" {
		out.FailedStep = r.State.Failure.Step
	}
	return out
}

// statusWord is standing for programs.
func statusWord(s *run.State, busy bool) string {
	switch {
	case !s.Phase.Open() || busy:
		return word(s.Phase)
	case s.Waiting != nil:
		return "waiting"
	case s.Failure != nil:
		return "failed"
	case s.Interrupted:
		return "stopped"
	}
	return "interrupted"
}

func runJSON(s *run.State, busy bool, log []run.LogEntry) *jsonRun {
	out := &jsonRun{
		jsonListed: listedJSON(run.Summary{ID: s.Header.Run.ID, State: s, Busy: busy}),
		Host:       s.Header.Host, Version: s.Header.Version, Data: dataJSON(s.Header.Plan), Record: []jsonStepRun{}, Kept: orEmpty(s.Kept()),
		Outputs: []jsonOutput{},
	}
	if f := s.Failure; f != nil {
		out.Failure = &jsonFailure{Step: f.Step, Error: f.Error}
	}
	if w := s.Waiting; w != nil {
		out.Waiting = &jsonWaiting{Step: w.Step, Message: w.Message}
	}
	for _, o := range s.Outputs {
		out.Outputs = append(out.Outputs, jsonOutput{Name: o.Name, Description: o.Description, Text: o.Text(), Sensitive: o.Sensitive, Value: o.Value})
	}
	for i, p := range s.Header.Plan.Steps {
		out.Record = append(out.Record, stepRunJSON(i+1, p, s.Steps[p.Name]))
	}
	for _, e := range log {
		out.Log = append(out.Log, jsonEntry(e))
	}
	return out
}

func outputsJSON(all []engine.Output) []body {
	out := []body{}
	for _, o := range all {
		out = append(out, body{"name": o.Name, "text": o.Text})
	}
	return out
}

func stepRunJSON(n int, p run.StepPlan, st *run.StepState) jsonStepRun {
	out := jsonStepRun{
		Index: n, Name: p.Name, Action: p.Action, Description: p.Description, Status: "not_begun",
		Preconditions: checksJSON(p.Preconditions), Change: changeJSON(p.Change), Result: engine.Result{},
	}
	if st == nil {
		return out
	}
	out.Status, out.Took, out.Result, out.LeftAsIs = stepStatus(st), st.Took.Seconds(), orEmptyMap(st.Result()), st.UndoNote
	out.Skipped, out.SkippedBy, out.Error = st.Skipped, st.SkippedBy, st.Error
	if a := st.Approval; a != nil {
		out.Approval = &jsonApproval{By: a.By, Reason: a.Reason, At: a.At}
	}
	if !st.Started.IsZero() { // there is no intent where nothing had to be changed
		out.Started, out.Change = &st.Started, changeJSON(st.Change())
	}
	return out
}

// stepStatus is how a step stands, in a word.
func stepStatus(st *run.StepState) string {
	switch {
	case st.Undone && st.UndoNote != "":
		return "left_as_is"
	case st.Undone:
		return "undone"
	case st.Failed:
		return "failed"
	case st.Skipped != "":
		return "skipped"
	case st.Done && st.Unchanged:
		return "unchanged"
	case st.Done:
		return "done"
	case st.InDoubt():
		return "in_doubt"
	}
	return "not_begun"
}

// word is a phase or a finding as one word.
func word[T ~string](s T) string { return strings.NewReplacer(" ", "_", "-", "_").Replace(string(s)) }

// A list is never null in JSON.
func orEmpty(list []string) []string { return append([]string{}, list...) }

func orEmptyMap(r engine.Result) engine.Result {
	if r == nil {
		return engine.Result{}
	}
	return r
}
