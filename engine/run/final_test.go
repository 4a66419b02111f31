package run_test

import (
	"context"
	"strings"
	"testing"

	"runbook/engine"
)

// doomed is an action that fails, and for good at the second try.
type doomed struct{ tries *int }

func (*doomed) Plan(context.Context, engine.World) (engine.Change, error) {
	return engine.Change{Checks: []string{"it comes up"}}, nil
}

func (d *doomed) Apply(context.Context, engine.Change, engine.Reporter) (engine.Result, error) {
	*d.tries++
	if *d.tries < 2 {
		return nil, engine.Errorf("unit", "not yet")
	}
	return nil, engine.Errorf("unit", "it has crashed").Finally()
}

func (*doomed) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

// What has been seen to fail for good isn't tried again.
func TestAFinalErrorEndsTheRetries(t *testing.T) {
	b := newBench(t, `
step "doomed" "one" {
  retry {
    attempts = 1000
    delay    = "1ms"
  }
}
`)
	tries := 0
	b.reg.Actions = append(b.reg.Actions, engine.Spec{Name: "doomed", ReadOnly: true, New: func() engine.Action { return &doomed{&tries} }})
	err := b.begin().Run(t.Context(), t.Context())
	if err == nil || !strings.Contains(err.Error(), "it has crashed") || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}
