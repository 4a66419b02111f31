package fault

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var scoreSpec = engine.Spec{
	Name: "drill_score",
	Doc: "Ends a drill with its score: whether the damage was found for what it was, how long it took to come back, and what was lost. " +
		"It fails where the damage was not found, or too much time went by.",
	ReadOnly: true,
	Attributes: []engine.Attribute{
		{Name: "since", Type: cty.String, Required: true, Check: checkTime, Doc: "When it began, in RFC 3339: run.started."},
		{Name: "within_seconds", Type: cty.Number, Check: checkCount, Doc: "How long it may have taken, in seconds; any time where it isn't set."},
		{Name: "found", Type: cty.List(cty.String), Default: cty.ListValEmpty(cty.String), Doc: "The classes of damage that the diagnosis found."},
		{Name: "expected", Type: cty.List(cty.String), Default: cty.ListValEmpty(cty.String), Doc: "The classes of which it has to have found one; empty: whatever it found will do."},
		{Name: "cure", Type: cty.String, Default: cty.StringVal(""), Doc: "The cure that worked."},
		{Name: "lost", Type: cty.String, Default: cty.StringVal("nothing"), Doc: "What was lost, in words."},
	},
	Results: []engine.Attribute{
		{Name: "detected", Type: cty.Bool, Doc: "Whether the damage was found for what it was."},
		{Name: "seconds", Type: cty.Number, Doc: "How long it took from since until now."},
		{Name: "score", Type: cty.String, Doc: "All of it in a sentence."},
	},
	Example: `step "drill_score" "score" {
  since          = run.started
  within_seconds = 600
  found          = ["wal_missing"]
  expected       = ["wal_missing"]
}`,
	New: func() engine.Action { return new(score) },
}

type score struct {
	Since    string   `cty:"since"`
	Within   *int64   `cty:"within_seconds"`
	Found    []string `cty:"found"`
	Expected []string `cty:"expected"`
	Cure     string   `cty:"cure"`
	Lost     string   `cty:"lost"`
}

var _ engine.Action = (*score)(nil)

func checkTime(v cty.Value) error {
	if _, err := time.Parse(time.RFC3339, v.AsString()); err != nil {
		return fmt.Errorf("it has to be a time in RFC 3339, such as run.started: %w", err)
	}
	return nil
}

// Plan implements engine.Action.
func (a *score) Plan(context.Context, engine.World) (engine.Change, error) {
	checks := []string{"the damage was found for what it was"}
	if a.Within != nil {
		checks = append(checks, fmt.Sprintf("it took no more than %s", time.Duration(*a.Within)*time.Second))
	}
	return engine.Change{Checks: checks}, nil
}

// Apply implements engine.Action.
func (a *score) Apply(context.Context, engine.Change, engine.Reporter) (engine.Result, error) {
	began, err := time.Parse(time.RFC3339, a.Since)
	if err != nil {
		return nil, engine.Errorf(a.Since, "%w", err).WithAttribute("since")
	}
	took := time.Since(began).Round(time.Second)
	if !a.detected() {
		return nil, engine.Errorf("drill", "the diagnosis found %s, and none of %s", list(a.Found), list(a.Expected)).
			WithHint("Look at the findings with `runbook show`: would you have known what to do?").WithAttribute("found")
	}
	if a.Within != nil && took > time.Duration(*a.Within)*time.Second {
		return nil, engine.Errorf("drill", "it took %s", took).
			WithHint("`runbook report` tells where the time went.").WithAttribute("within_seconds")
	}
	text := fmt.Sprintf("Found: %s. Back after %s", list(a.Found), took)
	if a.Cure != "" {
		text += " with " + a.Cure
	}
	text += ". Lost: " + strings.TrimRight(a.Lost, ".") + "."
	return engine.Result{"detected": true, "seconds": int64(took.Seconds()), "score": text}, nil
}

func (a *score) detected() bool {
	return len(a.Expected) == 0 || slices.ContainsFunc(a.Found, func(c string) bool { return slices.Contains(a.Expected, c) })
}

func list(of []string) string {
	if len(of) == 0 {
		return "nothing"
	}
	return strings.Join(of, ", ")
}

// Undo implements engine.Action; there is nothing to undo.
func (a *score) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
