package kill

import (
	"encoding/json"
	"os"
	"slices"
	"strings"

	"runbook/engine/run"
	"runbook/test/invariants"
)

// runbook runs the binary, and wants one of the exit codes.
func (h *host) runbook(codes []int, args ...string) string {
	h.Helper()
	code, out := h.exec(h.binary, args...)
	if !slices.Contains(codes, code) {
		h.Fatalf("runbook %s: exit code %d, want %d\n%s", strings.Join(args, " "), code, codes, out)
	}
	return out
}

var (
	done    = []int{0}
	waiting = []int{4}
	either  = []int{0, 4} // waits for the next approval, or is done
)

// shown is what `runbook show --json --log` says of a run, as far as it matters.
type shown struct {
	ID, Status string
	Steps      int `json:"steps"`
	StepsDone  int `json:"steps_done"`
	Waiting    *struct{ Step string }
	Failure    *struct{ Step, Error string }
	Kept       []string
	Records    []struct{ Name, Status string } `json:"step_records"`
	Log        []entry
}

type entry struct {
	Seq  int
	Kind string
}

// id is that of the run, or empty where none has begun.
func (h *host) id() string {
	h.Helper()
	runs, err := h.store().List()
	h.must(err)
	if len(runs) == 0 {
		return ""
	}
	return runs[0].ID
}

// look returns the run, or nil where none has begun.
func (h *host) look() *shown {
	h.Helper()
	if h.id() == "" {
		return nil
	}
	var document struct {
		Run         shown
		Diagnostics []any
	}
	out := h.runbook(done, "show", "--json", "--log")
	if err := json.Unmarshal([]byte(out), &document); err != nil || len(document.Diagnostics) > 0 {
		h.Fatalf("%v\n%s", err, out)
	}
	return &document.Run
}

func (h *host) store() run.Store { return run.Store{Dir: h.dir + "/state"} }

// orderly holds the run's journal to what is true of every journal.
func (h *host) orderly(r *shown) {
	h.Helper()
	if err := invariants.Check(h.store(), r.ID); err != nil {
		h.Errorf("the journal: %v\n%s", err, h.runbook(done, "show", "--log"))
	}
	for i, e := range r.Log {
		if e.Seq != i+1 {
			h.Errorf("show: record %d is number %d", i+1, e.Seq)
		}
	}
	for _, path := range r.Kept {
		if _, err := os.Lstat(path); err != nil {
			h.Errorf("show names it as kept: %v", err)
		}
	}
}

// maxProcesses is more than any run here takes, with all its approvals.
const maxProcesses = 5

// killedOr reports whether the binary was killed at the point. Otherwise it has
// to end with one of the codes.
func (h *host) killedOr(codes []int, p point, args []string) bool {
	h.Helper()
	was, code, out := h.killedAt(p, args...)
	if !was && !slices.Contains(codes, code) {
		h.Fatalf("not killed at %s, but exit code %d\n%s", p, code, out)
	}
	return was
}

// onward are the arguments by which the run goes on, after somebody has agreed
// to what it asks; nil where it is done. One that was killed before it was
// recorded has to be started anew.
func (h *host) onward() []string {
	h.Helper()
	r := h.look()
	switch {
	case r == nil:
		return []string{"run", h.book, "--yes"}
	case r.Status == "finished":
		return nil
	case r.Waiting != nil:
		h.runbook(done, "approve", r.ID, r.Waiting.Step)
	}
	return []string{"resume"}
}

// goOn brings the run to its end.
func (h *host) goOn() {
	h.Helper()
	for range maxProcesses {
		args := h.onward()
		if args == nil {
			return
		}
		h.runbook(either, args...)
	}
}

// diesOn brings the run on up to a point at which it is killed again, and once
// more up to another. It reports whether it got to both.
func (h *host) diesOn(at [2]point) bool {
	h.Helper()
	return h.dieAt(at, h.onward, either)
}

// diesBack is diesOn for a run that is rolled back.
func (h *host) diesBack(at [2]point) bool {
	h.Helper()
	return h.dieAt(at, h.backward, done)
}

func (h *host) dieAt(at [2]point, arguments func() []string, codes []int) bool {
	h.Helper()
	both := true
	for _, p := range at {
		args := arguments()
		both = args != nil && h.killedOr(codes, p, args) && both
	}
	return both
}

// backward are the arguments by which the run is rolled back, or its rollback
// goes on; nil where nothing is left of it.
func (h *host) backward() []string {
	h.Helper()
	r := h.look()
	switch {
	case r == nil || r.Status == "rolled_back":
		return nil
	case slices.ContainsFunc(r.Log, func(e entry) bool { return e.Kind == "rollback" }):
		return []string{"resume"}
	}
	return []string{"rollback", "--yes"}
}

// goBack rolls the run back.
func (h *host) goBack() {
	h.Helper()
	if args := h.backward(); args != nil {
		h.runbook(done, args...)
	}
}
