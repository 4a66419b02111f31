package view

import (
	"time"

	"runbook/engine"
	"runbook/engine/run"
)

// Event writes one event.
func (j *JSON) Event(e engine.Event) {
	switch e := e.(type) {
	case engine.RunStarted:
		f := body{"run": e.ID, "runbook": e.Runbook, "host": e.Host, "resumed": e.Resumed, "steps_done": e.Done, "started": e.Started}
		if e.TimeBudget > 0 {
			f["time_budget_seconds"] = e.TimeBudget.Seconds()
		}
		j.emit("run_started", f)
	case engine.JournalTorn:
		j.emit("journal_torn", body{"bytes": e.Bytes, "aside": e.Aside})
	case engine.Stopping:
		j.emit("stopping", nil)
	case engine.RunFinished:
		j.emit("run_finished", body{
			"run": e.ID, "took_seconds": e.Took.Seconds(), "kept": orEmpty(e.Kept), "failed_steps": orEmpty(e.Failed), "outputs": outputsJSON(e.Outputs),
		})
	case engine.RolledBack:
		j.emit("rolled_back", body{"run": e.ID, "began": e.Began, "goal_failed_then": e.Broken, "left_as_is": orEmpty(e.Left), "kept": orEmpty(e.Kept)})
	case engine.UndoStarted:
		j.emit("undo_started", ofStep(e.Step, nil))
	case engine.UndoDone:
		j.emit("undo_done", ofStep(e.Step, body{"left_as_is": e.Reason}))
	case engine.UndoFailed:
		j.emit("undo_failed", ofStep(e.Step, body{"error": e.Err.Error()}))
	default:
		j.stepEvent(e)
	}
}

func (j *JSON) stepEvent(e engine.Event) {
	switch e := e.(type) {
	case engine.StepStarted:
		j.emit("step_started", ofStep(e.Step, nil))
	case engine.StepExamined:
		j.emit("step_examined", ofStep(e.Step, body{"finding": word(e.Finding)}))
	case engine.StepProgress:
		j.stepProgress(e)
	case engine.StepRetried:
		j.emit("step_retried", ofStep(e.Step, body{
			"attempt": e.Attempt, "attempts": e.Attempts, "delay_seconds": e.Delay.Seconds(), "error": e.Err.Error(),
		}))
	case engine.StepDone:
		j.emit("step_done", ofStep(e.Step, body{
			"unchanged": e.Unchanged, "took_seconds": e.Took.Seconds(), "change": changeJSON(e.Change), "result": orEmptyMap(e.Result),
		}))
	case engine.StepSkipped:
		j.emit("step_skipped", ofStep(e.Step, body{"reason": e.Reason}))
	case engine.StepWaiting:
		j.emit("step_waiting", ofStep(e.Step, body{"message": e.Message}))
	case engine.StepFailed:
		j.emit("step_failed", ofStep(e.Step, body{"error": e.Err.Error()}))
	}
}

// stepProgress writes at most one progress a second: actions report as often as
// is convenient for them.
func (j *JSON) stepProgress(e engine.StepProgress) {
	now := j.now()
	j.mu.Lock()
	soon := now.Sub(j.progress) < time.Second
	if !soon {
		j.progress = now
	}
	j.mu.Unlock()
	if !soon {
		j.emit("step_progress", ofStep(e.Step, body{
			"doing": e.Progress.Doing, "done_bytes": e.Progress.Done, "total_bytes": e.Progress.Total,
		}))
	}
}

// ofStep adds to f which step an event is about.
func ofStep(s engine.StepInfo, f body) body {
	all := body{"step": body{
		"name": s.Name, "action": s.Action, "description": s.Description, "index": s.Index, "total": s.Total,
	}}
	for k, v := range f {
		all[k] = v
	}
	return all
}

// RollbackPlan writes what a rollback would undo.
func (j *JSON) RollbackPlan(s *run.State) {
	undo := []body{}
	for _, u := range undoable(s) {
		f := body{"name": u.plan.Name, "action": u.plan.Action, "index": u.index, "change": changeJSON(reversed(u.change)), "kept": orEmpty(u.change.UndoKept)}
		if u.change.UndoNote != "" {
			f["takes_away"] = u.change.UndoNote
		}
		if u.plan.CantUndo != "" {
			f["left_as_is"] = u.plan.CantUndo
		}
		undo = append(undo, f)
	}
	j.emit("rollback_plan", body{"run": s.Header.Run.ID, "runbook": s.Header.Run.Runbook, "host": s.Header.Host, "steps": undo})
}
