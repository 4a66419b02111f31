package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"runbook/engine/run"
)

// outcome says in a word or two how a run ended.
func outcome(h *run.History) (string, tone) {
	word := strings.ReplaceAll(statusWord(h.State, h.Busy), "_", " ")
	switch word {
	case "finished":
		if len(failedSteps(h.State)) > 0 {
			return "finished, with failures", noted
		}
		return word, good
	case "abandoned":
		return "given up", bad
	case "failed":
		return word, bad
	case "rolled back", "interrupted", "stopped", "waiting":
		return word, noted
	}
	return word, neutral
}

// summary says in a few sentences what a reader in a hurry wants to know.
func summary(h *run.History) string {
	said := []string{stepsDone(h.State)}
	if h.State.Phase == run.RolledBack {
		said = []string{undoing(h)}
	}
	if f := h.State.Failure; f != nil {
		said = append(said, "It stopped at step "+f.Step)
	}
	if w := h.State.Waiting; w != nil {
		said = append(said, "Step "+w.Step+" waits for an approval")
	}
	for _, why := range []run.PauseReason{run.PauseDied, run.PauseStopped, run.PauseFailed, run.PauseApproval} {
		if text := paused(h, why); text != "" {
			said = append(said, text)
		}
	}
	return strings.Join(said, ". ") + "."
}

// undoing says why a run was rolled back, and what was not.
func undoing(h *run.History) string {
	text := "What its steps had changed was undone"
	for _, f := range h.Failures {
		if !f.Undoing {
			text = "Step " + f.Step + " failed, and what had been changed was undone"
		}
	}
	if rolledBackLater(h) {
		text = "It finished at " + stamp(h.Settled) + ", and was rolled back later"
	}
	left := 0
	for _, st := range h.State.Steps {
		if st.Undone && st.UndoNote != "" {
			left++
		}
	}
	if left > 0 {
		text += ", but for " + count(left, "step") + " left as it is"
	}
	return text
}

func rolledBackLater(h *run.History) bool {
	return slices.ContainsFunc(h.Pauses, func(p run.Pause) bool { return p.Why == run.PauseSettled })
}

func stepsDone(s *run.State) string {
	var passed, failed, all int
	for _, p := range s.Header.Plan.Steps {
		st := s.Steps[p.Name]
		switch all++; {
		case st == nil:
		case st.Failed:
			failed++
		case st.Skipped != "":
			passed++
		}
	}
	text := fmt.Sprintf("%d of %s done", doneOf(s)-passed-failed, count(all, "step"))
	if doneOf(s) == all && passed+failed == 0 {
		text = count(all, "step") + ", all of them done"
	}
	if passed > 0 {
		text += fmt.Sprintf(", %d passed over", passed)
	}
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}

// paused says how often, and how long in all, a run stood still for a reason.
func paused(h *run.History, why run.PauseReason) string {
	var n int
	var d time.Duration
	for _, p := range h.Pauses {
		if p.Why == why {
			n++
			d += p.To.Sub(p.From)
		}
	}
	verb := map[run.PauseReason]string{
		run.PauseDied: "It was interrupted", run.PauseStopped: "It was stopped by request",
		run.PauseFailed: "It stood still after a failure", run.PauseApproval: "It waited for an approval",
	}[why]
	switch n {
	case 0:
		return ""
	case 1:
		return verb + " for " + spoken(d)
	}
	return fmt.Sprintf("%s %d times, for %s in all", verb, n, spoken(d))
}

// spoken is a duration in the words of a report.
func spoken(d time.Duration) string {
	units := func(a time.Duration, an string, b time.Duration, bn string) string {
		d := d.Round(b)
		text := fmt.Sprintf("%d %s", d/a, an)
		if rest := d % a / b; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, bn)
		}
		return text
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d.Round(time.Millisecond), time.Millisecond).Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour-time.Second/2:
		return units(time.Minute, "min", time.Second, "s")
	case d < day-time.Minute/2:
		return units(time.Hour, "h", time.Minute, "min")
	}
	return units(day, "d", time.Hour, "h")
}

// stamp is a time as a report has it. Reports are read in other places than
// the one they tell of, so that their times are UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// dayTime is the time of the day alone.
func dayTime(t time.Time) string { return t.UTC().Format("15:04:05") }
