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
	"runbook/engine/journal"
	"runbook/engine/lang"
)

// ErrInterrupted says that a run stopped because it was asked to. It can be
// resumed.
var ErrInterrupted = errors.New("stopped by request")

// Failure is why a run stopped at a step. It can be resumed.
type Failure struct {
	Book *lang.Runbook
	Step *lang.Step
	Diag *hcl.Diagnostic
}

func (f *Failure) Error() string { return f.Diag.Summary + ": " + f.Diag.Detail }

// Runner carries one run out, and back. It works on the calling goroutine, so
// that the order of its durable writes is the order of its code.
type Runner struct {
	host    engine.Host
	scope   *lang.Scope
	journal *journal.Journal
	state   *State
	secrets *secrets
	emit    func(engine.Event)
	// reopened is the record that an interrupted run is taken up again; nil
	// once it is written, and for a new run.
	reopened *resumed
}

// Run carries out the steps that aren't done yet. Cancelling stop ends the run
// after the step in hand; cancelling ctx cuts that step short and leaves it in
// doubt. The error is a *Failure, ErrInterrupted, or the journal's.
func (r *Runner) Run(ctx, stop context.Context) error {
	started := time.Now()
	if err := r.takeUp(); err != nil {
		return err
	}
	for i, s := range r.scope.Book.Steps {
		if st := r.state.Steps[s.Name]; st != nil && st.Done {
			if err := r.recall(ctx, s, st); err != nil {
				return err
			}
			continue
		}
		if stop.Err() != nil {
			return r.interrupted()
		}
		if err := r.step(ctx, stop, s, r.info(i)); err != nil {
			return err
		}
	}
	if err := r.append(kindFinished, struct{}{}); err != nil {
		return err
	}
	r.emit(engine.RunFinished{ID: r.id(), Took: time.Since(started), Kept: r.kept()})
	return nil
}

func (r *Runner) id() string { return r.state.Header.Run.ID }

func (r *Runner) info(i int) engine.StepInfo {
	s := r.scope.Book.Steps[i]
	return engine.StepInfo{Name: s.Name, Action: s.Action, Description: s.Description, Index: i + 1, Total: len(r.scope.Book.Steps)}
}

// kept lists where the run's steps keep what they replaced.
func (r *Runner) kept() []string {
	var kept []string
	for _, s := range r.scope.Book.Steps {
		if st := r.state.Steps[s.Name]; st != nil {
			for _, path := range st.Change.Kept {
				kept = append(kept, r.secrets.hide(path))
			}
		}
	}
	return kept
}

// adopt gives a finished step's result to the expressions that follow.
func (r *Runner) adopt(s *lang.Step, res engine.Result) error {
	v, err := engine.ResultValue(s.Spec.Results, res, false)
	if err != nil {
		return fmt.Errorf("step %s: %w", s.Name, err)
	}
	r.scope.Steps[s.Name] = v
	return nil
}

// recall adopts a result that was recorded, with the sensitive values put
// back. Those that the step's configuration derives are known once it is
// evaluated again.
func (r *Runner) recall(ctx context.Context, s *lang.Step, st *StepState) error {
	r.scope.Facts = hostFacts{ctx: ctx, host: r.host}
	if len(r.secrets.tokens) > 0 {
		cfg, _ := r.scope.Config(s.Config, cty.NilVal) // for its secrets alone
		r.secrets.add(cfg.Secrets...)
	}
	var err error
	if st.Result, err = rewriteInto(r.secrets, st.Result, r.secrets.show); err != nil {
		return fmt.Errorf("step %s: %w", s.Name, err)
	}
	return r.adopt(s, st.Result)
}

// append writes a record, without the sensitive values, and takes it into the
// state.
func (r *Runner) append(kind string, data any) error {
	hidden, err := r.secrets.rewrite(data, r.secrets.hide)
	if err != nil {
		return fmt.Errorf("a %s record: %w", kind, err)
	}
	if err := r.journal.Append(kind, hidden); err != nil {
		return err
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("a %s record: %w", kind, err)
	}
	return r.state.apply(journal.Record{Time: time.Now().UTC(), Kind: kind, Data: raw})
}

func (r *Runner) interrupted() error {
	if err := r.append(kindInterrupted, struct{}{}); err != nil {
		return err
	}
	return ErrInterrupted
}

// fail records why a step stopped the run.
func (r *Runner) fail(kind string, s *lang.Step, info engine.StepInfo, d *hcl.Diagnostic) error {
	d.Summary, d.Detail = r.secrets.hide(d.Summary), r.secrets.hide(d.Detail)
	f := &Failure{Book: r.scope.Book, Step: s, Diag: d}
	if err := r.append(kind, failed{Step: s.Name, Error: f.Error()}); err != nil {
		return fmt.Errorf("%w\nBefore that the step had failed. %s", err, f.Error())
	}
	if kind == kindUndoFailed {
		r.emit(engine.UndoFailed{Step: info, Err: f})
	} else {
		r.emit(engine.StepFailed{Step: info, Err: f})
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
func (r *Runner) config(ctx context.Context, c lang.Config, self cty.Value) (lang.Evaluated, *hcl.Diagnostic) {
	r.scope.Facts = hostFacts{ctx: ctx, host: r.host}
	cfg, diags := r.scope.Config(c, self)
	if d := first(diags); d != nil {
		return cfg, d
	}
	r.secrets.add(cfg.Secrets...)
	if !cfg.Known() {
		return cfg, c.Diagnose("A value is missing", engine.Errorf("step "+cfg.Because, "its result doesn't hold what this step needs"))
	}
	return cfg, nil
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
