package power

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"runbook/engine/run"
)

// screen is what a run has told its operator, and so promised.
type screen struct {
	lines  int
	rest   string // of a line that isn't complete
	run    string // the run's ID, once it has begun
	done   map[string]bool
	undone map[string]bool
	phase  run.Phase // that it has ended
}

// show takes in what is written to the screen: an event a line.
func (s *screen) show(text string) error {
	all := strings.SplitAfter(s.rest+text, "\n")
	s.rest = all[len(all)-1]
	for _, line := range all[:len(all)-1] {
		var e struct {
			Type, Run string
			Step      struct{ Name string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("on the screen is %q: %w", line, err)
		}
		s.lines++
		s.take(e.Type, e.Run, e.Step.Name)
	}
	return nil
}

func (s *screen) take(event, id, step string) {
	switch event {
	case "run_started":
		s.run = id
	case "step_done", "step_skipped":
		s.done = with(s.done, step)
	case "undo_done":
		s.undone = with(s.undone, step)
	case "run_finished":
		s.phase = run.Finished
	case "rolled_back":
		s.phase = run.RolledBack
	}
}

// with is a copy, since earlier screens are kept.
func with(set map[string]bool, name string) map[string]bool {
	set = maps.Clone(set)
	if set == nil {
		set = map[string]bool{}
	}
	set[name] = true
	return set
}

// broken says which promise a journal doesn't hold, or "".
func (s screen) broken(state *run.State) string {
	if state == nil {
		if s.run != "" {
			return "the screen says that run " + s.run + " has begun, and the disk holds no run"
		}
		return ""
	}
	for step := range s.done {
		if st := state.Steps[step]; st == nil || !st.Done {
			return "the screen says that step " + step + " is done, and the journal doesn't"
		}
	}
	for step := range s.undone {
		if st := state.Steps[step]; st == nil || !st.Undone {
			return "the screen says that step " + step + " is undone, and the journal doesn't"
		}
	}
	if s.phase != "" && state.Phase != s.phase {
		return fmt.Sprintf("the screen says that the run is %s, and the journal that it is %s", s.phase, state.Phase)
	}
	return ""
}
