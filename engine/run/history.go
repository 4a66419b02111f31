package run

import (
	"time"

	"runbook/engine/journal"
)

// History is what happened in a run, in the order of time, as its journal
// tells it. It is made for whoever looks back: State tells how the run stands.
type History struct {
	State *State
	Busy  bool // a process works on it now
	Log   []LogEntry
	// Spans are when each step was worked on, the oldest first, and Pauses when
	// nobody was at work.
	Spans     []Span
	Pauses    []Pause
	Failures  []PastFailure
	Decisions []Decision
	// Settled is when the run was first brought to an end; zero if it wasn't.
	// Ended is the last that happened in it, apart from pruning.
	Settled, Ended time.Time
}

// Span is a stretch of time that a step took.
type Span struct {
	Step     string
	Kind     SpanKind
	From, To time.Time
}

// SpanKind is how a span ended.
type SpanKind string

// The kinds of spans.
const (
	SpanDone       SpanKind = "done"
	SpanFailed     SpanKind = "failed"
	SpanCut        SpanKind = "cut short" // To is the last that is known of it
	SpanWaited     SpanKind = "waited for an approval"
	SpanUndone     SpanKind = "undone"
	SpanUndoFailed SpanKind = "undoing it failed"
)

// Pause is a stretch of time in which nobody worked on a run that went on
// later, or was given up.
type Pause struct {
	From, To time.Time
	Why      PauseReason
}

// PauseReason is why nobody was at work.
type PauseReason string

// The reasons of pauses.
const (
	PauseDied     PauseReason = "interrupted" // the process ended without a word
	PauseStopped  PauseReason = "stopped by request"
	PauseFailed   PauseReason = "stopped by a failure"
	PauseApproval PauseReason = "waited for an approval"
	PauseSettled  PauseReason = "ended, and was rolled back later"
)

// PastFailure is an error of a run, whether or not the run got over it.
type PastFailure struct {
	At       time.Time
	Step     string
	Undoing  bool
	Attempts int // how often it was tried; 0 if that isn't known
	Error    string
}

// Decision is what a person decided in a run.
type Decision struct {
	At time.Time
	// Kind is that of the record: approved, again, skipped, accepted or
	// abandoned.
	Kind             string
	Step, By, Reason string
	Question         string // what was asked
}

// A Reading is what a data source read, and when. The run holds to it from then
// on.
type Reading struct {
	DataResult
	At time.Time
}

// Readings are what data sources read: most before the first step, those of a
// late runbook when its step began.
func (s *State) Readings() []Reading {
	var all []Reading
	for _, d := range s.Header.Plan.Data {
		all = append(all, Reading{d, s.Header.Run.Started})
	}
	for _, p := range s.Header.Plan.Steps {
		if st := s.Steps[p.Name]; st != nil {
			for _, d := range st.Data {
				all = append(all, Reading{d, st.Ended})
			}
		}
	}
	return all
}

// Wanted is how much of a run's history is wanted.
type Wanted struct {
	Log   bool // its records too
	Brief bool // of long texts in the steps' results the beginning will do
}

// History tells what happened in a run.
func (s Store) History(id string, want Wanted) (*History, error) {
	if err := s.Exists(id); err != nil {
		return nil, err
	}
	busy, err := journal.Busy(s.run(id))
	if err != nil {
		return nil, err
	}
	t := newTeller(want)
	err = s.replay(id, t.h.State, func(take visit) error {
		return journal.Read(s.run(id), func(r journal.Record) error {
			if err := take(r); err != nil {
				return err
			}
			if err := t.hear(r); err != nil {
				return s.unusable(id, err)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return t.end(busy), nil
}

// Tell turns a journal's records into the history of its run.
func Tell(records []journal.Record, busy bool) (*History, error) {
	t := newTeller(Wanted{Log: true})
	for _, r := range records {
		if err := t.h.State.take(r); err != nil {
			return nil, err
		}
		if err := t.hear(r); err != nil {
			return nil, err
		}
	}
	return t.end(busy), t.h.State.headed()
}

// teller goes through the records of a run.
type teller struct {
	h  *History
	at time.Time // of the last record of a process that was at work
	// step is in flight since then, if it isn't empty.
	step  string
	since time.Time
	idle  PauseReason // why nobody is at work; empty while somebody is
	asked string      // the approval that is waited for
	log   bool
}

func newTeller(want Wanted) *teller {
	s := newState()
	s.brief = want.Brief
	return &teller{h: &History{State: s}, log: want.Log}
}

func (t *teller) end(busy bool) *History {
	t.cut(t.at)
	t.h.Busy = busy
	return t.h
}

// told is what of a record is part of the history.
type told struct {
	Step, Error, Reason, Skipped, Message, By string

	Failed   bool
	Attempts int
	Took     time.Duration `json:"took_ns"`
}

// hear takes in the record that its state was the last to take in.
func (t *teller) hear(r journal.Record) error {
	if r.Time = t.h.State.Updated; t.at.IsZero() {
		t.at = r.Time
	}
	if t.log {
		e, err := logEntry(r)
		if err != nil {
			return err
		}
		t.h.Log = append(t.h.Log, e)
	}
	r.Data = lean(r.Data)
	var d told
	if err := r.Decode(&d); err != nil {
		return err
	}
	if r.Kind != kindPruned {
		t.h.Ended = r.Time
	}
	switch r.Kind {
	case kindIntent, kindUndo:
		t.step, t.since = d.Step, r.Time
	case kindDone, kindUndone:
		t.outcome(r, d)
	case kindFailed, kindUndoFailed:
		t.failure(r, d)
	case kindInterrupted:
		t.stop(r.Time, PauseStopped)
	case kindWaiting:
		t.asked = d.Message
		t.stop(r.Time, PauseApproval)
	case kindResumed:
		t.goOn(r.Time)
	case kindFinished, kindRolledBack:
		t.settle(r.Time)
	default:
		t.decision(r, d)
	}
	if t.idle == "" {
		t.at = r.Time
	}
	return nil
}

// outcome ends the span of a step. A step without an intent began when its
// attempts did; of one that an undo had nothing to do for there is no span.
func (t *teller) outcome(r journal.Record, d told) {
	switch {
	case d.By != "":
		t.rest() // it is said before the run goes on
		t.h.Decisions = append(t.h.Decisions, Decision{At: r.Time, Kind: "skipped", Step: d.Step, By: d.By, Reason: d.Skipped})
	case r.Kind == kindUndone && d.Reason == "":
		t.span(d.Step, SpanUndone, t.begin(d.Step), r.Time)
	case r.Kind == kindDone && d.Took > 0:
		t.span(d.Step, SpanDone, latest(t.at, r.Time.Add(-d.Took)), r.Time)
	}
	t.step = ""
}

func (t *teller) failure(r journal.Record, d told) {
	kind := SpanFailed
	if r.Kind == kindUndoFailed {
		kind = SpanUndoFailed
	}
	t.span(d.Step, kind, t.begin(d.Step), r.Time)
	t.step = ""
	t.h.Failures = append(t.h.Failures, PastFailure{
		At: r.Time, Step: d.Step, Undoing: r.Kind == kindUndoFailed, Attempts: d.Attempts, Error: d.Error,
	})
}

// decision takes in what people decide, at a terminal while the run waits for
// them or by a command of its own.
func (t *teller) decision(r journal.Record, d told) {
	dec := Decision{At: r.Time, Kind: r.Kind, Step: d.Step, By: d.By, Reason: d.Reason}
	switch r.Kind {
	case kindApproved:
		if dec.Question = t.asked; t.idle == "" {
			dec.Question = t.h.State.Header.Plan.step(d.Step).Approve
			t.span(d.Step, SpanWaited, t.at, r.Time)
		}
	case kindAbandoned:
		t.goOn(r.Time)
		t.settle(r.Time)
	case kindAgain, kindAccepted:
		if r.Kind == kindAccepted || d.Reason != "" {
			t.rest() // it is said before the run goes on; without a reason, at a question of the run
		}
	default:
		return
	}
	t.h.Decisions = append(t.h.Decisions, dec)
}

// begin is when the step's work began: with its intent, or when the step
// before was done.
func (t *teller) begin(step string) time.Time {
	if t.step == step {
		return latest(t.since, t.at)
	}
	return t.at
}

func (t *teller) span(step string, kind SpanKind, from, to time.Time) {
	t.h.Spans = append(t.h.Spans, Span{Step: step, Kind: kind, From: from, To: latest(from, to)})
}

// stop says that nobody is at work from now on.
func (t *teller) stop(now time.Time, why PauseReason) {
	t.cut(now)
	t.at, t.idle = now, why
}

// cut ends the span of a step whose outcome isn't recorded.
func (t *teller) cut(to time.Time) {
	if t.step != "" {
		t.span(t.step, SpanCut, t.since, to)
	}
	t.step = ""
}

// rest says that nobody has been at work since the last record. Where that
// doesn't say why, the process died.
func (t *teller) rest() {
	if t.idle != "" {
		return
	}
	t.cut(t.at)
	t.idle = PauseDied
	if n := len(t.h.Failures); n > 0 && t.h.Failures[n-1].At.Equal(t.at) {
		t.idle = PauseFailed
	}
}

// goOn ends a pause.
func (t *teller) goOn(now time.Time) {
	t.rest()
	t.h.Pauses = append(t.h.Pauses, Pause{From: t.at, To: now, Why: t.idle})
	t.idle = ""
}

// settle says that the run has been brought to an end. What follows is a
// rollback that was decided on later.
func (t *teller) settle(now time.Time) {
	if t.h.Settled.IsZero() {
		t.h.Settled = now
	}
	t.at, t.idle, t.step = now, PauseSettled, ""
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
