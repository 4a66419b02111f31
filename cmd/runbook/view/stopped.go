package view

import (
	"math"
	"strings"

	"runbook/engine"
	"runbook/engine/run"
)

// Stopped says that a run stopped early, what it has done so far, and how to go
// on.
func (h *Human) Stopped(id string, phase run.Phase, s *run.State) {
	if !h.spaced {
		h.Note("")
	}
	if s == nil {
		h.Note("Run %s has stopped.", id)
		howToGoOn(h.Note, id, phase, "")
		return
	}
	at := standsAt(s)
	switch {
	case s.Waiting != nil:
		h.Note("Run %s waits at step %s.", id, at)
	case at != "":
		h.Note("Run %s has stopped at step %s.", id, at)
	default:
		h.Note("Run %s has stopped.", id)
	}
	h.soFar(s)
	if s.Waiting != nil {
		h.Note("  agree:    runbook approve %s %s", id, at)
	}
	howToGoOn(h.Note, id, phase, at)
}

// standsAt is the step that has failed, or that waits for somebody.
func standsAt(s *run.State) string {
	switch {
	case s.Waiting != nil:
		return s.Waiting.Step
	case s.Failure != nil:
		return s.Failure.Step
	}
	return ""
}

// mostSoFar is how many changes are told where a run stops.
const mostSoFar = 6

// soFar tells how the host is now: what the run has changed and not undone, the
// last of it first, and what a step that has not finished may have changed.
func (h *Human) soFar(s *run.State) {
	steps := undoable(s)
	if len(steps) == 0 {
		h.Note("Nothing has been changed.")
		return
	}
	var now []namedValue
	told := map[string]bool{}
	for _, u := range steps {
		if !s.Steps[u.plan.Name].Done {
			h.Note("Step %s has begun and not finished. It changes %s.", u.plan.Name, strings.Join(targets(u.change), ", "))
			continue
		}
		for _, it := range u.change.Items {
			what := strings.TrimSpace(oneWord(it.Target) + " " + it.Attribute)
			if !told[what] { // and not changed again later
				told[what] = true
				now = append(now, namedValue{what, tokens.ReplaceAllString(oneWord(it.After), "(sensitive)")})
			}
		}
	}
	h.nowIs(now, s.Header.Run.ID)
}

func targets(c engine.Change) []string {
	var all []string
	for _, it := range c.Items {
		all = append(all, strings.TrimSpace(oneWord(it.Target)+" "+it.Attribute))
	}
	return all
}

// nowIs shows what was changed, a line each.
func (h *Human) nowIs(now []namedValue, id string) {
	if len(now) == 0 {
		return
	}
	h.Note("What was changed is now:")
	for _, v := range now[:min(len(now), mostSoFar)] {
		most := math.MaxInt
		if h.errWidth > 0 {
			most = widestOf([]string{v.Name, v.Value}, h.errWidth-len("  ~ : "))
		}
		h.Note("  %s %s: %s", h.change.Sprint("~"), middle(v.Name, most), middle(v.Value, most))
	}
	if more := len(now) - mostSoFar; more > 0 {
		h.Note("  and %s; `runbook show %s` has them all", count(more, "change"), id)
	}
}

// howToGoOn says what to type. at is the step that the run stands at; empty where
// it doesn't matter.
func howToGoOn(say func(format string, args ...any), id string, phase run.Phase, at string) {
	say("  go on:    runbook resume %s", id)
	if phase == run.Running {
		if at != "" {
			say("  skip it:  runbook resume %s --skip %s --reason …", id, at)
		}
		say("  undo it:  runbook rollback %s", id)
	}
	say("  look:     runbook show %s", id)
}
