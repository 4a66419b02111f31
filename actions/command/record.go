package command

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// defaultState is where runbook keeps what has to last, unless the environment says
// otherwise. cmd/runbook sets the variable from its flag.
const defaultState = "/var/lib/runbook"

// The two kinds of attempts.
const (
	do   = "do"
	undo = "undo"
)

// recordDir is where the records of this step are. The digest tells the step from
// others whose names look the same in a file's name, and from its own rollback
// block, which may run a command under the step's name too. Neither environment
// nor input is part of it, since they may be secret.
func (a *command) recordDir(run engine.RunInfo) string {
	state := os.Getenv("RUNBOOK_STATE_DIR")
	if !filepath.IsAbs(state) {
		state = defaultState
	}
	words := strings.Join(slices.Concat([]string{run.Step, a.Directory}, a.Argv, a.UndoArgv), "\x00")
	digest := sha256.Sum256([]byte(words))
	step := strings.ReplaceAll(run.Step, "/", "_")
	return filepath.Join(state, "commands", run.ID, fmt.Sprintf("%s-%x", step, digest[:6]))
}

// An attempt is one start of a program. Its file is written before the start
// and again after the end, whole each time.
type attempt struct {
	path    string
	n       int
	secrets engine.Secrets // that its file is without

	Begun   time.Time `json:"begun"`
	Boot    string    `json:"boot"`    // the kernel's name for the time since it started
	Watcher int       `json:"watcher"` // the process that started the program
	PID     int       `json:"pid,omitempty"`
	Start   string    `json:"start,omitempty"` // when PID was started: with it, the process's identity
	Ended   *end      `json:"ended,omitempty"`
	// Told says that the failure was reported: it answers no later call.
	Told bool `json:"told,omitempty"`
}

// end is how a program ended.
type end struct {
	At      time.Time `json:"at"`
	Code    int       `json:"code"`
	Signal  string    `json:"signal,omitempty"`
	Stopped string    `json:"stopped,omitempty"` // why the watcher ended it
	Error   string    `json:"error,omitempty"`   // why it couldn't be started
	Stdout  string    `json:"stdout,omitempty"`
	Stderr  string    `json:"stderr,omitempty"`
}

func (e *end) exited() bool { return e.Signal == "" && e.Stopped == "" && e.Error == "" }

// settled reports whether it is known how the attempt came out, or will be.
func (at *attempt) settled() bool { return at != nil && (at.Ended != nil || at.running()) }

func (at *attempt) results() engine.Result {
	return engine.Result{"ran": true, "exit_code": at.Ended.Code, "stdout": at.Ended.Stdout, "stderr": at.Ended.Stderr}
}

func (at *attempt) save() error {
	data, err := json.Marshal(at.with(at.secrets.Hide))
	if err != nil {
		return engine.Errorf(at.path, "encoding: %w", err)
	}
	return durable.WriteFile(at.path, data, 0o600)
}

// with is at with its texts as f makes them.
func (at attempt) with(f func(string) string) attempt {
	if at.Ended != nil {
		e := *at.Ended
		e.Stdout, e.Stderr, e.Error = f(e.Stdout), f(e.Stderr), f(e.Error)
		at.Ended = &e
	}
	return at
}

// read reads an attempt's file.
func read(path string, secrets engine.Secrets) (*attempt, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var at attempt
	if err := json.Unmarshal(data, &at); err != nil {
		return nil, err
	}
	at = at.with(secrets.Show)
	at.path, at.secrets = path, secrets
	return &at, nil
}

// latest returns the last attempt of a kind, or nil.
func (rec record) latest(kind string) (*attempt, error) {
	var last *attempt
	for n := 1; ; n++ {
		path := rec.path(kind, n)
		at, err := read(path, rec.secrets)
		if errors.Is(err, fs.ErrNotExist) {
			return last, nil
		}
		if err != nil {
			return nil, engine.Errorf(path, "reading how far the command got: %w", err).
				WithHint("Find out whether the command has done its work; then move the file away to have it run again.")
		}
		at.n = n
		last = at
	}
}

func (rec record) path(kind string, n int) string {
	return filepath.Join(rec.Dir, fmt.Sprintf("%s-%d.json", kind, n))
}

// next is the attempt after last, which may be nil.
func (rec record) next(kind string, last *attempt) string {
	if last == nil {
		return rec.path(kind, 1)
	}
	return rec.path(kind, last.n+1)
}

func (rec record) exists() bool {
	_, err := os.Stat(rec.Dir)
	return err == nil
}

// watched reports whether somebody has the record's lock: what they begin, they
// bring to an end.
func (rec record) watched() bool {
	f, err := os.Open(filepath.Join(rec.Dir, lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

const lockName = "lock"

// locked is a record whose lock this process holds, and so the right to start
// a program. A watcher gets the lock with it: as long as it lives, nobody else
// has it.
type locked struct {
	rec  record
	file *os.File
	// waited says that a watcher had it until now.
	waited bool
}

func (l *locked) close() { _ = l.file.Close() } // nothing was written to it

// lock takes the record's lock, after the end of a watcher that has it.
func (rec record) lock(ctx context.Context, r engine.Reporter) (*locked, error) {
	if err := durable.MkdirAll(rec.Dir, 0o700); err != nil {
		return nil, err
	}
	switch e, err := durable.Exposed(rec.Dir); {
	case err != nil:
		return nil, &engine.Error{Where: rec.Dir, Err: err}
	case e != nil:
		return nil, engine.Errorf(rec.Dir, "somebody else could change the records of this command: %s", e).
			WithHint("Have the state directory belong to whoever runs this, with mode 0700, in directories that nobody else can write.")
	}
	path := filepath.Join(rec.Dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	waited, err := rec.await(ctx, f, r)
	if err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return &locked{rec: rec, file: f, waited: waited}, nil
}

// await waits for the lock, and where ctx ends meanwhile, has the watcher end
// its program. It reports whether it had to wait.
func (rec record) await(ctx context.Context, f *os.File, r engine.Reporter) (waited bool, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	done := ctx.Done()
	var giveUp <-chan time.Time
	for ; ; waited = true {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil && ctx.Err() != nil:
			return waited, engine.Errorf(rec.Dir, "the command was ended: %w", context.Cause(ctx))
		case err == nil:
			return waited, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return waited, engine.Errorf(f.Name(), "lock: %w", err)
		}
		running := rec.running()
		r.Progress(engine.Progress{Doing: running.describe()})
		select {
		case <-tick.C:
		case <-done:
			running.signal(unix.SIGTERM)
			done, giveUp = nil, time.After(grace+5*time.Second)
		case <-giveUp:
			return waited, running.undead(context.Cause(ctx))
		}
	}
}

// running returns the attempt that has begun last and has not ended, or nil.
func (rec record) running() *attempt {
	for _, kind := range []string{undo, do} {
		if at, err := rec.latest(kind); err == nil && at != nil && at.Ended == nil {
			return at
		}
	}
	return nil
}

func (at *attempt) describe() string {
	if at == nil {
		return "waiting for the command's watcher"
	}
	return fmt.Sprintf("the command still runs since %s, as process %d", at.Begun.Format(time.TimeOnly), at.PID)
}
