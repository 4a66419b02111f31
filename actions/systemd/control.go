package systemd

import (
	"context"
	"time"

	"runbook/engine"
)

// control brings one unit to a state. Each of its methods looks first and
// does nothing where the unit is there already.
type control struct {
	conn   *connection
	unit   string
	report engine.Reporter
	since  time.Time // when it began to
}

// state is a unit's fact, with what systemd is about to do to it. A job may
// have been left behind by a process that was killed after it had asked for
// it; the fact alone then is about to change.
type state struct {
	engine.UnitFact
	pending bool
	oneshot bool
	changed uint64 // when its state last changed, in microseconds since the boot
	reloads bool   // whether it can be reloaded
	reload  string // how its last reload ended; empty for a type of unit that doesn't tell
}

func (s state) up() bool   { return active(s.UnitFact) && !s.pending }
func (s state) down() bool { return settledDown(s.UnitFact) && !s.pending }

// stale reports whether the last reload failed: what the unit runs with is older.
func (s state) stale() bool { return s.reload != "" && s.reload != "success" }

func (k control) read(ctx context.Context) (state, error) {
	props, err := k.conn.properties(ctx, k.unit)
	if err != nil {
		return state{}, err
	}
	job, _ := props["Job"].([]any)
	changed, _ := props["StateChangeTimestampMonotonic"].(uint64)
	reloads, _ := props["CanReload"].(bool)
	return state{
		UnitFact: fact(k.unit, props),
		pending:  len(job) > 0 && job[0] != uint32(0),
		oneshot:  text(props["Type"]) == "oneshot",
		changed:  changed,
		reloads:  reloads,
		reload:   text(props["ReloadResult"]),
	}, nil
}

func (k control) start(ctx context.Context) error {
	now, err := k.read(ctx)
	if err != nil || now.up() {
		return err
	}
	if err := k.resetFailed(ctx, now); err != nil {
		return err
	}
	if err := k.job(ctx, "start", k.conn.StartUnitContext); err != nil {
		return err
	}
	return k.await(ctx, "start", k.isUp)
}

// tryStart asks for a start and doesn't wait for it: so it was before, when
// the unit never got up.
func (k control) tryStart(ctx context.Context) error {
	now, err := k.read(ctx)
	if err != nil || now.up() || now.ActiveState == "activating" {
		return err
	}
	if _, err := k.conn.StartUnitContext(ctx, k.unit, "replace", nil); err != nil {
		return k.refused("start", err)
	}
	return nil
}

func (k control) stop(ctx context.Context) error {
	now, err := k.read(ctx)
	if err != nil || now.down() {
		return err
	}
	if err := k.job(ctx, "stop", k.conn.StopUnitContext); err != nil {
		return err
	}
	return k.await(ctx, "stop", func(u state) (bool, error) { return u.down(), nil })
}

// restartSince restarts the unit, unless it has been started anew since the
// invocation was another one. A restart that is still under way is joined:
// systemd merges a second request into it.
func (k control) restartSince(ctx context.Context, invocation string) error {
	now, err := k.read(ctx)
	if err != nil {
		return err
	}
	anew := now.InvocationID != invocation
	if anew && now.up() {
		return nil
	}
	if anew && now.ActiveState == "activating" && now.SubState != "auto-restart" {
		return k.await(ctx, "restart", k.isUp)
	}
	if err := k.resetFailed(ctx, now); err != nil {
		return err
	}
	if err := k.job(ctx, "restart", k.conn.RestartUnitContext); err != nil {
		return err
	}
	return k.await(ctx, "restart", k.isUp)
}

// reloadSince reloads the unit, unless its state has changed since it last did
// at the given time: it has then been reloaded, or started anew. A reload that
// failed has changed the state too, and is made again. One that is still under
// way is joined.
func (k control) reloadSince(ctx context.Context, changed uint64) error {
	now, err := k.read(ctx)
	if err != nil {
		return err
	}
	if now.changed == changed || now.stale() {
		if err := k.job(ctx, "reload", k.conn.ReloadUnitContext); err != nil {
			return err
		}
	}
	return k.await(ctx, "reload", k.isReloaded)
}

func (k control) isReloaded(u state) (bool, error) {
	switch {
	case u.pending || u.ActiveState == "reloading":
		return false, nil
	case active(u.UnitFact) && u.stale():
		return false, k.failed("the reload ended with \""+u.reload+"\"", u)
	}
	return k.isUp(u)
}

// resetFailed has systemd forget that the unit failed, and how often it was
// started: a unit that was stopped may have spent its starts too. Of one that
// isn't loaded it knows neither, and says so.
func (k control) resetFailed(ctx context.Context, now state) error {
	err := k.conn.ResetFailedUnitContext(ctx, k.unit)
	if err != nil && now.ActiveState == "failed" {
		return k.refused("reset-failed", err)
	}
	return nil
}

// isUp reports whether a start has come to its end. A one-shot unit that
// doesn't remain has succeeded when it is down again.
func (k control) isUp(u state) (bool, error) {
	switch {
	case u.pending:
		return false, nil
	case active(u.UnitFact):
		return true, nil
	case u.ActiveState == "inactive" && u.oneshot && u.Result == "success":
		return true, nil
	case settledDown(u.UnitFact) || u.SubState == "auto-restart":
		return false, k.failed("it went down right after its start", u)
	}
	return false, nil
}

// A request asks systemd for a job and sends the job's result.
type request func(ctx context.Context, unit, mode string, result chan<- string) (int, error)

// job asks for a job and waits for its end.
func (k control) job(ctx context.Context, verb string, ask request) error {
	done := make(chan string, 1)
	if _, err := ask(ctx, k.unit, "replace", done); err != nil {
		return k.refused(verb, err)
	}
	k.report.Progress(engine.Progress{Doing: "waiting for systemd to " + verb + " " + k.unit})
	over := func() bool {
		now, err := k.read(ctx)
		return err == nil && !now.pending
	}
	result, ended := resultOf(ctx, done, over)
	if !ended {
		return k.interrupted(ctx, verb)
	}
	return k.judge(ctx, verb, result)
}

// unheard stands for the result of a job that is over and of whose end no signal
// has told.
const unheard = "unheard"

// resultOf waits for a job's result, and reports false where ctx ends before. The
// signal that tells it comes on a connection of its own, so it may be behind what
// over says; where systemd re-executes itself meanwhile, it is lost. So a job counts
// as unheard where it was over at one look, and nothing has come until the next.
func resultOf(ctx context.Context, done <-chan string, over func() bool) (result string, ended bool) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for wasOver := false; ; {
		select {
		case result := <-done:
			return result, true
		case <-ctx.Done():
			return "", false
		case <-tick.C:
		}
		if wasOver && len(done) == 0 {
			return unheard, true
		}
		wasOver = over()
	}
}

// judge turns a job's result into an error. "skipped" says that there was
// nothing to do for it; the unit's state tells the rest, and all of it where the
// result is unheard.
func (k control) judge(ctx context.Context, verb, result string) error {
	if result == "done" || result == "skipped" || result == unheard {
		return nil
	}
	now, err := k.read(ctx)
	if err != nil {
		return err
	}
	return k.failed("the "+verb+" ended with \""+result+"\"", now)
}

// await waits until the unit's state is as holds wants it.
func (k control) await(ctx context.Context, verb string, holds func(state) (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := k.read(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			if ok, err := holds(now); ok || err != nil {
				return err
			}
			k.report.Progress(engine.Progress{Doing: k.unit + " is " + now.ActiveState + " (" + now.SubState + ")"})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return k.interrupted(ctx, verb)
		}
	}
}

func (k control) interrupted(ctx context.Context, verb string) error {
	return engine.Errorf("unit "+k.unit, "the %s had not ended: %w", verb, context.Cause(ctx)).
		WithHint("systemd goes on with it; see systemctl status %s.", k.unit)
}

func (k control) refused(verb string, err error) error {
	return engine.Errorf("unit "+k.unit, "systemd refused to %s it: %w", verb, err).
		WithHint("See systemctl status %s.", k.unit)
}

// failed describes a unit that did not come to where it should.
func (k control) failed(what string, u state) error {
	log := lastWords(u, k.since)
	if log != "" {
		log = "; it last said:\n" + log
	}
	return engine.Errorf("unit "+k.unit, "%s: the unit is %s (%s), result %s%s", what, u.ActiveState, u.SubState, u.Result, log).
		WithHint("journalctl -u %s -n 20 tells more.", k.unit)
}
