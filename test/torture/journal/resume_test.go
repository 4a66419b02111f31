package journal

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/torture/tally"
)

// A run whose journal is damaged is not gone on with, and once the journal is
// as it was, it is.
func TestNothingGoesOnFromDamage(t *testing.T) {
	s := newScene(t)
	s.upToTheLastApproval()
	s.halfRolledBack()
	text, err := os.ReadFile(s.path())
	s.must(err)
	before := s.tree(true)
	chance, tried := tally.Chance(t), 100
	if !tally.Full() {
		tried = 4
	}
	for range tried {
		at, bit := chance.IntN(len(text)), chance.IntN(8)
		broken := bytes.Clone(text)
		broken[at] ^= 1 << bit
		s.must(os.WriteFile(s.path(), broken, 0o600))
		line := bytes.Count(text[:at], []byte("\n")) + 1
		want := journal.FileName + ":" + strconv.Itoa(line) + " "
		for _, args := range [][]string{{"resume", s.id}, {"rollback", s.id, "--yes"}, {"show", s.id}} {
			if out := s.runbook(1, args...); !strings.Contains(out, want) {
				t.Errorf("byte %d is damaged, and runbook %v doesn't name line %d:\n%s", at, args, line, out)
			}
		}
		if now := s.tree(true); now != before {
			t.Fatalf("byte %d is damaged, and the host was\n%s\nand is\n%s", at, before, now)
		}
	}
	s.must(os.WriteFile(s.path(), text, 0o600))
	s.rolledBack()
	tally.Count(t, "damaged journals from which nothing went on", tried)
}

// Of a journal that was cut off, what is whole counts: the steps behind it are
// found done, and the run ends as it would have.
func TestGoesOnFromWhatIsLeft(t *testing.T) {
	whole := newScene(t)
	whole.upToTheLastApproval()
	text, err := os.ReadFile(whole.path())
	whole.must(err)
	records := bytes.Count(text, []byte("\n"))
	whole.runbook(0, "resume")
	want := whole.tree(false)
	chance, tried := tally.Chance(t), 0
	for n := 1; n < records; n++ {
		if !tally.Takes(fmt.Sprintf("%d records", n), 12) {
			continue
		}
		tried++
		s := newScene(t)
		s.upToTheLastApproval()
		s.cutTo(n, chance.IntN)
		s.finish()
		if got := strings.ReplaceAll(s.tree(false), s.work, whole.work); got != want {
			t.Fatalf("with %d records left, it ends with\n%s\ninstead of\n%s", n, got, want)
		}
	}
	tally.Count(t, "journals cut off, from which the run went on", tried)
}

// cutTo leaves n records and a part of the next.
func (s *scene) cutTo(n int, chance func(int) int) {
	s.Helper()
	text, err := os.ReadFile(s.path())
	s.must(err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	left := bytes.Join(lines[:n], nil)
	s.must(os.WriteFile(s.path(), append(left, lines[n][:chance(len(lines[n]))]...), 0o600))
}

// finish brings the run to its end, whatever it waits for.
func (s *scene) finish() {
	s.Helper()
	said := ""
	for range 10 {
		state, err := s.store().Load(s.id)
		s.must(err)
		switch {
		case !state.Phase.Open():
			if state.Phase != run.Finished {
				s.Fatalf("it is %s", state.Phase)
			}
			return
		case state.Waiting != nil:
			said = s.runbook(0, "approve", s.id, state.Waiting.Step)
		case state.Failure != nil && state.Failure.Step == "by_hand" && !byHand(state):
			_, said = s.try("resume", s.id, "--skip", "by_hand", "--reason", "seen to")
		default:
			_, said = s.try("resume", s.id)
		}
	}
	s.Fatalf("it comes to no end, and says at last\n%s", said)
}

// byHand reports whether the operator has seen to the step that only they can.
func byHand(s *run.State) bool {
	st := s.Steps["by_hand"]
	return st != nil && st.Done
}
