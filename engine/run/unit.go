package run

import (
	"cmp"
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// unit is what is planned, recorded and carried out as one: a step, or one
// round of a step with for_each. A step that carries out another runbook is
// two: one where it begins and one where it ends, with that runbook's own
// units in between.
type unit struct {
	*lang.Step
	addr   string // the step's name, with the round's key: move["a"]; behind that of the runbook it is in: db/move
	scope  *lang.Scope
	parent *unit        // the begin of the runbook that it is in; nil at the top
	inner  *lang.Scope  // of a begin or an end: the other runbook's
	late   []DataResult // what its data sources read when it began, where it is late
	end    bool
	index  int // from 1 on
	total  int
}

// begins reports whether the unit is where another runbook begins.
func (u *unit) begins() bool { return u.inner != nil && !u.end }

// policy is what happens if the unit fails, and whose failure that is: its own,
// or that of a runbook around it, which fails as a whole.
func (u *unit) policy() (what string, whose *unit) {
	own := cmp.Or(u.OnFailure, u.scope.Book.OnFailure)
	if own == "" && u.parent != nil {
		return u.parent.policy()
	}
	return cmp.Or(own, lang.Stop), u
}

// mayFail reports whether the run goes on if the unit fails, with what isn't part
// of that failure.
func (u *unit) mayFail() bool {
	what, whose := u.policy()
	return what == lang.Continue && whose.addr == u.addr
}

// within lists the runbooks around the unit, up to whose, which is one of them or
// the unit itself.
func (u *unit) within(whose *unit) []string {
	var around []string
	for ; u.addr != whose.addr; u = u.parent {
		around = append(around, u.parent.addr)
	}
	return around
}

// A visitor is told of each unit in order, as soon as it is known. Of one where
// another runbook begins it says whether to go into that runbook, and it has to
// see to its data sources before.
type visitor func(u *unit) (enter bool, diags hcl.Diagnostics)

// mostUnits is how many steps a run may have: all are kept in memory, and each
// has its records in the journal.
const mostUnits = 50_000

// units lists what a run consists of, in order. Nothing that it depends on can
// change between plan and resume.
func units(scope *lang.Scope, visit visitor) ([]*unit, hcl.Diagnostics) {
	n := 0
	all, diags := unitsIn(scope, nil, func(u *unit) (bool, hcl.Diagnostics) {
		if n++; n > mostUnits {
			return false, tooMany(u.Step)
		}
		return visit(u)
	})
	total := 0
	for _, u := range all {
		if !u.end {
			total++
		}
		u.index = total
	}
	for _, u := range all {
		u.total = total
	}
	return all, diags
}

func tooMany(s *lang.Step) hcl.Diagnostics {
	return hcl.Diagnostics{s.Config.Diagnose("Too many steps", fmt.Errorf("%d are what a run may have, and with this one it has more", mostUnits))}
}

func unitsIn(scope *lang.Scope, parent *unit, visit visitor) ([]*unit, hcl.Diagnostics) {
	var all []*unit
	for _, s := range scope.Book.Steps {
		rounds, diags := scope.Rounds(s)
		if diags.HasErrors() {
			return nil, diags
		}
		if len(rounds) > mostUnits {
			return nil, tooMany(s)
		}
		for _, e := range rounds {
			some, diags := round(scope, parent, s, e, visit)
			if diags.HasErrors() {
				return nil, diags
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

func round(scope *lang.Scope, parent *unit, s *lang.Step, e *lang.Each, visit visitor) ([]*unit, hcl.Diagnostics) {
	u := &unit{Step: s, addr: s.Name, scope: scope, parent: parent}
	if e != nil {
		u.addr, u.scope = fmt.Sprintf("%s[%q]", s.Name, e.Key), scope.With(e)
	}
	if parent != nil {
		u.addr = parent.addr + "/" + u.addr
	}
	if s.Sub == nil {
		_, diags := visit(u)
		return []*unit{u}, diags
	}
	var diags hcl.Diagnostics
	if u.inner, diags = u.scope.Inner(s); diags.HasErrors() {
		return nil, diags
	}
	all := []*unit{u}
	enter, diags := visit(u)
	if enter && !diags.HasErrors() {
		var between []*unit
		between, diags = unitsIn(u.inner, u, visit)
		all = append(all, between...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	last := *u
	last.end = true
	_, diags = visit(&last)
	return append(all, &last), diags
}

// info is the unit for events. A failed description costs nothing but itself.
func (u *unit) info() engine.StepInfo {
	return engine.StepInfo{Name: u.addr, Action: u.Action, Description: u.Description, Index: u.index, Total: u.total}
}

// look lets the unit's expressions see the host as it is.
func (u *unit) look(ctx context.Context, host engine.Host) {
	u.see(hostFacts{ctx: ctx, host: host})
}

func (u *unit) see(facts lang.Facts) {
	if u.scope.Facts = facts; u.inner != nil {
		u.inner.Facts = facts
	}
}

// adopt gives the unit's result to the expressions that follow, and forget takes
// it back.
func (u *unit) adopt(v cty.Value) { u.scope.Adopt(u.Name, v) }

func (u *unit) forget() { u.scope.Forget(u.Name) }

// self is the result that is recorded of the unit.
func (u *unit) self(st *StepState) (cty.Value, error) {
	res, err := st.result()
	if err != nil {
		return cty.NilVal, err
	}
	return engine.ResultValue(u.Spec.Results, res, false)
}

// nothing is the result of a unit that was passed over.
func (u *unit) nothing() cty.Value {
	if u.Sub != nil {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return cty.NullVal(engine.ObjectType(u.Spec.Results))
}

// outputs are those of the runbook that ends with u, as the result of its
// step.
func (u *unit) outputs() (cty.Value, hcl.Diagnostics) {
	vals := map[string]cty.Value{}
	var diags hcl.Diagnostics
	for _, o := range u.Sub.Outputs {
		v, more := u.inner.Value(o.Expr)
		diags = append(diags, more...)
		if o.Sensitive {
			v = v.Mark(lang.Sensitive)
		}
		vals[o.Name] = v
	}
	return cty.ObjectVal(vals), diags
}
