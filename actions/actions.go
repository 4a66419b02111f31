// Package actions is the list of all actions and data sources.
package actions

import (
	"slices"

	"runbook/actions/etcd"
	"runbook/actions/file"
	"runbook/actions/systemd"
	"runbook/engine"
)

// Registry returns everything that this binary can do.
func Registry() *engine.Registry {
	return &engine.Registry{
		Actions: slices.Concat(file.Actions(), systemd.Actions(), etcd.Actions()),
		Data:    etcd.Data(),
		Facts:   systemd.Facts{},
	}
}
