package run

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/diff"

	"runbook/engine"
	"runbook/engine/lang"
)

// Changed returns how the runbook's file differs by now from what the run
// follows, in unified format; empty if it doesn't, or is gone.
func (r *Runner) Changed() string {
	head := r.state.Header
	if head.File == "" {
		return ""
	}
	now, err := os.ReadFile(head.File)
	if err != nil {
		return "" // the run needs no file
	}
	was := r.scope.Book.Sources.All()[0].Text
	return string(diff.Diff(head.File+" (as the run began)", []byte(was), head.File+" (now)", now))
}

// Accept lets the steps that have not begun follow the runbook's file as it is
// now. Those that have stay as they are, and the file must not change them. It
// returns the new plan.
func (r *Runner) Accept(ctx context.Context, reg *engine.Registry, by string) (*Plan, error) {
	src, err := lang.ReadSources(r.state.Header.File)
	if err != nil {
		return nil, err
	}
	book, diags := lang.Load(src, reg)
	if diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	if err := r.sameSoFar(book); err != nil {
		return nil, err
	}
	scope, err := r.rescope(book)
	if err != nil {
		return nil, err
	}
	plan, err := r.replan(ctx, scope)
	if err != nil {
		return nil, err
	}
	src.Seal()
	r.scope = scope
	return plan, r.append(kindAccepted, accepted{By: by, Sources: src.All(), Plan: plan})
}

// sameSoFar refuses a runbook in which a step that has begun is another one,
// or not there.
func (r *Runner) sameSoFar(book *lang.Runbook) error {
	for i, u := range r.units {
		st := r.state.Steps[u.addr]
		if !st.begun() && (st == nil || !st.Done) {
			continue
		}
		if now := book.Step(u.Name); now == nil || now.Text != u.Text || !slices.Contains(book.Steps[:min(i+1, len(book.Steps))], now) {
			return engine.Errorf("step "+u.addr, "it has begun, and the changed runbook has it differently").
				WithHint("What has begun can't be changed. Resume without --accept-changes, or undo the run with `runbook rollback %s`", r.id())
		}
	}
	return nil
}

// rescope is the run's scope for another text of its runbook.
func (r *Runner) rescope(book *lang.Runbook) (*lang.Scope, error) {
	vars, diags := book.KnownValues(r.scope.Vars)
	if diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	scope := lang.NewScope(book, vars, r.scope.Run)
	scope.Data, scope.Steps = r.scope.Data, r.scope.Steps
	if diags := newData(scope); diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	return scope, nil
}

// replan plans the steps that have not begun against the host as it is. The
// others keep their place in the plan.
func (r *Runner) replan(ctx context.Context, scope *lang.Scope) (*Plan, error) {
	old := r.state.Header.Plan
	p := &planner{ctx: ctx, host: r.host, scope: scope, plan: &Plan{
		Runbook: old.Runbook, Host: old.Host, Run: old.Run, Data: old.Data, secrets: r.secrets,
	}}
	all, diags := units(scope)
	for _, u := range all {
		if diags.HasErrors() {
			break
		}
		if st := r.state.Steps[u.addr]; st.begun() || st != nil && st.Done {
			p.plan.Steps = append(p.plan.Steps, old.step(u.addr))
			if st.Done {
				if err := r.recall(ctx, u, st); err != nil {
					return nil, err
				}
			}
			continue
		}
		diags = p.step(u)
	}
	if diags.HasErrors() {
		return nil, &lang.Error{Book: scope.Book, Diags: r.secrets.maskDiags(diags)}
	}
	r.units = all
	return p.plan, nil
}

// newData reports data sources that the changed runbook has and the run never
// read.
func newData(scope *lang.Scope) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range scope.Book.Data {
		if _, ok := scope.Data[d.Type+"."+d.Name]; !ok {
			diags = append(diags, d.Config.Diagnose("A new data source", fmt.Errorf("data sources are read when the run begins, and this one was not there then")))
		}
	}
	return diags
}
