package view

import (
	"context"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// negative is a time that no operator should read.
var negative = regexp.MustCompile(`(^|[^\w-])-\d+(\.\d+)? ?(ms|s|min|h|d|%)\b|="-\d`)

// The host's clock jumps while a run is on its way, hours and years, back and
// forth: what happened, and in which order, is told all the same, and no time is
// less than none.
func TestClockJumps(t *testing.T) {
	chance, tried := tally.Chance(t), 0
	steady := facts(t, eventful(t).records)
	for range cases() {
		m := eventful(t)
		jump(chance, m.records)
		if got := facts(t, m.records); got != steady {
			t.Fatalf("the run is told as %s, and without jumps as %s", got, steady)
		}
		for _, html := range []bool{false, true} {
			text := told(t, m, html)
			if bad := negative.FindString(text); bad != "" {
				t.Errorf("%q is in:\n%s", bad, text)
			}
		}
		if t.Failed() {
			return
		}
		tried++
	}
	tally.Count(t, "reports of runs during which the clock jumped", tried)
}

func cases() int {
	if tally.Full() {
		return 5000
	}
	return 200
}

// jump sets the clock to another time at some of the records.
func jump(chance *rand.Rand, records []journal.Record) {
	off := time.Duration(0)
	for i := range records {
		if chance.IntN(4) == 0 {
			off += []time.Duration{-time.Second, -time.Hour, -365 * 24 * time.Hour, time.Hour, 365 * 24 * time.Hour}[chance.IntN(5)]
		}
		records[i].Time = records[i].Time.Add(off)
	}
}

// facts are what a run has come to, without its times.
func facts(t *testing.T, records []journal.Record) string {
	t.Helper()
	s, err := run.Replay(records)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(standing(s, false))
	for _, p := range s.Header.Plan.Steps {
		what, _ := standingOf(s.Steps[p.Name])
		b.WriteString(", " + p.Name + " " + what)
	}
	return b.String()
}

// told renders a report, within reason.
func told(t *testing.T, m *made, html bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text := make(chan string, 1)
	go func() { text <- m.report(restoreBook, html) }()
	select {
	case s := <-text:
		return s
	case <-ctx.Done():
		t.Fatal("a report takes for ever")
		return ""
	}
}
