package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"runbook/engine/run"
)

// listRow is a run as the list has it: its columns, and what there is to say below
// them.
type listRow struct {
	cells []string
	notes []string
	tone  tone // of the notes
}

var listHead = listRow{cells: []string{"RUN", "RUNBOOK", "STATE", "STEPS", "TOOK", "UPDATED"}}

// tookColumn is the one that can best be done without.
const tookColumn = 4

// List shows runs, the newest first. Of those that come again and again and went
// well, the newest stands for all, unless all are wanted.
func (h *Human) List(runs []run.Summary, all bool) { h.list(runs, all, time.Now()) }

func (h *Human) list(runs []run.Summary, all bool, now time.Time) {
	if len(runs) == 0 {
		h.line("There are no runs yet.")
		return
	}
	rows := []listRow{listHead}
	earlier := earlierRuns(runs, all)
	for _, r := range runs {
		n := earlier[r.ID]
		if n < 0 {
			continue
		}
		row := listedRun(r, now)
		if n > 0 {
			row.notes = append(row.notes, fmt.Sprintf("and %s of it before that went well (--all)", count(n, "run")))
		}
		rows = append(rows, row)
	}
	h.listing(rows)
}

// earlierRuns says of runs that come again and again and went well how many earlier ones
// each stands for; of those that another stands for, -1.
func earlierRuns(runs []run.Summary, all bool) map[string]int {
	newest, n := map[string]string{}, map[string]int{}
	for _, r := range runs {
		if all || !routine(r) {
			continue
		}
		book := r.State.Header.Run.Runbook
		if first, ok := newest[book]; ok {
			n[first]++
			n[r.ID] = -1
			continue
		}
		newest[book] = r.ID
	}
	return n
}

// routine reports whether there is nothing to tell of a run: it went well, and is of
// a runbook that may be begun anew at any time, as a backup may.
func routine(r run.Summary) bool {
	return r.State != nil && r.State.Phase == run.Finished && r.State.Header.Plan.Restartable && len(failedSteps(r.State)) == 0
}

func listedRun(r run.Summary, now time.Time) listRow {
	if r.State == nil {
		state := "unreadable"
		if r.GivenUp {
			state += ", given up"
		}
		return listRow{cells: []string{clean(r.ID), "", state, "", "", ""}, notes: []string{r.Err.Error()}, tone: bad}
	}
	s := r.State
	row := listRow{tone: bad, cells: []string{
		clean(r.ID), clean(s.Header.Run.Runbook), shortStanding(s, r.Busy), stepsOf(s), took(s.Took()), day(s.Updated, now),
	}}
	switch failed := failedSteps(s); {
	case s.Failure != nil:
		row.notes = []string{"failed at " + s.Failure.Step + ": " + s.Failure.Error}
	case len(failed) > 0:
		row.notes = []string{"failed, and passed over: " + strings.Join(failed, ", ")}
	case s.Waiting != nil:
		row.notes, row.tone = []string{"step " + s.Waiting.Step + ": " + s.Waiting.Message}, noted
	}
	return row
}

// stepsOf says how many steps are done, or of those that were begun, undone.
func stepsOf(s *run.State) string {
	undone := undoneOf(s)
	if undone == 0 && s.Phase != run.RollingBack {
		return fmt.Sprintf("%d of %d", doneOf(s), len(s.Header.Plan.Steps))
	}
	return fmt.Sprintf("%d of %d undone", undone, undone+len(undoable(s)))
}

func doneOf(s *run.State) int { return stepsThat(s, func(st *run.StepState) bool { return st.Done }) }

func undoneOf(s *run.State) int {
	return stepsThat(s, func(st *run.StepState) bool { return st.Undone })
}

// stepsThat counts the steps of which want holds.
func stepsThat(s *run.State, want func(*run.StepState) bool) int {
	n := 0
	for _, p := range s.Header.Plan.Steps {
		if st := s.Steps[p.Name]; st != nil && want(st) {
			n++
		}
	}
	return n
}

// failedSteps are those that failed and that the run went on after.
func failedSteps(s *run.State) []string {
	var failed []string
	for _, p := range s.Header.Plan.Steps {
		if st := s.Steps[p.Name]; st != nil && st.Failed {
			failed = append(failed, p.Name)
		}
	}
	return failed
}

// day is a time as short as it can be told: of the time of the day no more than of
// the year is of use after half of one.
func day(t, now time.Time) string {
	if t = t.Local(); now.Sub(t) > 180*24*time.Hour {
		return t.Format("_2 Jan 2006")
	}
	return t.Format("_2 Jan 15:04")
}

// listing shows rows in columns, without the least of them where there is no room for
// all; where there still is none, on lines of their own.
func (h *Human) listing(rows []listRow) {
	wide := int(h.width)
	inTable := rows
	if tableWidth(columnWidths(rows)) > wide {
		inTable = withoutTook(rows)
	}
	widths := columnWidths(inTable)
	beside := tableWidth(widths) <= wide
	for i, r := range rows {
		switch {
		case beside:
			h.line("%s", tableLine(inTable[i].cells, widths))
		case i > 0:
			h.line("%s", strings.TrimRight(r.cells[0]+"  "+r.cells[1], " "))
			h.line("%s", h.wrap(sentence(r.cells[2:]), "  "))
		}
		for _, note := range r.notes {
			h.line("  %s", h.toned(r.tone).Sprint(h.cut(note, wide-3)))
		}
	}
}

func withoutTook(rows []listRow) []listRow {
	short := slices.Clone(rows)
	for i, r := range short {
		short[i].cells = slices.Delete(slices.Clone(r.cells), tookColumn, tookColumn+1)
	}
	return short
}

func columnWidths(rows []listRow) []int {
	widths := make([]int, len(rows[0].cells))
	for _, r := range rows {
		for i, cell := range r.cells {
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	return widths
}

func tableWidth(widths []int) int {
	all := 2 * (len(widths) - 1)
	for _, w := range widths {
		all += w
	}
	return all
}

func tableLine(cells []string, widths []int) string {
	filled := make([]string, len(cells))
	for i, cell := range cells {
		filled[i] = runewidth.FillRight(cell, widths[i])
	}
	return strings.TrimRight(strings.Join(filled, "  "), " ")
}

// sentence is what cells say, in a line.
func sentence(cells []string) string {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c string) bool { return c == "" })
	return strings.TrimSpace(strings.Join(cells, ", "))
}
