package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// work is a step that is ready to be applied.
type work struct {
	*unit
	req    engine.StepRequest
	change engine.Change
	tries  tries
}

// step carries one step out: prepared afresh, or taken up where the journal
// left it in doubt.
func (r *Runner) step(ctx, stop context.Context, u *unit) error {
	w := &work{unit: u}
	if st := r.state.Steps[u.addr]; st.InDoubt() {
		r.emit(engine.StepStarted{Step: u.info()})
		if err := r.examine(ctx, w, st); err != nil {
			return err
		}
		return r.carryOut(ctx, stop, w)
	}
	skip, err := r.skip(ctx, u)
	if err != nil || skip {
		return err
	}
	if u.begins() {
		if d := r.innerPreconditions(ctx, u); d != nil {
			return r.fail(kindFailed, u, d)
		}
		return r.append(kindDone, done{Step: u.addr, Unchanged: true, Data: u.late})
	}
	if err := r.prepare(ctx, w); err != nil {
		return err
	}
	return r.carryOut(ctx, stop, w)
}

// skip passes a step over that isn't wanted.
func (r *Runner) skip(ctx context.Context, u *unit) (bool, error) {
	u.look(ctx, r.host)
	if u.begins() && u.Late { // to find out takes its time
		r.emit(engine.StepStarted{Step: u.info()})
	}
	reason, d := r.unwanted(ctx, u)
	if !u.begins() || !u.Late {
		r.emit(engine.StepStarted{Step: u.info(), PassedOver: d == nil && reason != ""})
	}
	if d != nil {
		return false, r.fail(kindFailed, u, d)
	}
	if planned := r.state.Header.Plan.step(u.addr); reason == "" && planned.Skip != "" {
		return false, r.fail(kindFailed, u, drifted(u, "to be passed over", "would now be carried out", r.id()))
	}
	if reason == "" {
		return false, nil
	}
	if err := r.append(kindDone, done{Step: u.addr, Skipped: reason}); err != nil {
		return false, err
	}
	if u.inner == nil {
		u.adopt(u.nothing())
	}
	r.emit(engine.StepSkipped{Step: u.info(), Reason: r.secrets.hide(reason)})
	return true, nil
}

// unwanted says why a step is to be passed over; empty if it isn't.
func (r *Runner) unwanted(ctx context.Context, u *unit) (string, *hcl.Diagnostic) {
	if u.parent != nil {
		switch outer := r.state.step(u.parent.addr); {
		case outer.Failed:
			return "step " + u.parent.addr + " has failed", nil
		case outer.PassedOver():
			return "step " + u.parent.addr + " is passed over", nil
		}
	}
	if u.When != nil {
		wanted, _, _, diags := u.scope.Bool(u.When)
		if d := first(diags); d != nil {
			return "", d
		}
		if !wanted {
			return "when is false: " + u.scope.Source(u.When), nil
		}
	}
	if !u.begins() {
		return "", nil
	}
	if u.Late {
		var diags hcl.Diagnostics
		if u.late, diags = readData(ctx, r.host, u.inner, u.addr, r.secrets); diags.HasErrors() {
			return "", first(diags)
		}
	}
	reason, diags := goalOf(u)
	return reason, first(diags)
}

// endOf gives the outputs of another runbook to the steps that follow.
func (r *Runner) endOf(ctx context.Context, u *unit) error {
	if r.state.step(u.addr).PassedOver() {
		u.adopt(u.nothing())
		return nil
	}
	u.look(ctx, r.host)
	v, diags := u.outputs()
	if d := first(diags); d != nil {
		return r.fail(kindFailed, u, d)
	}
	u.adopt(v)
	return nil
}

// prepare checks the preconditions, plans the step against the host as it is,
// and records the intent.
func (r *Runner) prepare(ctx context.Context, w *work) error {
	if d := r.preconditions(ctx, w.unit); d != nil {
		return r.fail(kindFailed, w.unit, d)
	}
	cfg, d := r.config(ctx, w.unit, w.Config, cty.NilVal)
	if d != nil {
		return r.fail(kindFailed, w.unit, d)
	}
	var err error
	if w.req, err = newRequest(w.scope.Run, w.addr, w.Spec, cfg); err == nil {
		w.change, err = r.host.Plan(r.confidential(ctx), w.req)
		w.change = withoutDiffs(w.change, cfg)
	}
	if err != nil {
		return r.fail(kindFailed, w.unit, w.Config.Diagnose("Step "+w.addr+" can't be carried out", err))
	}
	switch d, err := r.drift(ctx, w.unit, w.change); {
	case err != nil:
		return r.fail(kindFailed, w.unit, w.Config.Diagnose("Step "+w.addr+" can't be carried out", err))
	case d != nil:
		return r.fail(kindFailed, w.unit, d)
	}
	if err := r.approval(w); err != nil {
		return err
	}
	if w.change.Empty() {
		return nil
	}
	return r.append(kindIntent, intent{
		Step: w.addr, Request: without(w.req, cfg.Sensitive), Sensitive: cfg.Sensitive, Change: w.change,
	})
}

// without is req with the sensitive attributes set to null.
func without(req engine.StepRequest, sensitive []string) engine.StepRequest {
	for _, name := range sensitive {
		req.Config = setAttribute(req.Config, name, json.RawMessage("null"))
	}
	return req
}

// setAttribute replaces one attribute of an encoded configuration, which is
// always a JSON object.
func setAttribute(config json.RawMessage, name string, value json.RawMessage) json.RawMessage {
	var attrs map[string]json.RawMessage
	if json.Unmarshal(config, &attrs) != nil {
		return config
	}
	attrs[name] = value
	out, err := json.Marshal(attrs)
	if err != nil {
		return config
	}
	return out
}

func (r *Runner) preconditions(ctx context.Context, u *unit) *hcl.Diagnostic {
	u.look(ctx, r.host)
	for _, c := range u.Preconditions {
		if d := holds(u.scope, c, cty.NilVal, "A precondition of step "+u.addr+" doesn't hold"); d != nil {
			return d
		}
	}
	return nil
}

// innerPreconditions are those of the runbook that begins with u.
func (r *Runner) innerPreconditions(ctx context.Context, u *unit) *hcl.Diagnostic {
	u.look(ctx, r.host)
	for _, c := range u.Sub.Preconditions {
		if d := holds(u.inner, c, cty.NilVal, "A precondition of runbook "+u.Sub.Name+" doesn't hold"); d != nil {
			return d
		}
	}
	return nil
}

func holds(scope *lang.Scope, c *lang.Check, self cty.Value, summary string) *hcl.Diagnostic {
	res, diags := scope.Check(c, self)
	if d := first(diags); d != nil {
		return d
	}
	if res.OK {
		return nil
	}
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: res.Message, Subject: c.Condition.Range().Ptr()}
}

// drift compares what the step would change now, and the targets as they look
// now, with what the plan said. A host that already is as the step wants it is
// no drift.
func (r *Runner) drift(ctx context.Context, u *unit, now engine.Change) (*hcl.Diagnostic, error) {
	planned := r.state.Header.Plan.step(u.addr)
	if shown, err := rewriteInto(r.secrets, planned, r.secrets.show); err == nil {
		planned = shown
	}
	if planned.KnownAfter != "" || now.Empty() {
		return nil, nil
	}
	if !now.SameAs(planned.Change) {
		return drifted(u, "to change\n"+Describe(planned.Change), "would now change\n"+Describe(now), r.id()), nil
	}
	return r.moved(ctx, u, planned)
}

func drifted(u *unit, planned, now, id string) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "The host has changed since the plan was made",
		Detail: fmt.Sprintf("Step %s was planned %s\nand %s\n\nFind out who changed the host. Then undo this run with `runbook rollback %s`, or give it up with `runbook abandon %s` and start a new one.",
			u.addr, planned, now, id, id),
		Subject: u.Config.Range.Ptr(),
	}
}

// examine finds out how far a step in doubt had got, by planning it against
// the host as it is and comparing with the recorded change. Whatever it finds,
// the recorded change is then applied again: Apply looks how far it got, and
// what is done already stays as it is.
func (r *Runner) examine(ctx context.Context, w *work, st *StepState) error {
	var err error
	if w.req, w.change, err = r.recorded(ctx, w.unit, w.Config, st.intent, cty.NilVal); err != nil {
		return r.fail(kindFailed, w.unit, w.Config.Diagnose("Step "+w.addr+" can't be taken up again", err))
	}
	finding := "half-way"
	switch now, err := r.host.Plan(r.confidential(ctx), w.req); {
	case err != nil: // a half-done step may well be impossible to plan
	case now.Empty():
		finding = "done"
	case notBegun(w.change, now):
		finding = "not begun"
	case now.Unpredictable != "" || now.Repeats:
		finding = "unknown"
		if now.Unpredictable != "" && !st.Again {
			if err := r.askAgain(w, now.Unpredictable); err != nil {
				return err
			}
		}
	}
	if err := r.append(kindExamined, examined{Step: w.addr, Finding: finding}); err != nil {
		return err
	}
	r.emit(engine.StepExamined{Step: w.info(), Finding: finding})
	return nil
}

// notBegun reports whether a step in doubt has changed nothing, by what it would
// change now.
func notBegun(recorded, now engine.Change) bool {
	tells := now.Witnessed || !now.Repeats && now.Unpredictable == ""
	return tells && now.SameAs(recorded)
}

// recorded returns what an intent recorded, with the sensitive values put
// back, for which the block is evaluated again.
func (r *Runner) recorded(ctx context.Context, u *unit, c lang.Config, rec *kept, self cty.Value) (engine.StepRequest, engine.Change, error) {
	var in intent
	err := rec.decode(&in)
	req, change := in.Request, in.Change
	if err != nil {
		return req, change, err
	}
	if req.Config, err = r.secrets.rewrite(req.Config, r.secrets.show); err != nil {
		return req, change, err
	}
	if len(in.Sensitive) > 0 {
		cfg, d := r.config(ctx, u, c, self)
		if d != nil {
			return req, change, d
		}
		fresh, err := engine.EncodeConfig(c.Declared, cfg.Value)
		if err != nil {
			return req, change, err
		}
		var attrs map[string]json.RawMessage
		if err := json.Unmarshal(fresh, &attrs); err != nil {
			return req, change, err
		}
		for _, name := range in.Sensitive {
			req.Config = setAttribute(req.Config, name, attrs[name])
		}
	}
	change, err = rewriteInto(r.secrets, change, r.secrets.show)
	return req, change, err
}

// carryOut applies a step, tries again as its retry block says, and records
// the outcome.
func (r *Runner) carryOut(ctx, stop context.Context, w *work) error {
	started := time.Now()
	res, err := r.attempts(ctx, stop, w)
	if err == ErrInterrupted {
		return r.interrupted()
	}
	if err != nil {
		d, ok := err.(*hcl.Diagnostic)
		if !ok {
			d = w.Config.Diagnose("Step "+w.addr+" failed", err)
		}
		return r.failAfter(w.tries.Attempts, kindFailed, w.unit, d)
	}
	out := done{Step: w.addr, Unchanged: w.change.Empty(), Result: res, Took: time.Since(started), tries: w.tries}
	if err := r.append(kindDone, out); err != nil {
		return err
	}
	if err := r.emitDone(w, out); err != nil {
		return err
	}
	return r.adopt(w.unit, res)
}

func (r *Runner) emitDone(w *work, out done) error {
	change, err := rewriteInto(r.secrets, w.change, r.secrets.hide)
	if err != nil {
		return err
	}
	res, err := rewriteInto(r.secrets, out.Result, r.secrets.hide)
	if err != nil {
		return err
	}
	r.emit(engine.StepDone{Step: w.info(), Unchanged: out.Unchanged, Change: change, Result: res, Took: out.Took})
	return nil
}

func (r *Runner) attempts(ctx, stop context.Context, w *work) (engine.Result, error) {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Timeout,
			engine.Errorf("step "+w.addr, "it was not done within its timeout of %s", w.Timeout))
		defer cancel()
	}
	if w.change.Empty() { // only looks or waits: there is nothing to finish first
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(stop, cancel)()
	}
	retry := w.Retry
	if retry == nil {
		retry = &lang.Retry{Attempts: 1}
	}
	delay := retry.Delay
	var last error
	for attempt := 1; ; attempt++ {
		if attempt > 1 {
			w.tries = tries{Attempts: attempt, LastError: last.Error()}
		}
		res, err := r.attempt(ctx, w)
		if err == nil {
			return res, nil
		}
		if ctx.Err() == nil || last == nil { // what cutting short does to an attempt says little
			last = err
		}
		if ctx.Err() == nil && (attempt >= retry.Attempts || engine.IsFinal(err)) {
			return nil, last
		}
		if ctx.Err() == nil {
			r.emit(engine.StepRetried{Step: w.info(), Attempt: attempt, Attempts: retry.Attempts, Delay: delay, Err: errors.New(r.secrets.hide(err.Error()))})
		}
		if !pause(ctx, stop, delay) {
			return nil, whyCut(ctx, stop, last)
		}
		delay = retry.Next(delay)
	}
}

// whyCut tells a request to stop from a timeout, whose last error is kept.
func whyCut(ctx, stop context.Context, last error) error {
	cause := context.Cause(ctx)
	if e, ok := cause.(*engine.Error); ok {
		return engine.Errorf(e.Where, "%w; last: %w", e.Err, last).WithHint("%s", engine.HintOf(last))
	}
	if stop.Err() != nil || cause != nil {
		return ErrInterrupted
	}
	return last
}

// pause waits for d and reports whether to go on.
func pause(ctx, stop context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop.Done():
		return false
	case <-ctx.Done():
		return false
	}
}

// attempt applies the change once and checks the postconditions.
func (r *Runner) attempt(ctx context.Context, w *work) (engine.Result, error) {
	res := engine.Result{}
	for k, v := range w.change.Results {
		res[k] = v
	}
	if !w.change.Empty() || len(w.change.Checks) > 0 {
		got, err := r.host.Apply(r.confidential(ctx), w.req, w.change, reporter{r, w.info()})
		if err != nil {
			return nil, err
		}
		for k, v := range got {
			res[k] = v
		}
	}
	return res, r.postconditions(ctx, w.unit, res)
}

func (r *Runner) postconditions(ctx context.Context, u *unit, res engine.Result) error {
	self, err := engine.ResultValue(u.Spec.Results, res, false)
	if err != nil {
		return err
	}
	u.look(ctx, r.host)
	u.adopt(self)
	defer u.forget()
	for _, c := range u.Postconditions {
		if d := holds(u.scope, c, self, "A postcondition of step "+u.addr+" doesn't hold"); d != nil {
			return d
		}
	}
	return nil
}
