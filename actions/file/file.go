// Package file holds the actions on files: chown, move, remove.
package file

import "runbook/engine"

// Actions lists the actions on files.
func Actions() []engine.Spec { return nil }
