// Package etcd saves, verifies and restores etcd, and looks at its health.
package etcd

import (
	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/replay"
	"runbook/engine"
)

// Actions lists the actions on etcd.
func Actions() []engine.Spec {
	return []engine.Spec{
		adoptSpec(),
		alarmDisarmSpec(),
		compareSpec(),
		drillSpec(),
		healthSpec(),
		membersSpec(),
		pruneSpec(),
		restoreSpec(),
		salvageSpec(),
		saveSpec(),
		verifySpec(),
		walRepairSpec(),
	}
}

// Data lists the data sources on etcd.
func Data() []engine.DataSpec {
	return []engine.DataSpec{
		backupsDataSpec(),
		diagnosisDataSpec(),
		installationDataSpec(),
		inventoryDataSpec(),
		lossDataSpec(),
		memberDataSpec(),
		snapshotDataSpec(),
		statusDataSpec(),
	}
}

// ChildMain does the work of a child process that this package started, where
// args (os.Args[1:]) ask for it, and reports whether they did; the process
// then has to exit. Every binary that uses this package, tests included, calls
// it first thing in main.
func ChildMain(args []string) bool {
	return inspect.ChildMain(args) || diagnose.ChildMain(args) || replay.ChildMain(args) || drillMain(args)
}
