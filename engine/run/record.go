package run

import (
	"encoding/json"
	"fmt"
	"time"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
)

// The kinds of a journal's records.
const (
	kindRun         = "run"         // Header; the first record
	kindIntent      = "intent"      // intent: a step is about to change the host
	kindDone        = "done"        // done: a step is finished
	kindFailed      = "failed"      // failed: a step ended with an error
	kindExamined    = "examined"    // examined: how far a step in doubt had got
	kindInterrupted = "interrupted" // stopped by request
	kindResumed     = "resumed"     // resumed: taken up again
	kindFinished    = "finished"    // all steps are done
	kindRollback    = "rollback"    // a rollback begins
	kindUndo        = "undo"        // intent: a step is about to be undone
	kindUndone      = "undone"      // undone: a step is undone
	kindUndoFailed  = "undo_failed" // failed
	kindRolledBack  = "rolled_back" // all steps are undone
	kindAbandoned   = "abandoned"   // abandoned: given up by the operator
	kindAccepted    = "accepted"    // accepted: steps not begun follow a changed runbook
	kindPruned      = "pruned"      // pruned: what was kept is about to be deleted
	kindWaiting     = "waiting"     // waiting: a step waits for an approval
	kindApproved    = "approved"    // approved: somebody agreed to a step
	kindAgain       = "again"       // approved: a step in doubt is to be carried out again
)

// formatVersion is the version of the records' format.
const formatVersion = 1

// Header is a journal's first record: everything that a resume needs to
// follow what was started.
type Header struct {
	Format  int            `json:"format"`
	Version string         `json:"version"` // of the binary
	Run     engine.RunInfo `json:"run"`
	Host    string         `json:"host"`
	// Began is when the command was given that the run comes of, before its plan
	// was made. Versions before didn't record it.
	Began     time.Time                  `json:"began,omitzero"`
	File      string                     `json:"file,omitempty"` // the runbook's absolute path, if it is a file
	Sources   []lang.Source              `json:"sources"`
	Variables map[string]json.RawMessage `json:"variables"` // with their types
	// Sensitive holds the salted hashes of sensitive variables, whose values
	// are asked for again.
	Sensitive map[string]string `json:"sensitive,omitempty"`
	Salt      string            `json:"salt"`
	Plan      *Plan             `json:"plan"`
}

type intent struct {
	Step    string             `json:"step"`
	Request engine.StepRequest `json:"request"`
	// Sensitive names the attributes that Request leaves out.
	Sensitive []string      `json:"sensitive,omitempty"`
	Change    engine.Change `json:"change"`
}

type done struct {
	Step      string `json:"step"`
	Unchanged bool   `json:"unchanged,omitempty"`
	// Skipped says why the step was passed over, Failed that it failed and the
	// run went on; it has no result then.
	Skipped string `json:"skipped,omitempty"`
	By      string `json:"by,omitempty"` // who passed it over by hand
	Failed  bool   `json:"failed,omitempty"`
	// GivenUp names the runbooks around a step that failed which fail with it.
	GivenUp []string      `json:"given_up,omitempty"`
	Result  engine.Result `json:"result,omitempty"`
	// Data is what the data sources of another runbook read when it began.
	Data []DataResult  `json:"data,omitempty"`
	Took time.Duration `json:"took_ns"`
	tries
}

// tries tell of the attempts at a step that a retry block asked for; of one
// attempt there is nothing to tell.
type tries struct {
	Attempts int `json:"attempts,omitempty"`
	// LastError is what the last attempt before the successful one ended with.
	LastError string `json:"last_error,omitempty"`
}

type failed struct {
	Step     string `json:"step"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts,omitempty"`
}

type examined struct {
	Step    string `json:"step"`
	Finding string `json:"finding"`
}

type resumed struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
}

type undone struct {
	Step   string `json:"step"`
	Reason string `json:"reason,omitempty"` // why there was nothing to undo
	// Kept names what the step, and undoing it, have left aside on the host.
	// Versions before didn't say.
	Kept []string `json:"kept"`
}

type waiting struct {
	Step    string `json:"step"`
	Message string `json:"message"`
}

type approved struct {
	Step   string `json:"step"`
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// accepted replaces what the header holds of the steps that had not begun.
type accepted struct {
	By      string        `json:"by"`
	Sources []lang.Source `json:"sources"`
	// Variables and Sensitive are those of the header for what the changed runbook
	// declares; nil in journals of versions that didn't record them.
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	Sensitive map[string]string          `json:"sensitive,omitempty"`
	Plan      *Plan                      `json:"plan"`
}

type pruned struct {
	Path string `json:"path"`
}

type finished struct {
	Outputs []OutputValue `json:"outputs,omitempty"`
}

// OutputValue is what an output came to.
type OutputValue struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Sensitive   bool            `json:"sensitive,omitempty"` // Value is left out then
	Value       json.RawMessage `json:"value,omitempty"`
}

type abandoned struct {
	Reason string `json:"reason"`
}

// Phase is where a run stands.
type Phase string

// The phases of a run.
const (
	Running     Phase = "running"      // or stopped, and can be resumed
	Finished    Phase = "finished"     // every step is done
	RollingBack Phase = "rolling back" // or stopped while doing so
	RolledBack  Phase = "rolled back"
	Abandoned   Phase = "abandoned"
)

// Open reports whether the run is still to be brought to an end.
func (p Phase) Open() bool { return p == Running || p == RollingBack }

// State is what a journal says of its run.
type State struct {
	Header Header
	Phase  Phase
	// Began is when the run's command was given; where that isn't recorded, when
	// the journal was made.
	Began   time.Time
	Updated time.Time
	Steps   map[string]*StepState
	// Failure is the last error, if the run stopped with one.
	Failure *FailureRecord
	// Interrupted says that the run stopped by request.
	Interrupted bool
	// Waiting is the approval that the run waits for.
	Waiting *WaitingRecord
	Outputs []OutputValue // of a finished run
	// Pruned holds the kept paths that were deleted for good.
	Pruned map[string]bool

	brief bool // long texts of results are cut
	// show puts the secrets back into a record's data; nil: they stay hidden.
	show func(json.RawMessage) (json.RawMessage, error)
}

// WaitingRecord is an approval that is waited for.
type WaitingRecord struct{ Step, Message string }

// Approval tells who agreed to a step, when and why.
type Approval struct {
	By, Reason string
	At         time.Time
}

// FailureRecord is an error as the journal keeps it.
type FailureRecord struct {
	Step, Error string
}

// StepState is what a journal says of one step.
type StepState struct {
	intent    *kept
	undo      *kept // the intent of a rollback block
	outcome   *kept
	Started   time.Time
	Ended     time.Time
	Done      bool
	Unchanged bool
	Took      time.Duration
	Undone    bool
	UndoNote  string
	undoKept  []string // nil where that wasn't recorded
	Skipped   string   // why the step was passed over
	SkippedBy string   // and by whom, if by hand
	Failed    bool     // it failed, and the run went on
	// Error is what the step failed with last; empty where it has not failed, is
	// done since, or is being tried again.
	Error    string
	Data     []DataResult
	Approval *Approval
	// Attempts is how often the step was tried, if more than once; LastError is
	// what the last attempt before the successful one ended with.
	Attempts  int
	LastError string
	// Again says that the operator wants a step in doubt carried out again.
	Again bool
}

// Change is what the step was about to do. It is empty where the record of it
// can't be decoded, which a resume and a rollback report.
func (s *StepState) Change() engine.Change { return changeAs[engine.Change](s) }

// changeAs decodes as much of what the step was to do as T has.
func changeAs[T any](s *StepState) (c T) {
	if s.intent == nil {
		return c
	}
	if err := s.intent.part("change", &c); err != nil {
		return *new(T)
	}
	return c
}

// Kept names where the step keeps what it replaced, or what was left aside when
// it was undone.
func (s *StepState) Kept() []string {
	switch {
	case !s.begun():
		return nil
	case s.Undone && s.undoKept != nil:
		return s.undoKept
	}
	change := changeAs[struct { // the rest of it takes its time in ten thousand steps
		Kept     []string `json:"kept"`
		UndoKept []string `json:"undo_kept"`
	}](s)
	if s.Undone {
		return change.UndoKept
	}
	return change.Kept
}

// Result is what the step handed out; nil where it handed out nothing, and where
// the record of it can't be decoded, which a resume and a rollback report.
func (s *StepState) Result() engine.Result {
	if s.outcome == nil || s.PassedOver() {
		return nil
	}
	res, err := s.result()
	if err != nil {
		return nil
	}
	return res
}

// result is also that of a step that has none of its own: what was known of it
// before has to do.
func (s *StepState) result() (engine.Result, error) {
	if s.outcome == nil || s.PassedOver() {
		return s.Change().Results, nil
	}
	var res engine.Result
	err := s.outcome.part("result", &res)
	return res, err
}

// PassedOver reports whether the step is done without a result.
func (s *StepState) PassedOver() bool { return s.Skipped != "" || s.Failed }

// begun reports whether the step may have changed the host.
func (s *StepState) begun() bool { return s != nil && s.intent != nil }

// InDoubt reports whether the step began and no outcome is recorded.
func (s *StepState) InDoubt() bool { return s.begun() && !s.Done }

// unsettled reports whether the step began and came to no result: it is in doubt,
// or failed and the run went on, or was taken as done by hand.
func (s *StepState) unsettled() bool { return s.begun() && (!s.Done || s.PassedOver()) }

// Took is how long the run has taken by now, with its planning and with all pauses.
func (s *State) Took() time.Duration { return s.Updated.Sub(s.Began) }

func (s *State) step(name string) *StepState {
	if s.Steps[name] == nil {
		s.Steps[name] = &StepState{}
	}
	return s.Steps[name]
}

func newState() *State {
	return &State{Phase: Running, Steps: map[string]*StepState{}, Pruned: map[string]bool{}}
}

// Replay turns a journal's records into the state of its run.
func Replay(records []journal.Record) (*State, error) {
	s := newState()
	for _, r := range records {
		if err := s.take(r); err != nil {
			return nil, err
		}
	}
	return s, s.headed()
}

// headed fails unless there was a header.
func (s *State) headed() error {
	if s.Header.Plan == nil {
		return engine.Errorf("journal", "it doesn't begin with a header, which a run writes before anything else")
	}
	return nil
}

// take takes the next record in, without its secrets. A host's clock may have
// been set back meanwhile: that a record comes after another is what tells that it
// is later.
func (s *State) take(r journal.Record) error {
	if r.Time = latest(r.Time, s.Updated); s.Updated.IsZero() {
		s.Began = r.Time
	}
	s.Updated = r.Time
	if r.Kind != kindRun {
		if err := s.headed(); err != nil {
			return err
		}
	}
	whole := r
	r.Data = lean(r.Data)
	if s.show != nil {
		var err error
		if r.Data, err = s.show(r.Data); err != nil {
			return fmt.Errorf("record %d: %w", r.Seq, err)
		}
	}
	return s.apply(r, whole)
}

// apply takes in a record of which r has what is small, with its secrets.
func (s *State) apply(r, whole journal.Record) error {
	switch r.Kind {
	case kindRun:
		if err := r.Decode(&s.Header); err != nil {
			return err
		}
		if s.Header.Format != formatVersion {
			return engine.Errorf("journal", "it has format %d, and this version of runbook reads format %d", s.Header.Format, formatVersion).
				WithHint("Use the version that began the run: %s", s.Header.Version)
		}
		if s.Header.Plan == nil || len(s.Header.Sources) == 0 {
			return engine.Errorf("journal", "its header holds no plan or no runbook")
		}
		if began := s.Header.Began; !began.IsZero() && began.Before(s.Began) {
			s.Began = began
		}
	case kindIntent, kindUndo:
		return s.applyIntent(r, whole)
	case kindDone, kindUndone:
		return s.applyOutcome(r, whole)
	case kindFailed, kindUndoFailed:
		return s.applyFailure(r)
	case kindInterrupted:
		s.Interrupted = true
	case kindResumed:
		s.goOn()
	case kindWaiting, kindApproved, kindAgain:
		return s.applyApproval(r)
	case kindPruned:
		var p pruned
		if err := r.Decode(&p); err != nil {
			return err
		}
		s.Pruned[p.Path] = true
	case kindAccepted:
		var a accepted
		if err := r.Decode(&a); err != nil {
			return err
		}
		if a.Plan == nil || len(a.Sources) == 0 {
			return engine.Errorf("journal", "record %d holds no plan or no runbook", r.Seq)
		}
		s.accept(a)
	case kindExamined:
		var e examined
		if err := r.Decode(&e); err != nil {
			return err
		}
		s.step(e.Step).Again = false // it holds for the attempt that begins now
	default:
		return s.applyPhase(r)
	}
	return nil
}

func (s *State) applyFailure(r journal.Record) error {
	var f failed
	if err := r.Decode(&f); err != nil {
		return err
	}
	s.Failure = &FailureRecord{Step: f.Step, Error: f.Error}
	if r.Kind == kindFailed {
		s.step(f.Step).Error = f.Error
	}
	return nil
}

// goOn forgets what the run had stopped at.
func (s *State) goOn() {
	s.Interrupted, s.Waiting = false, nil
	if f := s.Failure; f != nil && s.Steps[f.Step] != nil {
		s.Steps[f.Step].Error = ""
	}
	s.Failure = nil
}

// accept has the steps that have not begun follow a changed runbook. Whoever agreed
// to one of them agreed to what it was before.
func (s *State) accept(a accepted) {
	s.Header.Sources, s.Header.Plan = a.Sources, a.Plan
	if a.Variables != nil {
		s.Header.Variables, s.Header.Sensitive = a.Variables, a.Sensitive
	}
	for _, st := range s.Steps {
		if !st.begun() && !st.Done {
			st.Approval = nil
		}
	}
}

func (s *State) applyPhase(r journal.Record) error {
	phase, ok := map[string]Phase{
		kindFinished: Finished, kindRollback: RollingBack, kindRolledBack: RolledBack, kindAbandoned: Abandoned,
	}[r.Kind]
	if !ok {
		return engine.Errorf("journal", "record %d is of a kind that this version of runbook doesn't know: %q", r.Seq, r.Kind).
			WithHint("Use the version that began the run: %s", s.Header.Version)
	}
	s.Phase, s.Interrupted, s.Failure, s.Waiting = phase, false, nil, nil
	if r.Kind == kindFinished {
		var f finished
		if err := r.Decode(&f); err != nil {
			return err
		}
		s.Outputs = f.Outputs
	}
	return nil
}

func (s *State) applyApproval(r journal.Record) error {
	if r.Kind == kindWaiting {
		var w waiting
		if err := r.Decode(&w); err != nil {
			return err
		}
		s.Waiting = &WaitingRecord{Step: w.Step, Message: w.Message}
		return nil
	}
	var a approved
	if err := r.Decode(&a); err != nil {
		return err
	}
	if r.Kind == kindAgain {
		// It is also said of a step to go on at that has not begun, and doesn't
		// hold for what comes of that.
		st := s.step(a.Step)
		st.Again = st.InDoubt()
		return nil
	}
	s.step(a.Step).Approval = &Approval{By: a.By, Reason: a.Reason, At: r.Time}
	s.Waiting = nil
	return nil
}

func (s *State) applyIntent(r, whole journal.Record) error {
	var in struct{ Step string }
	if err := r.Decode(&in); err != nil {
		return err
	}
	st := s.step(in.Step)
	if r.Kind == kindUndo {
		st.undo = s.keep(whole)
		return nil
	}
	st.intent, st.Started = s.keep(whole), r.Time
	return nil
}

func (s *State) applyOutcome(r, whole journal.Record) error {
	if r.Kind == kindUndone {
		var u undone
		if err := r.Decode(&u); err != nil {
			return err
		}
		st := s.step(u.Step)
		st.Undone, st.UndoNote, st.undoKept = true, u.Reason, u.Kept
		return nil
	}
	var d struct {
		done
		Result json.RawMessage `json:"result"` // instead of that of done: it is decoded when it is asked for
	}
	if err := r.Decode(&d); err != nil {
		return err
	}
	if len(d.Result) > 0 && d.Result[0] != '{' && string(d.Result) != "null" {
		return fmt.Errorf("record %d: a result is an object, and this is not: %.40s", r.Seq, d.Result)
	}
	st := s.step(d.Step)
	st.outcome, st.Ended = s.keep(whole), r.Time
	st.Done, st.Unchanged, st.Took = true, d.Unchanged, d.Took
	st.Skipped, st.SkippedBy, st.Failed, st.Data = d.Skipped, d.By, d.Failed, d.Data
	st.Attempts, st.LastError = d.Attempts, d.LastError
	if d.Failed {
		s.Failure = nil // the run went on
	} else {
		st.Error = ""
	}
	for _, around := range d.GivenUp {
		s.step(around).Failed = true
	}
	return nil
}
