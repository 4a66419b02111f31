package run

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runbook/engine"
	"runbook/engine/durable"
	"runbook/engine/journal"
)

// Store is the directory that holds the runs of a machine.
type Store struct{ Dir string }

func (s Store) runs() string { return filepath.Join(s.Dir, "runs") }

func (s Store) run(id string) string { return filepath.Join(s.runs(), id) }

// Prepare makes the directory where there is none, for good: the first run's
// journal must not vanish in a power cut because the directory's name did.
func (s Store) Prepare() error {
	for _, dir := range []string{s.Dir, s.runs()} {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return engine.Errorf(s.Dir, "the state directory can't be made: %w", err).
				WithHint("Name another one with --state-dir or RUNBOOK_STATE_DIR")
		}
	}
	return nil
}

// Lock takes the machine's lock: one run at a time works on it.
func (s Store) Lock(doing, run string) (*journal.Lock, error) {
	return journal.Acquire(filepath.Join(s.Dir, "lock"), journal.Holder{
		PID: os.Getpid(), Run: run, Doing: doing, Since: time.Now().UTC().Truncate(time.Second),
	})
}

// NewID returns an ID for a run that starts at t. IDs sort by time.
func NewID(t time.Time) string {
	return t.UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:4])
}

// Summary is one run of a Store.
type Summary struct {
	ID    string
	State *State
	Busy  bool  // a process works on it now
	Err   error // why the journal can't be read; State is nil then
}

// List returns all runs, the newest first.
func (s Store) List() ([]Summary, error) {
	entries, err := os.ReadDir(s.runs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &engine.Error{Where: s.runs(), Err: err}
	}
	var all []Summary
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, s.summary(e.Name()))
		}
	}
	slices.SortFunc(all, func(a, b Summary) int { return -cmp.Compare(a.ID, b.ID) })
	return all, nil
}

func (s Store) summary(id string) Summary {
	sum := Summary{ID: id}
	records, err := journal.Read(s.run(id))
	if err == nil {
		sum.State, err = Replay(records)
	}
	if err == nil {
		sum.Busy, err = journal.Busy(s.run(id))
	}
	sum.Err = err
	return sum
}

// Load reads one run.
func (s Store) Load(id string) (*State, error) {
	if _, err := os.Stat(s.run(id)); err != nil || filepath.Base(id) != id {
		return nil, engine.Errorf(s.Dir, "there is no run %q", id).WithHint("`runbook list` shows the runs")
	}
	sum := s.summary(id)
	return sum.State, sum.Err
}

// Pick returns the only run for which want holds. what describes it in the
// error.
func (s Store) Pick(what string, want func(Summary) bool) (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(sum Summary) bool { return sum.State == nil || !want(sum) })
	switch len(all) {
	case 0:
		return "", engine.Errorf(s.Dir, "there is no run that %s", what).WithHint("`runbook list` shows the runs")
	case 1:
		return all[0].ID, nil
	}
	return "", engine.Errorf(s.Dir, "%d runs %s, the newest being %s", len(all), what, all[0].ID).
		WithHint("Name the one you mean: `runbook list` shows them")
}

// Unfinished returns the newest run that is still open, or "".
func (s Store) Unfinished() (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	for _, sum := range all {
		if sum.State != nil && sum.State.Phase.Open() {
			return sum.ID, nil
		}
	}
	return "", nil
}
