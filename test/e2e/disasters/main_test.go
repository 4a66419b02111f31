// Package disasters brings an etcd under a real systemd back from a catalogue of
// disasters, with the one command that somebody types at a terminal.
package disasters

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"runbook/test/disaster"
	"runbook/test/systemdhost"
	"runbook/test/torture/tally"
)

func TestMain(m *testing.M) {
	systemdhost.MainIn(m, systemdhost.Options{Name: "cp1", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// Where the table goes, and the screens are kept.
const (
	tableFile = "../../../bin/disasters-systemd.md"
	screens   = "testdata/screens"
)

// Whatever has happened, one command ends with the least loss that is possible.
func TestDisasters(t *testing.T) {
	var table disaster.Table
	stage := disaster.Stage{Site: &machine{}, Recovery: recovery, Look: look, Diagnosis: diagnosis, Keys: 200}
	for _, d := range catalogue() {
		if !d.Quick && !tally.Full() {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			o, err := stage.Meet(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			table.Add(o)
			judge(t, o)
		})
	}
	if err := write(&table); err != nil {
		t.Error(err)
	}
}

func judge(t *testing.T, o *disaster.Outcome) {
	t.Logf("cure %s, lost %s, %.0f s, %d answers, %d lines", o.Cure(), o.LostWhat(), o.Took.Seconds(), o.Session.Answers, o.Session.Lines)
	complaints := o.Complaints()
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	if len(complaints) > 0 {
		t.Logf("found: %v\n%s", o.Classes, o.Session.Screen)
	} else {
		tally.Count(t, "disasters of an etcd under systemd, each with the least loss that is possible", 1)
	}
	switch err := o.Kept(screens); {
	case errors.Is(err, disaster.ErrNotKept):
		t.Log(err)
	case err != nil:
		t.Error(err)
	}
}

func write(table *disaster.Table) error {
	if err := os.MkdirAll(filepath.Dir(tableFile), 0o755); err != nil {
		return err
	}
	f, err := os.Create(tableFile)
	if err != nil {
		return err
	}
	return errors.Join(table.Write(f), f.Close())
}
