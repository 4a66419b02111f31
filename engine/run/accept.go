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
// now, which src has. Those that have stay as they are, and the file must not change
// them. It returns the new plan.
func (r *Runner) Accept(ctx context.Context, src *lang.Sources, reg *engine.Registry, by string) (*Plan, error) {
	book, diags := lang.Load(src, reg)
	if diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	scope, err := r.rescope(book)
	if err != nil {
		return nil, err
	}
	plan, err := r.replan(ctx, scope)
	if err != nil {
		return nil, err
	}
	rec := accepted{By: by, Sources: src.All(), Plan: plan}
	if rec.Variables, rec.Sensitive, err = r.recordable(scope.Vars); err != nil {
		return nil, err
	}
	src.Seal()
	r.scope = scope
	return plan, r.append(kindAccepted, rec)
}

// sameSoFar refuses a runbook in which a step that has begun is another one,
// comes later, or is not there.
func (r *Runner) sameSoFar(now []*unit) error {
	for i, u := range r.units {
		st := r.state.Steps[u.addr]
		if !st.begun() && (st == nil || !st.Done) {
			continue
		}
		same := func(n *unit) bool { return n.addr == u.addr && n.Text == u.Text }
		if !slices.ContainsFunc(now[:min(i+1, len(now))], same) {
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
	for name := range r.state.Header.Sensitive {
		if _, ok := vars[name]; !ok {
			return nil, engine.Errorf("variable "+name, "it is sensitive, and the changed runbook no longer declares it").
				WithHint("Leave its block in the runbook, as what this run has recorded with it can't be read or undone without its value")
		}
	}
	scope := lang.NewScope(book, vars, r.scope.Run)
	scope.TakeOver(r.scope)
	if diags := newData(scope); diags.HasErrors() {
		return nil, &lang.Error{Book: book, Diags: diags}
	}
	return scope, nil
}

// replan plans the steps that have not begun against the host as it is. The
// others keep their place in the plan.
func (r *Runner) replan(ctx context.Context, scope *lang.Scope) (*Plan, error) {
	old := r.state.Header.Plan
	defer scope.Hope()()
	p := &planner{ctx: ctx, host: r.host, scope: scope, plan: &Plan{
		Runbook: old.Runbook, OnFailure: scope.Book.OnFailure, Restartable: scope.Book.Restartable, Host: old.Host, Run: old.Run, Data: old.Data, secrets: r.secrets,
	}}
	var err error
	all, diags := units(scope, func(u *unit) (bool, hcl.Diagnostics) {
		if err != nil {
			return false, nil
		}
		st := r.state.Steps[u.addr]
		if u.end || !st.begun() && (st == nil || !st.Done) {
			return p.visit(u)
		}
		planned := old.step(u.addr)
		p.plan.Steps = append(p.plan.Steps, planned)
		if u.begins() {
			err = r.recallDataOf(u.addr, u.inner)
		} else if st.Done {
			err = r.recall(ctx, u, st)
		}
		return planned.Skip == "", nil
	})
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, &lang.Error{Book: scope.Book, Diags: r.secrets.maskDiags(diags)}
	}
	if err := r.sameSoFar(all); err != nil {
		return nil, err
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
