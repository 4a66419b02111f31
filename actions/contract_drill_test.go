package actions_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

// The scenes of drills have a place of their own, so that their many restores
// don't hold the others up.
const (
	drillScenes  = "/var/lib/contract-drill"
	drillData    = drillScenes + "/etcd"
	drillScratch = drillScenes + "/scratch"
	drillBackup  = drillScenes + "/backup.db"
)

func drillCases() []contract.Case {
	return []contract.Case{
		{Name: "a good snapshot", Action: "etcd_snapshot_drill", Setup: drillScene, Kills: true, Bad: badDrill(), Fails: failingDrill()},
	}
}

// drillScene is a snapshot beside a member's data, and room for a drill.
func drillScene(t *testing.T) contract.Scene {
	must(t, os.RemoveAll(drillScenes))
	contract.Write(t, drillBackup, string(running(t).snapshot))
	contract.Write(t, filepath.Join(drillData, "member", "snap", "db"), "not to be touched")
	must(t, os.Mkdir(drillScratch, 0o700))
	return contract.Scene{
		Config: config{
			"snapshot": cty.StringVal(drillBackup), "scratch": cty.StringVal(drillScratch), "data_dir": cty.StringVal(drillData),
		},
		Observe: observeDrill,
	}
}

// observeDrill describes all that is there, to the last byte.
func observeDrill(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(drillScenes, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, observePath(&b, path))
	}))
	return b.String()
}

func badDrill() []contract.Bad {
	return []contract.Bad{
		{Name: "relative snapshot", Set: set("snapshot", "backup.db"), Attribute: "snapshot", Message: "not an absolute path"},
		{Name: "no snapshot", Set: set("snapshot", drillScenes+"/no.db"), Attribute: "snapshot", Message: "there is no such file"},
		{Name: "one bit of the snapshot", Attribute: "snapshot", Message: "SHA-256", Set: func(t *testing.T, _ config) { flipBit(t, drillBackup) }},
		{Name: "relative scratch", Set: set("scratch", "tmp"), Attribute: "scratch", Message: "not an absolute path"},
		{Name: "no scratch", Set: set("scratch", drillScenes+"/no"), Attribute: "scratch", Message: "no such directory"},
		{Name: "scratch is a file", Set: set("scratch", drillBackup), Attribute: "scratch", Message: "it is not a directory"},
		{Name: "scratch in the data", Set: set("scratch", drillData+"/member"), Attribute: "scratch", Message: "too near"},
		{Name: "scratch above the data", Set: set("scratch", drillScenes), Attribute: "scratch", Message: "too near"},
		{Name: "no room", Set: setTo("max_bytes", cty.NumberIntVal(1<<20)), Attribute: "max_bytes", Message: "may take 1.0 MiB: max_bytes"},
		{Name: "no bytes at all", Set: setTo("max_bytes", cty.Zero), Attribute: "max_bytes", Message: "a whole number"},
		{Name: "relative prefix", Set: set("prefix", "registry"), Attribute: "prefix", Message: "not an absolute path"},
	}
}

// failingDrill has somebody else's file where the drill would work. Planning
// doesn't look: it may be another drill's, which has ended by then.
func failingDrill() []contract.Bad {
	return []contract.Bad{
		{Name: "not the drill's own directory", Attribute: "scratch", Message: "not a directory that a drill has made", Set: func(t *testing.T, _ config) {
			contract.Write(t, filepath.Join(drillScratch, "runbook-drill"), "not to be touched")
		}},
	}
}
