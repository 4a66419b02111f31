// Package disasters brings real kubeadm control planes back from a catalogue of
// disasters, with the one command that somebody types at a terminal.
package disasters

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"runbook/test/disaster"
	"runbook/test/torture/tally"
)

// Where the table goes, and the screens are kept.
const (
	tableFile = "../../../../bin/disasters.md"
	screens   = "testdata/screens"
)

// Whatever has happened, one command ends with the least loss that is possible.
func TestDisasters(t *testing.T) {
	c := &cluster{t: t}
	defer func() { must(t, c.close()) }()
	var table disaster.Table
	stage := disaster.Stage{Site: c, Recovery: recovery, Look: look, Diagnosis: diagnosis, Keys: 20}
	for _, d := range catalogue() {
		if !d.Quick && !tally.Full() {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			o, err := stage.Meet(t.Context(), d)
			if err != nil {
				t.Error(err, c.close())
				return
			}
			table.Add(o)
			judge(t, c, o)
		})
	}
	must(t, write(&table))
}

func judge(t *testing.T, c *cluster, o *disaster.Outcome) {
	t.Logf("cure %s, lost %s, %.0f s, %d answers, %d lines", o.Cure(), o.LostWhat(), o.Took.Seconds(), o.Session.Answers, o.Session.Lines)
	complaints := o.Complaints()
	for _, complaint := range complaints {
		t.Error(complaint)
	}
	if len(complaints) > 0 {
		t.Logf("found: %v\n%s", o.Classes, o.Session.Screen)
	} else {
		tally.Count(t, "disasters of a control plane, each with the least loss that is possible", 1)
	}
	switch err := o.Kept(screens); {
	case errors.Is(err, disaster.ErrNotKept):
		t.Log(err)
	case err != nil:
		t.Error(err)
	}
	if len(complaints) > 0 || o.Disaster.Spoils {
		must(t, c.close())
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
