package flow

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var confirmSpec = engine.Spec{
	Name: "confirm",
	Doc: "Asks the operator, and goes on once somebody has said yes. " +
		"Without a terminal the run stops there until `runbook approve` is given. Who said yes, when and why is recorded. " +
		"To ask before a step that changes something, use its approve block instead.",
	ReadOnly: true,
	Attributes: []engine.Attribute{
		{Name: "message", Type: cty.String, Required: true, Check: checkMessage,
			Doc: "What the operator is asked; it may show the results of earlier steps."},
	},
	Example: `step "confirm" "users_told" {
  message = "Have the users been told that the service goes down?"
}`,
	New:  func() engine.Action { return new(confirm) },
	Asks: "message",
}

type confirm struct {
	Message string `cty:"message"`
}

var _ engine.Action = (*confirm)(nil)

// Plan implements engine.Action.
func (a *confirm) Plan(context.Context, engine.World) (engine.Change, error) {
	return engine.Change{Checks: []string{"somebody has said yes"}}, nil
}

// Apply implements engine.Action. It is only called once the engine has asked.
func (a *confirm) Apply(context.Context, engine.Change, engine.Reporter) (engine.Result, error) {
	return nil, nil
}

// Undo implements engine.Action; there is nothing to undo.
func (a *confirm) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
