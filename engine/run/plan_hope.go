package run

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// The IfWell constants.
const (
	CarriedOut = "carried out"
	PassedOver = "passed over"
)

// perhaps says of a step whose when isn't known yet what it comes to if every
// step before does what it should. Within a runbook that is passed over then, so
// is the step.
func perhaps(u *unit, sp *StepPlan) {
	wanted, known := u.scope.BoolIfWell(u.When)
	switch {
	case sp.IfWell == PassedOver:
	case known && !wanted:
		sp.IfWell = PassedOver
	case known && (sp.When == "" || sp.IfWell == CarriedOut):
		sp.IfWell = CarriedOut
	default:
		sp.IfWell = ""
	}
}

// hope gives the step's result to those that follow as it is if all goes well.
func (p *planner) hope(u *unit, sp StepPlan) hcl.Diagnostics {
	v, err := engine.ResultValue(u.Spec.Results, sp.Change.Results, true)
	if err != nil {
		return cantPlan(u, err)
	}
	adoptIfWell(u, sp, v)
	return nil
}

func adoptIfWell(u *unit, sp StepPlan, v cty.Value) {
	switch {
	case sp.IfWell == PassedOver:
		u.scope.AdoptIfWell(u.Name, u.nothing())
	case sp.IfWell == CarriedOut || sp.When == "":
		u.scope.AdoptIfWell(u.Name, v)
	}
}
