// Package run plans runbooks and carries them out.
package run

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// Plan is what a run would do, step by step.
type Plan struct {
	Runbook string            `json:"runbook"`
	Host    string            `json:"host"`
	Run     engine.RunInfo    `json:"run"`
	Data    []DataResult      `json:"data,omitempty"`
	Goal    *lang.CheckResult `json:"goal,omitempty"`
	Steps   []StepPlan        `json:"steps,omitempty"` // none where the goal holds

	secrets *secrets // the sensitive texts that may be in it
}

// Shown is the plan without the sensitive values, as it may be shown.
func (p *Plan) Shown() (*Plan, error) { return rewriteInto(p.secrets, p, p.secrets.mask) }

// DataResult is what a data source read.
type DataResult struct {
	Type   string        `json:"type"`
	Name   string        `json:"name"`
	Result engine.Result `json:"result"`
}

// StepPlan is what one step would do.
type StepPlan struct {
	Name          string             `json:"name"`
	Action        string             `json:"action"`
	Description   string             `json:"description,omitempty"`
	Preconditions []lang.CheckResult `json:"preconditions,omitempty"`
	Change        engine.Change      `json:"change"`
	// KnownAfter names the step that has to run before this one can be
	// planned; Change is empty then.
	KnownAfter string `json:"known_after,omitempty"`
	// Undo says how the step is undone where it isn't by its action's own
	// undo; CantUndo, why it can't be.
	Undo     string `json:"undo,omitempty"`
	CantUndo string `json:"cant_undo,omitempty"`
}

// NothingToDo reports whether a run of the plan would change nothing.
func (p *Plan) NothingToDo() bool {
	if p.GoalHolds() {
		return true
	}
	for _, s := range p.Steps {
		if s.KnownAfter != "" || !s.Change.Empty() || s.Blocked() {
			return false
		}
	}
	return true
}

// GoalHolds reports whether the runbook's goal holds already.
func (p *Plan) GoalHolds() bool { return p.Goal != nil && p.Goal.OK }

// Blocked reports whether a precondition of the step is known not to hold.
// What the step would change isn't planned then.
func (s StepPlan) Blocked() bool {
	for _, c := range s.Preconditions {
		if !c.OK && !c.Unknown {
			return true
		}
	}
	return false
}

// Failing lists the preconditions that are known not to hold, by step.
func (p *Plan) Failing() map[string][]lang.CheckResult {
	failing := map[string][]lang.CheckResult{}
	for _, s := range p.Steps {
		for _, c := range s.Preconditions {
			if !c.OK && !c.Unknown {
				failing[s.Name] = append(failing[s.Name], c)
			}
		}
	}
	return failing
}

// step returns the plan of the step called name.
func (p *Plan) step(name string) StepPlan {
	for _, s := range p.Steps {
		if s.Name == name {
			return s
		}
	}
	return StepPlan{}
}

// MakePlan reads the data sources into scope and plans every step against the
// host as the steps before will have left it. It changes nothing.
func MakePlan(ctx context.Context, host engine.Host, scope *lang.Scope) (*Plan, hcl.Diagnostics) {
	p := &planner{
		ctx: ctx, host: host, scope: scope,
		plan: &Plan{Runbook: scope.Book.Name, Host: host.Name(), Run: scope.Run, secrets: newSecrets(rand.Text())},
	}
	for _, v := range scope.Vars {
		p.plan.secrets.add(lang.SecretsIn(v)...)
	}
	if diags := p.make(); diags.HasErrors() {
		return nil, p.plan.secrets.maskDiags(diags)
	}
	return p.plan, nil
}

func (p *planner) make() hcl.Diagnostics {
	scope := p.scope
	scope.Facts = hostFacts{ctx: p.ctx, host: p.host}
	if diags := p.data(); diags.HasErrors() {
		return diags
	}
	if goal := scope.Book.Goal; goal != nil {
		res, diags := scope.Check(goal, cty.NilVal)
		if diags.HasErrors() {
			return diags
		}
		p.plan.Goal = &res
		if res.OK {
			return nil
		}
	}
	for _, s := range scope.Book.Steps {
		if diags := p.step(s); diags.HasErrors() {
			return diags
		}
	}
	return nil
}

// hostFacts answers path() and unit() from a host under effects.
type hostFacts struct {
	ctx   context.Context
	host  engine.Host
	under []engine.Effect
}

func (f hostFacts) Path(path string, hash bool) (engine.PathFact, error) {
	return f.host.Stat(f.ctx, path, hash, f.under)
}

func (f hostFacts) Unit(name string) (engine.UnitFact, error) {
	return f.host.Unit(f.ctx, name, f.under)
}

type planner struct {
	ctx     context.Context
	host    engine.Host
	scope   *lang.Scope
	plan    *Plan
	effects []engine.Effect
}

// data reads every data source, those that others need first.
func (p *planner) data() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, d := range p.scope.Book.DataInOrder() {
		if p.missingInput(d) {
			continue // what it needs has failed, which is reported there
		}
		res, more := p.read(d)
		diags = append(diags, more...)
		if !more.HasErrors() {
			p.plan.Data = append(p.plan.Data, DataResult{Type: d.Type, Name: d.Name, Result: res})
		}
	}
	return diags
}

func (p *planner) missingInput(d *lang.Data) bool {
	for _, need := range p.scope.Book.DataNeededBy(d) {
		if _, ok := p.scope.Data[need]; !ok {
			return true
		}
	}
	return false
}

func (p *planner) read(d *lang.Data) (engine.Result, hcl.Diagnostics) {
	cfg, diags := p.scope.Config(d.Config, cty.NilVal)
	p.plan.secrets.add(cfg.Secrets...)
	if diags.HasErrors() {
		return nil, diags
	}
	raw, err := engine.EncodeConfig(d.Spec.Attributes, cfg.Value)
	if err != nil {
		return nil, hcl.Diagnostics{d.Config.Diagnose("Can't read data."+d.Type+"."+d.Name, err)}
	}
	res, err := p.host.Read(p.ctx, engine.DataRequest{Run: p.scope.Run, Type: d.Type, Config: raw})
	if err == nil {
		err = setData(p.scope, d, res)
	}
	if err != nil {
		return nil, hcl.Diagnostics{d.Config.Diagnose("Can't read data."+d.Type+"."+d.Name, err)}
	}
	return res, nil
}

func setData(scope *lang.Scope, d *lang.Data, res engine.Result) error {
	v, err := engine.ResultValue(d.Spec.Results, res, false)
	if err != nil {
		return err
	}
	scope.Data[d.Type+"."+d.Name] = v
	return nil
}

func (p *planner) step(s *lang.Step) hcl.Diagnostics {
	p.scope.Facts = hostFacts{ctx: p.ctx, host: p.host, under: p.effects}
	sp := StepPlan{Name: s.Name, Action: s.Action, Description: s.Description}
	for _, c := range s.Preconditions {
		res, diags := p.scope.Check(c, cty.NilVal)
		if diags.HasErrors() {
			return diags
		}
		sp.Preconditions = append(sp.Preconditions, res)
	}
	if sp.Blocked() { // planning it would only fail for the reason that the precondition gives
		p.plan.Steps = append(p.plan.Steps, sp)
		p.effects = append(p.effects, engine.Effect{Anything: true, Step: s.Name})
		return nil
	}
	cfg, diags := p.scope.Config(s.Config, cty.NilVal)
	p.plan.secrets.add(cfg.Secrets...)
	if diags.HasErrors() {
		return diags
	}
	var err error
	if sp.KnownAfter = cfg.Because; cfg.Known() {
		sp.Change, sp.KnownAfter, err = p.change(s, cfg)
	}
	if err != nil {
		return hcl.Diagnostics{s.Config.Diagnose("Step "+s.Name+" can't be carried out", err)}
	}
	p.undo(s, &sp)
	p.plan.Steps = append(p.plan.Steps, sp)
	return p.predict(s, sp)
}

func (p *planner) change(s *lang.Step, cfg lang.Evaluated) (engine.Change, string, error) {
	req, err := newRequest(p.scope.Run, s.Name, s.Spec, cfg)
	if err != nil {
		return engine.Change{}, "", err
	}
	req.Effects = p.effects
	c, err := p.host.Plan(p.ctx, req)
	var unknown *engine.UnknownError
	if errors.As(err, &unknown) {
		return engine.Change{}, unknown.Step, nil
	}
	return withoutDiffs(c, cfg), "", err
}

// withoutDiffs is c without the differences of texts where a part of the
// configuration is sensitive: a secret of several lines is in pieces there,
// in which it isn't recognized.
func withoutDiffs(c engine.Change, cfg lang.Evaluated) engine.Change {
	if len(cfg.Sensitive) == 0 {
		return c
	}
	c.Items = slices.Clone(c.Items)
	for i := range c.Items {
		c.Items[i].Diff = ""
	}
	return c
}

func newRequest(run engine.RunInfo, step string, spec engine.Spec, cfg lang.Evaluated) (engine.StepRequest, error) {
	raw, err := engine.EncodeConfig(spec.Attributes, cfg.Value)
	run.Step = step
	return engine.StepRequest{Run: run, Action: spec.Name, Config: raw}, err
}

// undo says what a rollback would do with the step.
func (p *planner) undo(s *lang.Step, sp *StepPlan) {
	switch {
	case s.Rollback == nil:
		sp.CantUndo = sp.Change.Irreversible
	case s.Rollback.Action == "none":
		sp.CantUndo = s.Rollback.Reason
	default:
		sp.Undo = s.Rollback.Action
	}
}

// predict adds what will hold after the step, for those that follow.
func (p *planner) predict(s *lang.Step, sp StepPlan) hcl.Diagnostics {
	if sp.KnownAfter != "" {
		if !s.Spec.ReadOnly {
			p.effects = append(p.effects, engine.Effect{Anything: true, Step: sp.KnownAfter})
		}
		return nil
	}
	for _, e := range sp.Change.Effects {
		e.Step = s.Name
		p.effects = append(p.effects, e)
	}
	final := sp.Change.Empty() && len(sp.Change.Checks) == 0
	v, err := engine.ResultValue(s.Spec.Results, sp.Change.Results, !final)
	if err != nil {
		return hcl.Diagnostics{s.Config.Diagnose("Step "+s.Name+" can't be planned", err)}
	}
	p.scope.Steps[s.Name] = v
	return nil
}

// Describe lists a change's items, one a line, for messages.
func Describe(c engine.Change) string {
	if c.Empty() {
		return "  nothing to change"
	}
	var b strings.Builder
	for i, it := range c.Items {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString("  " + it.Target)
		if it.Attribute != "" {
			b.WriteString(" " + it.Attribute)
		}
		b.WriteString(": " + it.Before + " → " + it.After)
	}
	return b.String()
}
