// Package actions is the list of all actions and data sources.
package actions

import (
	"slices"

	"github.com/hashicorp/go-hclog"

	"runbook/actions/command"
	"runbook/actions/etcd"
	"runbook/actions/fault"
	"runbook/actions/file"
	"runbook/actions/flow"
	"runbook/actions/http"
	"runbook/actions/kube"
	"runbook/actions/machine"
	"runbook/actions/staticpod"
	"runbook/actions/systemd"
	"runbook/actions/wait"
	"runbook/engine"
)

// Registry returns everything that this binary can do. What libraries have to
// say goes to log.
func Registry(log hclog.Logger) *engine.Registry {
	etcd.SetLogger(log)
	kube.SetLogger(log)
	return &engine.Registry{
		Actions: slices.Concat(
			file.Actions(), systemd.Actions(), etcd.Actions(),
			staticpod.Actions(), kube.Actions(),
			command.Actions(), wait.Actions(), http.Actions(), flow.Actions(), fault.Actions(),
		),
		Data:  slices.Concat(file.Data(), etcd.Data(), systemd.Data(), machine.Data(), http.Data(), kube.Data()),
		Facts: systemd.Facts{},
	}
}

// ChildMain serves a call of this binary by itself: to look at something that
// may crash the process, or to watch over a program that has to outlive it. It
// reports whether it was one.
func ChildMain(args []string) bool { return etcd.ChildMain(args) || command.ChildMain(args) }
