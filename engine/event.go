package engine

import "time"

// Event is something that a view may show. Whatever an event reports as done
// is durable by then. The set is closed: a view handles every type.
type Event interface{ event() }

// StepInfo says which step an event is about.
type StepInfo struct {
	Name, Action, Description string
	Index, Total              int // Index counts from 1
}

// Output is a value that a run hands out; Text is what may be shown of it.
type Output struct{ Name, Text string }

type (
	// RunStarted says that a run's journal exists; Resumed, that it is taken
	// up again.
	RunStarted struct {
		ID, Runbook, Host string
		Resumed           bool
		Done              int // steps finished earlier
		Started           time.Time
		TimeBudget        time.Duration // since Started; 0: none
	}
	// JournalTorn says that a crash left an incomplete record, which was set
	// aside.
	JournalTorn struct {
		Bytes int
		Aside string
	}
	// StepStarted says that a step begins; PassedOver, that it is known already
	// that StepSkipped follows.
	StepStarted struct {
		Step       StepInfo
		PassedOver bool
	}
	// StepExamined says how far a step in doubt had got: Finding is "done",
	// "not begun", "half-way" or "unknown".
	StepExamined struct {
		Step    StepInfo
		Finding string
	}
	// StepProgress says how far a step is.
	StepProgress struct {
		Step     StepInfo
		Progress Progress
	}
	// StepRetried says that an attempt failed and another follows after Delay.
	StepRetried struct {
		Step              StepInfo
		Attempt, Attempts int
		Delay             time.Duration
		Err               error
	}
	// StepDone says that a step is finished. Unchanged says that the host
	// already was as the step wants it.
	StepDone struct {
		Step      StepInfo
		Unchanged bool
		Change    Change
		Result    Result
		Took      time.Duration
	}
	// StepSkipped says that a step was passed over, and why.
	StepSkipped struct {
		Step   StepInfo
		Reason string
	}
	// StepWaiting says that a step waits for an approval, and the run stops.
	StepWaiting struct {
		Step    StepInfo
		Message string
	}
	// StepFailed says that a step ended with an error.
	StepFailed struct {
		Step StepInfo
		Err  error
	}
	// Stopping says that a request to stop was seen; the step in hand is
	// finished first.
	Stopping struct{}
	// RunFinished says that all steps are done.
	RunFinished struct {
		ID   string
		Took time.Duration
		Kept []string
		// Failed names the steps that failed and that the run went on after.
		Failed  []string
		Outputs []Output
	}
	// UndoStarted, UndoDone and UndoFailed are a rollback's steps. Reason is
	// set where a step has nothing to undo.
	UndoStarted struct{ Step StepInfo }
	UndoDone    struct {
		Step   StepInfo
		Reason string
	}
	UndoFailed struct {
		Step StepInfo
		Err  error
	}
	// RolledBack says that all steps are undone.
	RolledBack struct {
		ID    string
		Began time.Time // the run: the host is as it was then
		// Broken says that the runbook's goal didn't hold then.
		Broken bool
		// Left names the steps that were left as they are.
		Left []string
		// Kept names what was set aside, by the run or by undoing it.
		Kept []string
	}
)

func (RunStarted) event()   {}
func (JournalTorn) event()  {}
func (StepStarted) event()  {}
func (StepExamined) event() {}
func (StepProgress) event() {}
func (StepRetried) event()  {}
func (StepDone) event()     {}
func (StepSkipped) event()  {}
func (StepWaiting) event()  {}
func (StepFailed) event()   {}
func (Stopping) event()     {}
func (RunFinished) event()  {}
func (UndoStarted) event()  {}
func (UndoDone) event()     {}
func (UndoFailed) event()   {}
func (RolledBack) event()   {}
