// Package flow holds the actions that decide how a run goes on.
package flow

import (
	"context"
	"errors"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions that decide how a run goes on.
func Actions() []engine.Spec { return []engine.Spec{confirmSpec, failSpec} }

var failSpec = engine.Spec{
	Name: "fail",
	Doc: "Always fails, with a message. " +
		"It is for the case in which the procedure must not go on, and somebody has to be told why.",
	ReadOnly: true,
	Attributes: []engine.Attribute{
		{Name: "message", Type: cty.String, Required: true, Check: checkMessage,
			Doc: "What the operator reads: what is wrong, and what to do."},
	},
	Example: `step "fail" "by_hand" {
  message = "This host has no usable snapshot. Copy one from another site to /var/backups/etcd."
}`,
	New: func() engine.Action { return new(fail) },
}

type fail struct {
	Message string `cty:"message"`
}

var _ engine.Action = (*fail)(nil)

func checkMessage(v cty.Value) error {
	if v.AsString() == "" {
		return errors.New("the message is empty: say what is wrong, and what to do")
	}
	return nil
}

// Plan implements engine.Action.
func (a *fail) Plan(context.Context, engine.World) (engine.Change, error) {
	return engine.Change{Checks: []string{"the run stops here: " + a.Message}}, nil
}

// Apply implements engine.Action.
func (a *fail) Apply(context.Context, engine.Change, engine.Reporter) (engine.Result, error) {
	return nil, engine.Errorf("fail", "%s", a.Message).
		WithHint("The runbook stops here on purpose. Once what it asks for is done, resume, or start a new run.").WithAttribute("message")
}

// Undo implements engine.Action; there is nothing to undo.
func (a *fail) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
