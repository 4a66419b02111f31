package run

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"runbook/engine/journal"
)

// LogEntry is a journal's record, for people.
type LogEntry struct {
	Seq  int
	Time time.Time
	Kind string
	Step string // empty where the record is about the run
	Text string // what there is to say beside the kind; often nothing
}

// logEntry takes from a record what is said in words, whatever its kind. A
// step's configuration and what its action recorded stay in the journal.
func logEntry(r journal.Record) (LogEntry, error) {
	var said struct {
		Step, Error, Finding, Reason, Skipped, Message, Path, By, Version string

		PID    int
		Took   time.Duration `json:"took_ns"`
		Change struct{ Items []any }
	}
	e := LogEntry{Seq: r.Seq, Time: r.Time, Kind: r.Kind}
	if err := r.Decode(&said); err != nil {
		return e, err
	}
	e.Step, e.Text = said.Step, cmp.Or(said.Error, said.Finding, said.Reason, said.Skipped, said.Message, said.Path)
	switch {
	case said.By != "":
		e.Text = strings.TrimSuffix("by "+said.By+": "+e.Text, ": ")
	case e.Text != "":
	case said.Took > 0:
		e.Text = "took " + said.Took.Round(time.Millisecond).String()
	case said.PID > 0:
		e.Text = fmt.Sprintf("by process %d, version %s", said.PID, said.Version)
	case said.Version != "":
		e.Text = "version " + said.Version
	case len(said.Change.Items) > 0:
		e.Text = fmt.Sprintf("%d to change", len(said.Change.Items))
	}
	return e, nil
}
