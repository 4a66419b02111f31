package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-runewidth"

	"runbook/engine"
)

// status is what is being done right now.
type status struct {
	run     engine.RunStarted
	began   time.Time    // of this process's work on the run
	pending engine.Event // the step in hand, whose headline stands in the status
	head    string       // [2/7] name
	left    int          // steps after the one in hand
	stepAt  time.Time
	doing   string
	trouble string // why the last attempt failed
	bytes   bytesDone
	stops   bool
	undoing bool
}

// bytesDone is how far something is that can be counted, and since when.
type bytesDone struct {
	done, total int64
	from        int64
	since       time.Time
}

// take takes an event in, and reports whether the status is all that it changes.
func (s *status) take(e engine.Event, now time.Time) bool {
	switch e := e.(type) {
	case engine.RunStarted:
		s.run, s.began = e, now
	case engine.StepStarted:
		if e.PassedOver {
			return false
		}
		s.begin(e, e.Step, fmt.Sprintf("[%d/%d] %s", e.Step.Index, e.Step.Total, e.Step.Name), now)
		s.left = e.Step.Total - e.Step.Index
		return true
	case engine.UndoStarted:
		s.begin(e, e.Step, fmt.Sprintf("[undo %d] %s", e.Step.Index, e.Step.Name), now)
		s.left, s.undoing, s.run.TimeBudget = 0, true, 0 // the budget is for the way forward
		return true
	case engine.StepProgress:
		s.doing = e.Progress.Doing
		s.bytes.take(e.Progress, now)
		return true
	case engine.StepRetried:
		s.trouble = fmt.Sprintf("try %d of %d: %s", e.Attempt, e.Attempts, e.Err)
		return true
	case engine.StepDone, engine.StepSkipped, engine.StepWaiting, engine.StepFailed, engine.UndoDone, engine.UndoFailed:
		s.head = ""
	case engine.Stopping:
		s.stops = true
	}
	return false
}

func (s *status) begin(e engine.Event, step engine.StepInfo, head string, now time.Time) {
	s.pending, s.head, s.stepAt = e, head, now
	s.doing, s.trouble, s.bytes = headline(step), "", bytesDone{}
}

func (b *bytesDone) take(p engine.Progress, now time.Time) {
	if p.Total != b.total || p.Done < b.done { // something else is counted
		*b = bytesDone{from: p.Done, since: now}
	}
	b.done, b.total = p.Done, p.Total
}

// text says how much is done, and how fast that goes.
func (b bytesDone) text(now time.Time) string {
	switch {
	case b.total <= 0:
		return ""
	case b.done <= 0:
		return humanize.IBytes(uint64(b.total))
	}
	text := fmt.Sprintf("%d%% %s of %s", min(100, b.done*100/b.total), humanize.IBytes(uint64(b.done)), humanize.IBytes(uint64(b.total)))
	if took := now.Sub(b.since); took >= time.Second && b.done > b.from {
		text += fmt.Sprintf(", %s/s", humanize.IBytes(uint64(float64(b.done-b.from)/took.Seconds())))
	}
	return text
}

// lines are the status in the colours of h, for a terminal of that size: never
// as wide as that, and never as high.
func (s *status) lines(h *Human, now time.Time, width, height int) []statusLine {
	if s.head == "" {
		return nil
	}
	rows := 1
	if height >= roomy {
		rows = 2
	}
	var all []statusLine
	add := func(c paint, text string, rows int) {
		for _, row := range rowsOf(text, width-1, rows) {
			all = append(all, statusLine{text: string(c.Sprint(row)), width: runewidth.StringWidth(row)})
		}
	}
	add(h.bold, s.head+" "+clock(now.Sub(s.stepAt)), 1)
	add(h.plain, s.doing, rows)
	add(h.change, s.trouble, rows)
	add(h.plain, s.bytes.text(now), 1)
	add(h.timeColor(s, now), s.time(now), 1)
	if fits := max(1, height-1); len(all) >= fits {
		return all[:fits]
	}
	return append([]statusLine{{}}, all...) // apart from what is finished
}

// roomy is from what height on a terminal has room for longer reasons.
const roomy = 16

// rowsOf is a text in no more rows than that, none of which is wider than the
// columns. What is too long loses its middle: the reason stands at the end.
func rowsOf(text string, columns, rows int) []string {
	text = clean(strings.Join(strings.Fields(text), " "))
	if text == "" {
		return nil
	}
	for most := rows * columns; ; most -= max(1, columns/8) {
		all := strings.Split(wrapped(inBrief(text, most), columns), "\n")
		if len(all) <= rows || most <= columns {
			all = all[:min(len(all), rows)]
			for i, row := range all {
				all[i] = middle(row, columns)
			}
			return all
		}
	}
}

// time is the run's: elapsed, allowed, and what is still to be done.
func (s *status) time(now time.Time) string {
	parts := []string{clock(s.elapsed(now))}
	if s.run.TimeBudget > 0 {
		parts[0] += " of " + clock(s.run.TimeBudget)
	}
	if s.late(now) {
		parts = append(parts, clock(s.elapsed(now)-s.run.TimeBudget)+" over")
	}
	if s.left > 0 {
		parts = append(parts, count(s.left, "step")+" left")
	}
	if s.stops {
		parts = append(parts, "stopping after this step")
	}
	return strings.Join(parts, ", ")
}

// elapsed counts from the run's beginning, through all interruptions: that is
// what its time budget is about. A rollback counts by itself.
func (s *status) elapsed(now time.Time) time.Duration {
	if s.undoing || s.run.Started.IsZero() {
		return now.Sub(s.began)
	}
	return max(0, now.Sub(s.run.Started))
}

// late reports whether the time budget is used up.
func (s *status) late(now time.Time) bool {
	return s.run.TimeBudget > 0 && s.elapsed(now) > s.run.TimeBudget
}

func (h *Human) timeColor(s *status, now time.Time) paint {
	if s.late(now) {
		return h.bad
	}
	return h.faint
}

// clock is a duration as a clock shows it: 0:07, 12:34, 1:02:03.
func clock(d time.Duration) string {
	sec := int(d / time.Second)
	if sec >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", sec/3600, sec/60%60, sec%60)
	}
	return fmt.Sprintf("%d:%02d", sec/60, sec%60)
}
