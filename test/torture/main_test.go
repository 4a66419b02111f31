package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// What tests count is added up, and what fails is neither lost nor counted twice.
func TestSummary(t *testing.T) {
	stream := `{"Action":"start","Package":"runbook/test/torture/kill"}
{"Action":"run","Package":"runbook/test/torture/kill","Test":"TestA"}
{"Action":"output","Package":"runbook/test/torture/kill","Test":"TestA","Output":"    a_test.go:5: tally: 3 kill points\n"}
{"Action":"output","Package":"runbook/test/torture/kill","Test":"TestA","Output":"    a_test.go:5: tally: 4 kill points\n"}
{"Action":"pass","Package":"runbook/test/torture/kill","Test":"TestA"}
{"Action":"run","Package":"runbook/test/torture/power","Test":"TestB"}
{"Action":"output","Package":"runbook/test/torture/power","Test":"TestB","Output":"    b_test.go:9: it was lost\n"}
{"Action":"fail","Package":"runbook/test/torture/power","Test":"TestB"}
{"Action":"fail","Package":"runbook/test/torture/power"}
`
	var progress, table bytes.Buffer
	s := newSummary(&progress)
	if err := s.follow(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	s.table(&table)
	for _, want := range []string{"| kill | 7 ", "| kill points |", "Violations: 1", "power TestB"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in:\n%s", want, table.String())
		}
	}
	for _, want := range []string{"VIOLATED: power TestB", "it was lost"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("%q is not in:\n%s", want, progress.String())
		}
	}
	if err := newSummary(io.Discard).follow(strings.NewReader("panic: no JSON")); err == nil {
		t.Error("what isn't JSON was read over")
	}
}
