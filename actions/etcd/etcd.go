// Package etcd saves, verifies and restores etcd, and looks at its health.
package etcd

import "runbook/engine"

// Actions lists the actions on etcd.
func Actions() []engine.Spec { return nil }

// Data lists the data sources on etcd.
func Data() []engine.DataSpec { return nil }
