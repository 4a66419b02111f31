// Package retention decides which of a directory's snapshots are kept. It
// knows their times alone; whether one is good it asks, and no more often than
// the rules need.
package retention

import (
	"fmt"
	"time"
)

// Rules say what is kept. A snapshot is kept if any rule keeps it, and the
// newest good one in any case.
type Rules struct {
	Within time.Duration // all that are younger
	Last   int           // the newest so many
	// Of the newest so many hours, days and weeks that have any, the newest
	// one each.
	Hourly, Daily, Weekly int
}

// Empty reports whether no rule is set.
func (r Rules) Empty() bool { return r == Rules{} }

// Verdict is what becomes of a snapshot.
type Verdict int

// The verdicts.
const (
	Keep Verdict = iota
	Delete
	Damaged // it doesn't verify; it counts for no rule, and nobody deletes it
)

// Decide returns a verdict for each time, which come in order, the newest
// first. good tells whether the i-th verifies. It is asked where a rule would
// count it, so that a damaged one never stands for a good one.
func (r Rules) Decide(now time.Time, times []time.Time, good func(i int) (bool, error)) ([]Verdict, error) {
	counts := r.counts()
	verdicts := make([]Verdict, len(times))
	for i, t := range times {
		if !wanted(counts, t) {
			if r.Within == 0 || now.Sub(t) > r.Within {
				verdicts[i] = Delete
			}
			continue
		}
		ok, err := good(i)
		if err != nil {
			return nil, err
		}
		if !ok {
			verdicts[i] = Damaged
			continue
		}
		for _, c := range counts {
			c.take(t)
		}
	}
	return verdicts, nil
}

// count is a rule that keeps the newest of so many periods.
type count struct {
	left   int
	period func(time.Time) string
	last   string // the period that the last one counted was of
}

// counts are the rules that count. To keep the newest good one isn't a matter
// of choice.
func (r Rules) counts() []*count {
	return []*count{
		{left: max(r.Last, 1), period: func(t time.Time) string { return t.String() }},
		{left: r.Hourly, period: func(t time.Time) string { return t.UTC().Format("2006-01-02 15") }},
		{left: r.Daily, period: func(t time.Time) string { return t.UTC().Format("2006-01-02") }},
		{left: r.Weekly, period: week},
	}
}

func week(t time.Time) string {
	year, n := t.UTC().ISOWeek()
	return fmt.Sprintf("%d-%d", year, n)
}

func wanted(counts []*count, t time.Time) bool {
	for _, c := range counts {
		if c.wants(t) {
			return true
		}
	}
	return false
}

func (c *count) wants(t time.Time) bool { return c.left > 0 && c.period(t) != c.last }

func (c *count) take(t time.Time) {
	if c.wants(t) {
		c.left, c.last = c.left-1, c.period(t)
	}
}
