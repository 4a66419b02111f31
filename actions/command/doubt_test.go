package command

import (
	"strings"
	"testing"

	"runbook/engine"
)

func (s *step) rec(t *testing.T) record {
	t.Helper()
	rec, err := recorded(t.Context(), s.Change)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// A watcher that is killed while a resumed run waits for its program leaves a
// doubt that nobody has been asked about yet.
func TestWatcherDiesUnderAResumedRun(t *testing.T) {
	s := planned(t, waits, nil)
	p := s.process(t)
	at := s.await(t)
	kill9(t, p.Process.Pid)
	failed := make(chan error, 1)
	waits := waiter{make(chan bool, 1)}
	go func() {
		_, err := s.Command.Apply(t.Context(), s.Change, waits)
		failed <- err
	}()
	<-waits.begun
	kill9(t, at.Watcher)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "its watcher was killed") {
		t.Errorf("got %v", err)
	}
	if starts := s.read(t, "started"); strings.Count(starts, "\n") != 1 {
		t.Errorf("it was started as %q", starts)
	}
	if c := s.plan(t); c.Unpredictable == "" {
		t.Error("and nobody would be asked")
	}
}

// waiter hears of the first progress, which is that a program is waited for.
type waiter struct{ begun chan bool }

func (w waiter) Progress(engine.Progress) {
	select {
	case w.begun <- true:
	default:
	}
}
