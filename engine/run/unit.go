package run

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// unit is what is planned, recorded and carried out as one: a step, or one
// round of a step with for_each.
type unit struct {
	*lang.Step
	addr  string // the step's name, with the round's key: move["a"]
	scope *lang.Scope
	index int // from 1 on
	total int
}

// units lists what a run consists of, in order. Nothing that it depends on can
// change between plan and resume.
func units(scope *lang.Scope) ([]*unit, hcl.Diagnostics) {
	var all []*unit
	var diags hcl.Diagnostics
	for _, s := range scope.Book.Steps {
		rounds, more := scope.Rounds(s)
		diags = append(diags, more...)
		for _, e := range rounds {
			u := &unit{Step: s, addr: s.Name, scope: scope}
			if e != nil {
				u.addr, u.scope = fmt.Sprintf("%s[%q]", s.Name, e.Key), scope.With(e)
			}
			all = append(all, u)
		}
	}
	for i, u := range all {
		u.index, u.total = i+1, len(all)
	}
	return all, diags
}

// info is the unit for events. A failed description costs nothing but itself.
func (u *unit) info() engine.StepInfo {
	return engine.StepInfo{Name: u.addr, Action: u.Action, Description: u.Description, Index: u.index, Total: u.total}
}

// look lets the unit's expressions see the host as it is.
func (u *unit) look(ctx context.Context, host engine.Host) {
	u.scope.Facts = hostFacts{ctx: ctx, host: host}
}

// adopt gives the unit's result to the expressions that follow.
func (u *unit) adopt(v cty.Value) {
	if u.scope.Each == nil {
		u.scope.Steps[u.Name] = v
		return
	}
	rounds := map[string]cty.Value{}
	if have, ok := u.scope.Steps[u.Name]; ok && have.LengthInt() > 0 {
		rounds = have.AsValueMap()
	}
	rounds[u.scope.Each.Key] = v
	u.scope.Steps[u.Name] = cty.ObjectVal(rounds)
}

// forget takes back what adopt gave.
func (u *unit) forget() {
	if u.scope.Each == nil {
		delete(u.scope.Steps, u.Name)
		return
	}
	rounds := u.scope.Steps[u.Name].AsValueMap()
	delete(rounds, u.scope.Each.Key)
	u.scope.Steps[u.Name] = cty.ObjectVal(rounds)
}

// nothing is the result of a unit that was passed over.
func (u *unit) nothing() cty.Value {
	return cty.NullVal(engine.ObjectType(u.Spec.Results))
}
