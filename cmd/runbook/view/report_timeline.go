package view

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"runbook/engine/run"
)

// timeline is the run as bars over time. All places and widths are percents of
// the whole.
type timeline struct {
	Rows   []row
	Ticks  []tick
	Pauses []band
	Budget *tick // where the time budget ends, if that is in sight
	Folded int   // how many steps share a row with others
}

type row struct {
	Index       int
	Label, Href string
	Word        string
	Began       time.Time
	Tone        tone
	Bars        []bar
	Took, Title string
	Group       bool // of several steps
}

type bar struct {
	X, W  float64
	Kind  string
	Title string
}

type tick struct {
	X     float64
	At    time.Time
	Label string
}

// band is a pause. One that would leave no room for what was done is drawn
// shorter than it was.
type band struct {
	X, W      float64
	Kind      string
	Label     string
	Title     string
	Shortened bool
	From, To  time.Time
	Took      string
	Why       string
}

// piece is a stretch of the axis: from and to are drawn at x0 and x1.
type piece struct {
	from, to time.Time
	x0, x1   float64
	pause    *run.Pause
	short    bool
}

// axis maps times to percents.
type axis []piece

// newAxis lays out the time from begin to end. A pause that took longer than
// half of the work is drawn as if it had taken a sixth of it.
func newAxis(begin, end time.Time, pauses []run.Pause) axis {
	work := end.Sub(begin)
	for _, p := range pauses {
		work -= p.To.Sub(p.From)
	}
	work = max(work, time.Millisecond)
	var a axis
	at, x := begin, 0.0
	add := func(to time.Time, length time.Duration, pause *run.Pause) {
		next := x + float64(length)
		a = append(a, piece{from: at, to: to, x0: x, x1: next, pause: pause, short: pause != nil && length != to.Sub(at)})
		at, x = to, next
	}
	for i := range pauses {
		p := &pauses[i]
		add(p.From, p.From.Sub(at), nil)
		length := p.To.Sub(p.From)
		if length > work/2 {
			length = work / 6
		}
		add(p.To, length, p)
	}
	add(end, max(end.Sub(at), 0), nil)
	for i := range a {
		a[i].x0, a[i].x1 = percent(a[i].x0, x), percent(a[i].x1, x)
	}
	return a
}

func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * part / whole
}

func (a axis) x(t time.Time) float64 {
	for _, p := range a {
		if t.After(p.to) {
			continue
		}
		share := percent(float64(t.Sub(p.from)), float64(p.to.Sub(p.from))) / 100
		return min(max(p.x0+share*(p.x1-p.x0), 0), 100)
	}
	return 100
}

// ticks are some six round times since the beginning. None is put where a pause
// was shortened.
func (a axis) ticks() []tick {
	begin := a[0].from
	var length time.Duration
	for _, p := range a {
		if !p.short {
			length += p.to.Sub(p.from)
		}
	}
	step := roundStep(length / 6)
	var all []tick
	last := -100.0
	for _, p := range a {
		if p.short {
			last = p.x1
			continue
		}
		first := (p.from.Sub(begin) + step - 1) / step * step
		for d := first; !begin.Add(d).After(p.to); d += step {
			if x := a.x(begin.Add(d)); x-last > 13 && x < 96 {
				all = append(all, tick{X: x, Label: since(d)})
				last = x
			}
		}
	}
	return all
}

// roundStep is the least round duration that isn't below d.
func roundStep(d time.Duration) time.Duration {
	const day = 24 * time.Hour
	for unit := time.Millisecond; unit < time.Second; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if n*unit >= d {
				return n * unit
			}
		}
	}
	for _, unit := range []time.Duration{time.Second, time.Minute} {
		for _, n := range []time.Duration{1, 2, 5, 10, 15, 30} {
			if n*unit >= d {
				return n * unit
			}
		}
	}
	for _, n := range []time.Duration{1, 2, 3, 6, 12} {
		if n*time.Hour >= d {
			return n * time.Hour
		}
	}
	return max((d+day-1)/day, 1) * day
}

func since(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return "+" + spoken(d)
}

// mostRows is how many steps have a row of their own. Of more steps, those have
// one in which something happened, or which took a good part of the time.
const mostRows = 60

// pauseSpare is the time that was left of the budget when a run ended.
const pauseSpare run.PauseReason = "left of the time budget"

func newTimeline(steps []reportStep, h *run.History, limit time.Duration) *timeline {
	if len(h.Spans) == 0 {
		return nil
	}
	begin, last := h.State.Began, h.Ended
	due := h.State.Began.Add(limit)
	pauses := h.Pauses
	if limit > 0 && due.After(last) && !h.State.Phase.Open() {
		pauses = append(slices.Clone(pauses), run.Pause{From: last, To: due, Why: pauseSpare})
		last = due
	}
	a := newAxis(begin, last, pauses)
	t := &timeline{Ticks: a.ticks()}
	if limit > 0 && due.After(begin) && !due.After(last) {
		t.Budget = &tick{X: a.x(due), At: due, Label: "time budget " + spoken(limit)}
	}
	for _, p := range a {
		if p.pause != nil {
			t.Pauses = append(t.Pauses, bandOf(p))
		}
	}
	t.rows(steps, h, a)
	return t
}

func bandOf(p piece) band {
	d := spoken(p.pause.To.Sub(p.pause.From))
	kind := map[run.PauseReason]string{run.PauseApproval: "waited", pauseSpare: "spare"}[p.pause.Why]
	return band{
		X: p.x0, W: p.x1 - p.x0, Kind: cmp.Or(kind, "idle"), Label: d, Shortened: p.short,
		Title: string(p.pause.Why) + ", " + d, From: p.pause.From, To: p.pause.To, Took: d, Why: string(p.pause.Why),
	}
}

// Legend explains the kinds of bars that there are.
func (t *timeline) Legend() []legend {
	used := map[string]bool{}
	for _, r := range t.Rows {
		for _, b := range r.Bars {
			used[b.Kind] = true
		}
	}
	return slices.DeleteFunc([]legend{
		{"done", "at work, done"}, {"failed", "failed"}, {"cut", "cut short"}, {"waited", "waited for somebody"}, {"undone", "undone"},
	}, func(l legend) bool { return !used[l.Kind] })
}

type legend struct{ Kind, Word string }

// rows gives each step a row, or shares one among the steps between two that
// matter more.
func (t *timeline) rows(steps []reportStep, h *run.History, a axis) {
	spans := map[string][]run.Span{}
	for _, s := range h.Spans {
		spans[s.Step] = append(spans[s.Step], s)
	}
	steps = slices.DeleteFunc(slices.Clone(steps), func(s reportStep) bool { return !s.cameTo() && len(spans[s.Name]) == 0 })
	own := rowsOfTheirOwn(steps, spans)
	for i := 0; i < len(steps); {
		n := 1
		for !own[i] && i+n < len(steps) && !own[i+n] {
			n++
		}
		if n == 1 {
			t.Rows = append(t.Rows, stepRow(steps[i], spans[steps[i].Name], a))
		} else {
			t.Rows = append(t.Rows, groupRow(steps[i:i+n], spans, a))
			t.Folded += n
		}
		i += n
	}
}

func rowsOfTheirOwn(steps []reportStep, spans map[string][]run.Span) map[int]bool {
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	eventful := func(s reportStep) int {
		if s.Retried != "" || s.Tone == bad || len(spans[s.Name]) > 1 || s.Approval != nil {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(eventful(steps[b]), eventful(steps[a])), cmp.Compare(steps[b].Worked, steps[a].Worked))
	})
	var worked time.Duration
	for _, s := range steps {
		worked += s.Worked
	}
	own := map[int]bool{}
	for _, i := range order[:min(mostRows, len(order))] {
		own[i] = len(steps) <= mostRows || eventful(steps[i]) > 0 || steps[i].Worked > worked/100
	}
	return own
}

func stepRow(s reportStep, spans []run.Span, a axis) row {
	r := row{
		Index: s.Index, Label: s.Name, Href: s.Anchor, Word: s.Word, Tone: s.Tone, Began: s.Began,
		Title: fmt.Sprintf("%d %s: %s", s.Index, s.Name, s.Word),
	}
	if s.Worked > 0 {
		r.Took = spoken(s.Worked)
	}
	for _, sp := range spans {
		r.Bars = append(r.Bars, barOf(sp, a))
	}
	return r
}

func barOf(s run.Span, a axis) bar {
	kind := map[run.SpanKind]string{
		run.SpanDone: "done", run.SpanFailed: "failed", run.SpanCut: "cut", run.SpanWaited: "waited",
		run.SpanUndone: "undone", run.SpanUndoFailed: "failed",
	}[s.Kind]
	x := a.x(s.From)
	title := fmt.Sprintf("%s: %s, %s to %s, %s", s.Step, s.Kind, dayTime(s.From), dayTime(s.To), spoken(s.To.Sub(s.From)))
	return bar{X: x, W: max(a.x(s.To)-x, 0), Kind: kind, Title: title}
}

// groupRow is the row of several steps; bars that touch become one.
func groupRow(steps []reportStep, spans map[string][]run.Span, a axis) row {
	first, last := steps[0], steps[len(steps)-1]
	r := row{
		Label: fmt.Sprintf("%d steps, %d to %d", len(steps), first.Index, last.Index), Href: first.Anchor, Group: true,
		Title: first.Name + " to " + last.Name, Began: first.Began,
	}
	var worked time.Duration
	var all []run.Span
	for _, s := range steps {
		worked += s.Worked
		all = append(all, spans[s.Name]...)
	}
	if worked > 0 {
		r.Took = spoken(worked)
	}
	slices.SortStableFunc(all, func(x, y run.Span) int { return x.From.Compare(y.From) })
	for _, s := range all {
		b := barOf(s, a)
		if n := len(r.Bars) - 1; n >= 0 && r.Bars[n].Kind == b.Kind && b.X-(r.Bars[n].X+r.Bars[n].W) < 0.5 {
			r.Bars[n].W = max(b.X+b.W-r.Bars[n].X, r.Bars[n].W)
			continue
		}
		b.Title = r.Title
		r.Bars = append(r.Bars, b)
	}
	return r
}
