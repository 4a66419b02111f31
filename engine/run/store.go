package run

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
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
type Store struct {
	Dir string
	// Machine is the file of the lock that all stores of a machine share;
	// empty for none.
	Machine string
}

func (s Store) runs() string { return filepath.Join(s.Dir, "runs") }

func (s Store) run(id string) string { return filepath.Join(s.runs(), id) }

// Prepare makes the directory where there is none, for good: the first run's
// journal must not vanish in a power cut because the directory's name did.
func (s Store) Prepare() error {
	for _, dir := range []string{s.Dir, s.runs()} {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return durable.Advised(engine.Errorf(s.Dir, "the state directory can't be made: %w", err).
				WithHint("Name another one with --state-dir or RUNBOOK_STATE_DIR"), "")
		}
		if err := refuseExposed(dir); err != nil {
			return err
		}
	}
	return nil
}

// refuseExposed refuses a state directory that somebody else can change: what
// its journals say is done as whoever resumes the run, or rolls it back.
func refuseExposed(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return engine.Errorf(dir, "finding it: %w", err)
	}
	e, err := durable.Exposed(abs)
	if err != nil {
		return &engine.Error{Where: dir, Err: err}
	}
	if e == nil {
		return nil
	}
	return engine.Errorf(dir, "somebody else could change the runs in this state directory: %s", e).
		WithHint("Have it belong to whoever runs this, with mode 0700, in directories that nobody else can write; or name another one with --state-dir or RUNBOOK_STATE_DIR")
}

// Lock takes the store's lock and the machine's: one run at a time works on it,
// wherever its journal is. It returns what drops both.
func (s Store) Lock(doing, run string) (release func(), err error) {
	holder := journal.Holder{PID: os.Getpid(), Run: run, Doing: doing, Since: time.Now().UTC().Truncate(time.Second)}
	var locks []*journal.Lock
	release = func() {
		for _, l := range locks {
			_ = l.Release() // the kernel drops it with the process in any case
		}
	}
	for _, path := range []string{filepath.Join(s.Dir, "lock"), s.Machine} {
		if path == "" {
			continue
		}
		l, err := journal.Acquire(path, holder)
		if errors.Is(err, fs.ErrPermission) && path == s.Machine {
			continue // the lock of root's runs, which can't be this user's
		}
		if err != nil {
			release()
			return nil, err
		}
		locks = append(locks, l)
	}
	return release, nil
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
	// GivenUp says that the operator has given up a run whose journal can't
	// be read.
	GivenUp bool
}

// ids are those of all runs, in no order.
func (s Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.runs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &engine.Error{Where: s.runs(), Err: err}
	}
	var all []string
	for _, e := range entries {
		if e.IsDir() && !journal.Unborn(e.Name()) {
			all = append(all, e.Name())
		}
	}
	return all, nil
}

// Newest is the run that was begun last; "" where there is none.
func (s Store) Newest() (id string, err error) {
	all, err := s.ids()
	var last time.Time
	for _, each := range all {
		var began time.Time
		if first, err := journal.First(s.run(each)); err == nil { // else nobody knows when
			began = first.Time
		}
		if id == "" || began.After(last) || began.Equal(last) && each > id {
			id, last = each, began
		}
	}
	return id, err
}

// List returns all runs, the newest first.
func (s Store) List() ([]Summary, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var all []Summary
	for _, id := range ids {
		all = append(all, s.summary(id))
	}
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Or(b.began().Compare(a.began()), -cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// began is when the run's journal was made; the IDs of two runs of the same
// second don't tell.
func (s Summary) began() time.Time {
	if s.State == nil {
		return time.Time{}
	}
	return s.State.Began
}

func (s Store) summary(id string) Summary {
	sum := Summary{ID: id}
	state := newState()
	err := s.replay(id, state, func(take visit) error { return journal.Read(s.run(id), take) })
	if err == nil {
		sum.State = state
		sum.Busy, err = journal.Busy(s.run(id))
	}
	if sum.Err = err; err != nil {
		_, gone := os.Stat(s.givenUp(id))
		sum.GivenUp = gone == nil
	}
	return sum
}

// visit is what is shown a journal's records.
type visit = func(journal.Record) error

// replay takes the records of the run id into its state, as read shows them. A
// journal that came there from elsewhere would have another run's steps carried
// out.
func (s Store) replay(id string, state *State, read func(visit) error) error {
	err := read(func(r journal.Record) error {
		if err := state.take(r); err != nil {
			return s.unusable(id, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err = state.headed(); err == nil {
		err = belongs(state, id)
	}
	if err != nil {
		return s.unusable(id, err)
	}
	return nil
}

// open opens the journal of the run id for appending, and takes what it holds into
// the run's state.
func (s Store) open(id string, state *State) (j *journal.Journal, torn *journal.Torn, err error) {
	err = s.replay(id, state, func(take visit) error {
		j, torn, err = journal.Open(s.run(id), take)
		return err
	})
	if err != nil && j != nil {
		err = errors.Join(err, j.Close())
	}
	return j, torn, err
}

// belongs fails unless the journal is that of the run id.
func belongs(state *State, id string) error {
	is := state.Header.Run.ID
	if is == id {
		return nil
	}
	return engine.Errorf("journal", "it is that of another run, %q", is).
		WithHint("Put the journal of run %s back. A copy of another run belongs outside of the state directory", id)
}

// unusable says which journal it is that can't be made use of.
func (s Store) unusable(id string, err error) error {
	hint := cmp.Or(engine.HintOf(err), "Look at the host, finish by hand, and give the run up with `runbook abandon "+id+"`")
	if e := (*engine.Error)(nil); errors.As(err, &e) && e.Where == "journal" {
		err = e.Err
	}
	return engine.Errorf(filepath.Join(s.run(id), journal.FileName), "%w", err).WithHint("%s", hint)
}

// Exists fails if there is no run of that ID.
func (s Store) Exists(id string) error {
	if info, err := os.Stat(s.run(id)); err != nil || !info.IsDir() || filepath.Base(id) != id {
		return engine.Errorf(s.Dir, "there is no run %q", id).WithHint("`runbook list` shows the runs")
	}
	return nil
}

// Load reads one run.
func (s Store) Load(id string) (*State, error) {
	sum, err := s.Look(id)
	return sum.State, err
}

// Look reads one run, and whether a process works on it now.
func (s Store) Look(id string) (Summary, error) {
	if err := s.Exists(id); err != nil {
		return Summary{}, err
	}
	sum := s.summary(id)
	return sum, sum.Err
}

// Pick returns the only run for which want holds, or of several the only one that
// has not ended. what describes it in the error.
func (s Store) Pick(what string, want func(Summary) bool) (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	unread := slices.IndexFunc(all, func(sum Summary) bool { return sum.Err != nil && !sum.GivenUp })
	fit := slices.DeleteFunc(slices.Clone(all), func(sum Summary) bool { return sum.State == nil || !want(sum) })
	switch {
	case len(fit) == 0 && unread >= 0:
		return "", engine.Errorf("run "+all[unread].ID, "its journal can't be read: %w", all[unread].Err).
			WithHint("%s", engine.HintOf(durable.Advised(all[unread].Err, "try again")))
	case len(fit) == 0:
		return "", engine.Errorf(s.Dir, "there is no run that %s", what).WithHint("`runbook list` shows the runs")
	case len(fit) == 1:
		return fit[0].ID, nil
	}
	if open := slices.DeleteFunc(slices.Clone(fit), func(sum Summary) bool { return !sum.open() }); len(open) == 1 {
		return open[0].ID, nil
	}
	return "", engine.Errorf(s.Dir, "%d runs %s, the newest being %s", len(fit), what, fit[0].ID).
		WithHint("Name the one you mean: `runbook list` shows them")
}

// Unfinished returns the newest run that is still open, or "". A run whose
// journal can't be read may well be open. One that may simply be begun anew
// doesn't count.
func (s Store) Unfinished() (string, error) {
	all, err := s.List()
	if err != nil {
		return "", err
	}
	for _, sum := range all {
		if sum.Err != nil && !sum.GivenUp || sum.open() && !sum.State.Header.Plan.Restartable {
			return sum.ID, sum.Err
		}
	}
	return "", nil
}

func (s Summary) open() bool { return s.State != nil && s.State.Phase.Open() }

// Supersede gives up the runs that were cut short and may simply be begun anew,
// because another begins. It tells of each.
func (s Store) Supersede(gaveUp func(Summary)) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, sum := range all {
		if !sum.open() || sum.Busy || !sum.State.Header.Plan.Restartable {
			continue
		}
		if err := s.Abandon(sum.ID, "It was cut short, and another run began."); err != nil {
			return err
		}
		gaveUp(sum)
	}
	return nil
}

// givenUp is the file that marks a run with an unreadable journal as given up.
func (s Store) givenUp(id string) string { return filepath.Join(s.run(id), "abandoned.json") }

// Abandon gives a run up: it is neither resumed nor rolled back any more.
func (s Store) Abandon(id, reason string) error {
	state := newState()
	j, _, err := s.open(id, state)
	if err != nil {
		return s.abandonUnreadable(id, reason, err)
	}
	if !state.Phase.Open() {
		err = engine.Errorf("run "+id, "it is %s already", state.Phase)
	}
	if err == nil {
		_, err = j.Append(kindAbandoned, abandoned{Reason: reason})
	}
	return errors.Join(err, j.Close())
}

// abandonUnreadable leaves a damaged journal as it is, for whoever wants to
// know what happened.
func (s Store) abandonUnreadable(id, reason string, why error) error {
	if sum := s.summary(id); sum.Err == nil || sum.Busy {
		return why // it could be read: what failed was to write it
	}
	text, err := json.Marshal(abandoned{Reason: reason})
	if err != nil {
		return err
	}
	return durable.WriteFile(s.givenUp(id), text, 0o600)
}
