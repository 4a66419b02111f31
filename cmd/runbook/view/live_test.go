package view

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/test/screen"
)

// stage is a live view on a screen, with a clock that stands still.
type stage struct {
	*Live
	t      *testing.T
	screen *screen.Screen
	clock  time.Time
}

func newStage(t *testing.T, width, height int, colors bool) *stage {
	s := &stage{t: t, screen: screen.New(width, height), clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	h := newHuman(s.screen, s.screen, width, colors)
	s.Live = newLive(h, s.screen.Size, true, func() time.Time { return s.clock })
	t.Cleanup(func() {
		if u := s.screen.Unknown(); u != nil {
			t.Errorf("codes that not every terminal knows: %v", u)
		}
	})
	return s
}

func (s *stage) begin(budget time.Duration) {
	s.Event(engine.RunStarted{ID: "r1", Runbook: "rb", Host: "h", Started: s.clock, TimeBudget: budget})
}

func (s *stage) after(d time.Duration) {
	s.clock = s.clock.Add(d)
	s.tick()
}

func (s *stage) want(text string) {
	s.t.Helper()
	got, text := strings.Trim(s.screen.String(), "\n"), strings.Trim(text, "\n")
	if got != text {
		s.t.Errorf("the screen shows\n%s\nwant\n%s", got, text)
	}
}

func step(i int, name string) engine.StepInfo {
	return engine.StepInfo{Name: name, Action: "copy", Description: "Copy " + name + ".", Index: i, Total: 3}
}

// What is finished scrolls above what is being done.
func TestLive(t *testing.T) {
	s := newStage(t, 60, 24, true)
	s.begin(5 * time.Minute)
	s.Event(engine.StepStarted{Step: step(1, "one")})
	s.after(2 * time.Second)
	s.want(`
Run r1 of rb on h.

[1/3] one 0:02
Copy one.
0:02 of 5:00, 2 steps left
`)

	change := engine.Change{Items: []engine.Item{{Target: "/a", Before: "file", After: "absent"}}}
	s.Event(engine.StepDone{Step: step(1, "one"), Change: change, Took: 2 * time.Second})
	s.Event(engine.StepStarted{Step: step(2, "two")})
	s.Event(engine.StepProgress{Progress: engine.Progress{Doing: "copying", Total: 4 << 20}})
	s.Event(engine.StepRetried{Attempt: 3, Attempts: 9, Err: errors.New("no\nroute")})
	s.after(time.Second)
	s.Event(engine.StepProgress{Progress: engine.Progress{Doing: "copying", Done: 2 << 20, Total: 4 << 20}})
	s.after(time.Second)
	s.want(`
Run r1 of rb on h.

[1/3] one  Copy one.
  ~ /a: file → absent
  done in 2s

[2/3] two 0:02
copying
try 3 of 9: no route
50% 2.0 MiB of 4.0 MiB, 1.0 MiB/s
0:04 of 5:00, 1 step left
`)

	s.Event(engine.StepFailed{Step: step(2, "two"), Err: errors.New("no\nroute")})
	s.want(`
Run r1 of rb on h.

[1/3] one  Copy one.
  ~ /a: file → absent
  done in 2s

[2/3] two  Copy two.
  failed: no route
`)
}

// The status is one, whole and never wraps, whatever becomes of the terminal.
func TestLiveSizes(t *testing.T) {
	long := strings.Repeat("世界 waits for a very long endpoint; ", 20) + "\x1b[2J\a"
	for _, size := range [][2]int{{1, 1}, {2, 2}, {20, 3}, {20, 24}, {3, 30}, {40, 12}, {50, 24}, {80, 24}, {200, 50}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := newStage(t, size[0], size[1], true)
			s.start()
			s.Event(engine.StepStarted{Step: step(2, "two")})
			s.Event(engine.StepProgress{Progress: engine.Progress{Doing: long, Done: 1 << 30, Total: 1 << 40}})
			s.Event(engine.StepRetried{Attempt: 1, Attempts: 9, Err: errors.New(long)})
			for range 3 {
				s.after(time.Second)
			}
			if s.screen.Wraps() > 0 {
				t.Errorf("%d lines wrapped:\n%s", s.screen.Wraps(), s.screen)
			}
			if n := strings.Count(s.screen.String(), "\n"); n > max(1, size[1]) {
				t.Errorf("%d rows in a terminal of %d", n, size[1])
			}
			s.Close()
		})
	}
}

// What is waited for is cut in the middle, if at all: the reason stands at its end.
func TestLiveKeepsTheReason(t *testing.T) {
	for _, width := range []int{50, 80} {
		s := newStage(t, width, 24, false)
		s.begin(5 * time.Minute)
		s.Event(engine.StepStarted{Step: step(2, "a_step_with_quite_a_name_for_what_it_does_all_day_long_and_at_night")})
		s.Event(engine.StepRetried{Attempt: 3, Attempts: 60, Err: errors.New("https://192.168.122.101:2379: etcd is not healthy: " +
			strings.Repeat("rpc error: code = Unavailable desc = ", 3) + "dial tcp 192.168.122.101:2379: connect: connection refused")})
		s.after(2 * time.Second)
		if got := s.screen.String(); !strings.Contains(got, "connection refused\n") || !strings.Contains(got, "try 3 of 60") || !strings.Contains(got, " 0:02\n") {
			t.Errorf("%d columns:\n%s", width, got)
		}
	}
}

func TestLiveResize(t *testing.T) {
	s := newStage(t, 80, 24, false)
	s.begin(0)
	s.Event(engine.StepStarted{Step: step(2, "two")})
	s.Event(engine.StepProgress{Progress: engine.Progress{Doing: strings.Repeat("waiting ", 20)}})
	for _, width := range []int{80, 40, 20, 33, 120, 21, 200} {
		s.screen.Resize(width, 24)
		s.after(time.Second)
		text := s.screen.String()
		if strings.Count(text, "[2/3]") != 1 || strings.Count(text, "1 step left") > 1 || !strings.Contains(text, "Run r1") {
			t.Fatalf("at %d columns:\n%s", width, text)
		}
		rows := 7 // what is being done takes two
		if width > 160 {
			rows = 6
		}
		if n := strings.Count(text, "\n"); n != rows {
			t.Fatalf("%d rows at %d columns:\n%s", n, width, text)
		}
	}
}

// A question has the screen for itself until something happens.
func TestLiveAsks(t *testing.T) {
	s := newStage(t, 60, 24, false)
	s.begin(0)
	s.Event(engine.StepStarted{Step: step(1, "one")})
	s.tick()
	s.Ask("Go on?")
	asked := "\nRun r1 of rb on h.\n\n[1/3] one  Copy one.\n\nGo on? [yes/no]\n"
	s.want(asked)
	s.after(time.Minute)
	s.want(asked)
	_, _ = s.screen.Write([]byte("yes\n"))
	s.Event(engine.StepProgress{Progress: engine.Progress{Doing: "copying"}})
	s.tick()
	s.want(`
Run r1 of rb on h.

[1/3] one  Copy one.

Go on? [yes/no] yes

[1/3] one 1:00
copying
1:00, 2 steps left
`)
}

// Logs and notes stand above the status; an error ends it and leaves the cursor
// at the start of a line.
func TestLiveEnds(t *testing.T) {
	s := newStage(t, 70, 24, false)
	s.begin(time.Minute)
	s.Event(engine.StepStarted{Step: step(1, "one")})
	s.after(2 * time.Minute)
	_, _ = s.Logs().Write([]byte("a log\n"))
	s.Note("a note")
	s.want(`
Run r1 of rb on h.
a log
a note

[1/3] one 2:00
Copy one.
2:00 of 1:00, 1:00 over, 2 steps left
`)
	s.Event(engine.Stopping{})
	s.Error(errors.New("it went wrong"))
	s.tick()
	s.want(`
Run r1 of rb on h.
a log
a note

Stopping after the step in hand. Press Ctrl-C again to cut it short.

[1/3] one  Copy one.
  not finished
Error: it went wrong
`)
	if s.screen.Column() != 0 {
		t.Error("the cursor is left within a line")
	}
	s.Close()
}

// Nothing is drawn where nothing has changed.
func TestLiveIsCalm(t *testing.T) {
	s := newStage(t, 60, 24, false)
	s.begin(0)
	s.Event(engine.StepStarted{Step: step(1, "one")})
	s.tick()
	n := s.screen.Writes()
	for i := range 1000 {
		s.Event(engine.StepProgress{Progress: engine.Progress{Doing: fmt.Sprint("file ", i)}})
	}
	if s.screen.Writes() != n {
		t.Error("progress is drawn as often as it is reported")
	}
	s.tick()
	s.tick()
	if s.screen.Writes() != n+1 {
		t.Errorf("%d writes for one change", s.screen.Writes()-n)
	}
}

// A rollback counts its own time, and its steps backwards.
func TestLiveRollback(t *testing.T) {
	s := newStage(t, 60, 24, false)
	s.Event(engine.RunStarted{ID: "r1", Runbook: "rb", Host: "h", Resumed: true, Done: 2, Started: s.clock.Add(-time.Hour), TimeBudget: time.Minute})
	s.Event(engine.UndoStarted{Step: step(2, "two")})
	s.after(time.Second)
	s.want(`
Run r1 of rb on h goes on; 2 steps done before.

[undo 2] two 0:01
Copy two.
0:01
`)
	s.Event(engine.UndoDone{Step: step(2, "two")})
	s.Event(engine.RolledBack{ID: "r1", Began: s.clock, Broken: true, Kept: []string{"/x"}})
	s.want(`
Run r1 of rb on h goes on; 2 steps done before.

[undo 2] two  Copy two.
  undone

Done. Run r1 is rolled back.
The host is as it was at ` + moment(s.clock) + `.
What was wrong then is wrong again.
What was taken out is kept:
  /x
Its report: runbook report r1
`)
}
