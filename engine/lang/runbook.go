// Package lang turns HCL into a Runbook and evaluates its expressions.
package lang

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Runbook is a runbook as it was written: parsed and checked, its expressions
// not yet evaluated.
type Runbook struct {
	Name        string
	Description string
	TimeBudget  time.Duration // 0: none
	Goal        *Check        // holds if there is nothing to do; nil: none
	Summary     *Summary      // what its plan says first; nil: none
	// Preconditions have to hold before its first step, all of them.
	Preconditions []*Check
	OnFailure     string // one of the OnFailure constants
	Restartable   bool   // a run that was cut short may simply be begun anew
	Drill         bool   // does damage on purpose; the operator has to name the host
	Variables     []*Variable
	Locals        []*Local
	Data          []*Data
	Steps         []*Step
	Outputs       []*Output

	Sources *Sources
	Files   map[string]*hcl.File // for the snippets of diagnostics
	Range   hcl.Range

	// broken names what is declared but can't be used, as "step.NAME" or
	// "data.TYPE.NAME", so that references to it aren't reported as well.
	broken map[string]bool
	// needed names the steps whose results an expression refers to.
	needed map[string]bool
	byName struct {
		steps     map[string]*Step
		variables map[string]*Variable
		locals    map[string]*Local
	}
}

// Variable is a value that the operator may set.
type Variable struct {
	Name        string
	Description string
	Type        cty.Type
	Default     cty.Value // cty.NilVal: the operator has to set it
	Sensitive   bool
	Validations []*Check // conditions on self, the value
	Range       hcl.Range
}

// Local is a named expression.
type Local struct {
	Name  string
	Expr  hcl.Expression
	Range hcl.Range
}

// Data is a data block.
type Data struct {
	Type, Name string
	Spec       engine.DataSpec
	Config     Config
}

// Step is a step block.
type Step struct {
	Action, Name   string
	Description    string
	Spec           engine.Spec
	Config         Config
	ForEach        hcl.Expression // a map, or a set of texts; nil: the step is carried out once
	When           hcl.Expression // nil: always
	Approve        *Approve       // nil: nobody has to
	OnFailure      string         // one of the OnFailure constants; empty: as the runbook says
	Preconditions  []*Check
	Postconditions []*Check
	Retry          *Retry
	Timeout        time.Duration // 0: none
	Rollback       *Rollback     // nil: the action's own undo
	Text           string        // the whole block, as it is written
	// Sub is the runbook that a step of action "runbook" carries out; nil for
	// all others. Config then holds the attribute variables alone.
	Sub *Runbook
	// Late says that Sub's data sources are read when the step begins, not
	// when the run does.
	Late bool
}

// The OnFailure constants say what happens when a step fails.
const (
	Stop     = "stop"     // the run stops and can be resumed
	RollBack = "rollback" // the run is rolled back
	Continue = "continue" // the next step follows
)

// Approve says that somebody has to agree before a step changes anything.
type Approve struct {
	Message hcl.Expression
	Range   hcl.Range
}

// Output is a value that a run hands out when it is finished.
type Output struct {
	Name        string
	Description string
	Expr        hcl.Expression
	Sensitive   bool
	Range       hcl.Range
}

// Config is the body of a block whose attributes an action or a data source
// declares.
type Config struct {
	Declared []engine.Attribute
	Given    hcl.Attributes
	Range    hcl.Range // of the block's header
}

// Check is a condition that has to hold.
type Check struct {
	Condition hcl.Expression
	Message   hcl.Expression
	Range     hcl.Range
}

// Retry says how often a failed step is tried again.
type Retry struct {
	Attempts int           // all tries, the first one included
	Delay    time.Duration // before the second try
	Backoff  float64       // what Delay is multiplied by after each try
	MaxDelay time.Duration // 0: no bound
}

// Rollback replaces an action's own undo.
type Rollback struct {
	// Reason says why there is nothing to undo; set for rollback "none" alone.
	Reason string
	Action string
	Spec   engine.Spec
	Config Config
}

// Step returns the step called name, or nil.
func (r *Runbook) Step(name string) *Step {
	return named(name, r.Steps, &r.byName.steps, func(s *Step) string { return s.Name })
}

func (r *Runbook) variable(name string) *Variable {
	return named(name, r.Variables, &r.byName.variables, func(v *Variable) string { return v.Name })
}

func (r *Runbook) local(name string) *Local {
	return named(name, r.Locals, &r.byName.locals, func(l *Local) string { return l.Name })
}

// named finds what is called name among all, to which things are only ever
// added.
func named[T any](name string, all []*T, index *map[string]*T, nameOf func(*T) string) *T {
	if *index == nil {
		*index = map[string]*T{}
	}
	for _, x := range all[len(*index):] {
		(*index)[nameOf(x)] = x
	}
	return (*index)[name]
}

// DataSource returns the data block of that type and name, or nil.
func (r *Runbook) DataSource(typ, name string) *Data {
	for _, d := range r.Data {
		if d.Type == typ && d.Name == name {
			return d
		}
	}
	return nil
}

// Next is the delay that follows after d.
func (r *Retry) Next(d time.Duration) time.Duration {
	next := time.Duration(float64(d) * r.Backoff)
	if r.MaxDelay > 0 {
		next = min(next, r.MaxDelay)
	}
	return next
}

// Error is what is wrong with a runbook, with what it takes to show where.
type Error struct {
	Book  *Runbook
	Diags hcl.Diagnostics
}

func (e *Error) Error() string { return e.Diags.Error() }
