package run

import (
	"fmt"
	"strings"

	"runbook/engine"
	"runbook/engine/lang"
)

// BlockedError says that preconditions of a plan are known not to hold.
type BlockedError struct {
	Brief *engine.Error // for who has seen the plan
	all   *engine.Error // with each of them
}

func (e *BlockedError) Error() string { return e.all.Error() }
func (e *BlockedError) Unwrap() error { return e.all }

// BlockedBy is a *BlockedError if preconditions are known not to hold.
func (p *Plan) BlockedBy() error {
	by := p.Failing()
	if len(by) == 0 {
		return nil
	}
	var lines []string
	add := func(whose string, checks []lang.CheckResult) {
		for _, c := range checks {
			lines = append(lines, fmt.Sprintf("  %s%s (%s)", whose, c.Message, c.Condition))
		}
	}
	add("", by[""])
	for _, s := range p.Steps {
		add("step "+s.Name+": ", by[s.Name])
	}
	const hint = "Nothing has been changed. Put right what they ask for, and plan again"
	where := "runbook " + p.Runbook
	return &BlockedError{
		Brief: engine.Errorf(where, "preconditions don't hold").WithHint(hint),
		all:   engine.Errorf(where, "preconditions don't hold:\n%s", strings.Join(lines, "\n")).WithHint(hint),
	}
}
