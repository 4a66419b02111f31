package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"runbook/engine"
	"runbook/engine/journal"
	"runbook/engine/lang"
)

// ErrInterrupted says that a run stopped because it was asked to. It can be
// resumed.
var ErrInterrupted = errors.New("stopped by request")

// Failure is why a run stopped at a step. It can be resumed.
type Failure struct {
	Book *lang.Runbook
	Diag *hcl.Diagnostic
}

func (f *Failure) Error() string { return f.Diag.Summary + ": " + f.Diag.Detail }

// RolledBackError says that a step failed and that the run was rolled back, as
// on_failure says.
type RolledBackError struct{ Failure *Failure }

func (e *RolledBackError) Error() string { return e.Failure.Error() }
func (e *RolledBackError) Unwrap() error { return e.Failure }

// Runner carries one run out, and back. It works on the calling goroutine, so
// that the order of its durable writes is the order of its code.
type Runner struct {
	host    engine.Host
	scope   *lang.Scope
	journal *journal.Journal
	state   *State
	secrets *secrets
	units   []*unit
	emit    func(engine.Event)
	// reopened is the record that an interrupted run is taken up again; nil
	// once it is written, and for a new run.
	reopened *resumed
	// Ask puts a question to the operator and returns whether the answer is
	// yes, and who gave it. It is nil where there is nobody to ask.
	Ask func(question string) (yes bool, who string)
}

// Run carries out the steps that aren't done yet. Cancelling stop ends the run
// after the step in hand; cancelling ctx cuts that step short and leaves it in
// doubt. The error is a *Failure, ErrInterrupted, or the journal's.
func (r *Runner) Run(ctx, stop context.Context) error {
	if err := r.takeUp(); err != nil {
		return err
	}
	for _, u := range r.units {
		if u.end {
			if err := r.endOf(ctx, u); err != nil {
				return err
			}
			continue
		}
		if st := r.state.Steps[u.addr]; st != nil && st.Done {
			if err := r.recall(ctx, u, st); err != nil {
				return err
			}
			continue
		}
		if stop.Err() != nil {
			return r.interrupted()
		}
		if err := r.stepOrPolicy(ctx, stop, u); err != nil {
			return err
		}
	}
	return r.finish()
}

// stepOrPolicy carries a step out, and does what on_failure says where it
// fails.
func (r *Runner) stepOrPolicy(ctx, stop context.Context, u *unit) error {
	err := r.step(ctx, stop, u)
	var failure *Failure
	if !errors.As(err, &failure) {
		return err
	}
	switch policy, whose := u.policy(); policy {
	case lang.Continue:
		u.adopt(u.nothing())
		return r.append(kindDone, done{Step: u.addr, Failed: true, GivenUp: u.within(whose)})
	case lang.RollBack:
		if err := r.Rollback(ctx, stop); err != nil {
			return err
		}
		return &RolledBackError{Failure: failure}
	}
	return err
}

// finish records that all steps are done.
func (r *Runner) finish() error {
	out, err := r.outputs()
	if err != nil {
		return err
	}
	if err := r.append(kindFinished, finished{Outputs: out}); err != nil {
		return err
	}
	e := engine.RunFinished{ID: r.id(), Took: r.state.Took(), Kept: r.kept()}
	for _, u := range r.units {
		if st := r.state.Steps[u.addr]; st != nil && st.Failed {
			e.Failed = append(e.Failed, u.addr)
		}
	}
	for _, o := range Said(out) {
		e.Outputs = append(e.Outputs, engine.Output{Name: o.Name, Text: r.secrets.hide(o.Text())})
	}
	r.emit(e)
	return nil
}

// outputs evaluates what the run hands out. By now every step is done, so one
// that can't be evaluated is reported like a failed step.
func (r *Runner) outputs() ([]OutputValue, error) {
	var all []OutputValue
	for _, o := range r.scope.Book.Outputs {
		v, diags := r.scope.Value(o.Expr)
		if d := first(diags); d != nil {
			return nil, &Failure{Book: r.scope.Book, Diag: d}
		}
		value := OutputValue{Name: o.Name, Description: o.Description, Sensitive: o.Sensitive || v.ContainsMarked()}
		if !value.Sensitive {
			raw, err := ctyjson.Marshal(v, v.Type())
			if err != nil {
				return nil, fmt.Errorf("output %s: %w", o.Name, err)
			}
			value.Value = raw
		}
		all = append(all, value)
	}
	return all, nil
}

// Said are the outputs that say something: null is said of what doesn't apply.
func Said(all []OutputValue) []OutputValue {
	return slices.DeleteFunc(slices.Clone(all), func(o OutputValue) bool { return string(o.Value) == "null" })
}

// Text is an output as it may be shown: a text as it is, anything else as
// JSON.
func (o OutputValue) Text() string {
	if o.Sensitive {
		return "(sensitive)"
	}
	var text string
	if json.Unmarshal(o.Value, &text) == nil {
		return text
	}
	return string(o.Value)
}

func (r *Runner) id() string { return r.state.Header.Run.ID }

// kept lists where the run's steps keep what they replaced.
func (r *Runner) kept() []string {
	var kept []string
	for _, u := range r.units {
		if st := r.state.Steps[u.addr]; st != nil {
			for _, path := range st.Change().Kept {
				kept = append(kept, r.secrets.hide(path))
			}
		}
	}
	return kept
}

// adopt gives a finished step's result to the expressions that follow.
func (r *Runner) adopt(u *unit, res engine.Result) error {
	v, err := engine.ResultValue(u.Spec.Results, res, false)
	if err != nil {
		return fmt.Errorf("step %s: %w", u.addr, err)
	}
	u.adopt(v)
	return nil
}

// recall adopts a result that was recorded, with the sensitive values put
// back. Those that the step's configuration derives are known once it is
// evaluated again.
func (r *Runner) recall(ctx context.Context, u *unit, st *StepState) error {
	if u.inner != nil {
		return nil // its end gives what there is to give
	}
	u.look(ctx, r.host)
	if len(r.secrets.tokens) > 0 {
		cfg, _ := u.scope.Config(u.Config, cty.NilVal) // for its secrets alone
		r.secrets.add(cfg.Secrets...)
	}
	if st.PassedOver() {
		u.adopt(u.nothing())
		return nil
	}
	if !u.scope.Needs(u.Name) {
		return nil // it may be a large one
	}
	v, err := u.self(st)
	if err != nil {
		return fmt.Errorf("step %s: %w", u.addr, err)
	}
	u.adopt(v)
	return nil
}

// append writes a record, without the sensitive values, and takes it into the
// state.
func (r *Runner) append(kind string, data any) error {
	hidden, err := r.secrets.rewrite(data, r.secrets.hide)
	if err != nil {
		return fmt.Errorf("a %s record: %w", kind, err)
	}
	rec, err := r.journal.Append(kind, hidden)
	if err != nil {
		return err
	}
	return r.state.take(rec)
}

func (r *Runner) interrupted() error {
	if err := r.append(kindInterrupted, struct{}{}); err != nil {
		return err
	}
	return ErrInterrupted
}

// fail records why a step stopped the run.
func (r *Runner) fail(kind string, u *unit, d *hcl.Diagnostic) error {
	return r.failAfter(0, kind, u, d)
}

func (r *Runner) failAfter(attempts int, kind string, u *unit, d *hcl.Diagnostic) error {
	d.Summary, d.Detail = r.secrets.hide(d.Summary), r.secrets.hide(d.Detail)
	f := &Failure{Book: u.scope.Book, Diag: d}
	if err := r.append(kind, failed{Step: u.addr, Error: f.Error(), Attempts: attempts}); err != nil {
		return fmt.Errorf("%w\nBefore that the step had failed. %s", err, f.Error())
	}
	if kind == kindUndoFailed {
		r.emit(engine.UndoFailed{Step: u.info(), Err: f})
	} else {
		r.emit(engine.StepFailed{Step: u.info(), Err: f})
	}
	return f
}

// first returns the first error among diagnostics.
func first(diags hcl.Diagnostics) *hcl.Diagnostic {
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return d
		}
	}
	return nil
}

// config evaluates a block for real: every value has to be known by now.
func (r *Runner) config(ctx context.Context, u *unit, c lang.Config, self cty.Value) (lang.Evaluated, *hcl.Diagnostic) {
	u.look(ctx, r.host)
	cfg, diags := u.scope.Config(c, self)
	if d := first(diags); d != nil {
		return cfg, d
	}
	r.secrets.add(cfg.Secrets...)
	if !cfg.Known() {
		return cfg, c.Diagnose("A value is missing", engine.Errorf("step "+cfg.Because, "its result doesn't hold what this step needs"))
	}
	return cfg, nil
}

// confidential is ctx with what actions have to know of the secrets.
func (r *Runner) confidential(ctx context.Context) context.Context {
	return engine.WithSecrets(ctx, r.secrets.list())
}

// reporter turns what an action reports into events.
type reporter struct {
	r    *Runner
	info engine.StepInfo
}

func (p reporter) Progress(pr engine.Progress) {
	pr.Doing = p.r.secrets.hide(pr.Doing)
	p.r.emit(engine.StepProgress{Step: p.info, Progress: pr})
}
