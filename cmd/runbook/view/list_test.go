package view

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"runbook/engine"
	"runbook/engine/run"
)

// theNight is when somebody looks.
var theNight = time.Date(2026, 3, 1, 3, 0, 0, 0, time.Local)

// runsOfEachKind are runs of which there is something different to tell each.
func runsOfEachKind() []run.Summary {
	at := theNight.Add(-time.Hour)
	n := 0
	add := func(book string, change func(*run.State)) run.Summary {
		n++
		s := &run.State{
			Phase: run.Finished, Began: at, Updated: at.Add(83 * time.Second),
			Header: run.Header{
				Run:  engine.RunInfo{ID: fmt.Sprintf("20260301-0200%02d-abcd", n), Runbook: book},
				Plan: &run.Plan{Steps: []run.StepPlan{{Name: "stop_kubelet"}, {Name: "restore"}, {Name: "start"}}},
			},
			Steps: map[string]*run.StepState{"stop_kubelet": {Done: true}, "restore": {Done: true}, "start": {Done: true}},
		}
		change(s)
		return run.Summary{ID: s.Header.Run.ID, State: s}
	}
	backup := func(s *run.State) { s.Header.Plan.Restartable = true }
	return []run.Summary{
		add("etcd-backup", backup),
		add("etcd-recover", func(s *run.State) { s.Steps["restore"].Failed = true }),
		add("etcd-backup", func(s *run.State) { backup(s); s.Steps["start"].Failed = true }),
		add("etcd-restore-systemd", func(s *run.State) {
			s.Phase, s.Failure = run.RollingBack, &run.FailureRecord{Step: "restore", Error: "Step restore can't be undone: " + strings.Repeat("the disk is full, ", 9)}
			s.Steps["start"].Undone = true
		}),
		add("etcd-backup", backup),
		add("etcd-recover", func(s *run.State) {
			s.Phase, s.Waiting = run.Running, &run.WaitingRecord{Step: "restore", Message: "Restore the backup?"}
			delete(s.Steps, "restore")
		}),
		add("etcd-backup", backup),
		{ID: "20250101-000000-zzzz", Err: fmt.Errorf("checksum mismatch"), GivenUp: true},
	}
}

func TestListFitsItsTerminal(t *testing.T) {
	for _, width := range []int{50, 80, 120} {
		var out bytes.Buffer
		newHuman(&out, nil, width, false).list(runsOfEachKind(), false, theNight)
		for line := range strings.Lines(out.String()) {
			if got := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); got > width {
				t.Errorf("%d columns at %d: %s", got, width, line)
			}
		}
		golden(t, fmt.Sprintf("list_%d.txt", width), out.String())
	}
}

func TestListOfAll(t *testing.T) {
	var out bytes.Buffer
	newHuman(&out, nil, 80, false).list(runsOfEachKind(), true, theNight)
	if n := strings.Count(out.String(), "etcd-backup"); n != 4 || strings.Contains(out.String(), "--all") {
		t.Errorf("%d backups of 4:\n%s", n, out.String())
	}
}

// The day matters for as long as it is near, and then the year.
func TestDay(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.Local)
	for want, then := range map[string]time.Time{"26 Nov 02:30": now.Add(-30 * time.Minute), " 1 Mar 2026": time.Date(2026, 3, 1, 2, 0, 0, 0, time.Local)} {
		if got := day(then, now); got != want {
			t.Errorf("%q is no %q", got, want)
		}
	}
}

// What has no room on a line of a terminal is cut, and elsewhere whole.
func TestOneLinersAreCutOnATerminalAlone(t *testing.T) {
	var out bytes.Buffer
	h := newHuman(&out, nil, 50, false)
	long := []namedValue{{"etcd-recover.hcl", strings.Repeat("word ", 20) + "end"}}
	h.oneLiners(long)
	if text := out.String(); runewidth.StringWidth(strings.TrimSpace(text)) > 50 || !strings.HasSuffix(text, "…\n") {
		t.Errorf("%q", text)
	}
	out.Reset()
	h.outWidth = 0
	h.oneLiners(long)
	if !strings.HasSuffix(out.String(), "word end\n") {
		t.Errorf("%q", out.String())
	}
}
