// Package systemd controls units over D-Bus.
package systemd

import (
	"context"

	"runbook/engine"
)

// Actions lists the actions on units.
func Actions() []engine.Spec { return nil }

// Facts reads units.
type Facts struct{}

// Unit implements engine.Facts.
func (Facts) Unit(context.Context, string) (engine.UnitFact, error) {
	return engine.UnitFact{}, engine.Errorf("systemd", "not connected yet")
}
