// Package run plans runbooks and carries them out.
package run

import (
	"cmp"
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
	// Preconditions are the runbook's own. Where one is known not to hold, there
	// are no steps.
	Preconditions []lang.CheckResult `json:"preconditions,omitempty"`
	// Summary is what the runbook has to say first, line by line.
	Summary []string `json:"summary,omitempty"`
	// OnFailure is what happens if a step fails; empty: the run stops.
	OnFailure string `json:"on_failure,omitempty"`
	// Restartable says that the run may be given up for the next one, however
	// far it got.
	Restartable bool       `json:"restartable,omitempty"`
	Steps       []StepPlan `json:"steps,omitempty"` // none where the goal holds

	secrets *secrets // the sensitive texts that may be in it
	file    string   // the runbook's, of a plan that was kept
	index   map[string]int
}

// Shown is the plan without the sensitive values, as it may be shown.
func (p *Plan) Shown() (*Plan, error) { return rewriteInto(p.secrets, p, p.secrets.mask) }

// DataResult is what a data source read.
type DataResult struct {
	Step   string        `json:"step,omitempty"` // the step whose runbook it is in
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
	Fingerprints  []Fingerprint      `json:"fingerprints,omitempty"`
	// Skip says why the step is passed over. When says what decides whether it
	// is, where that isn't known yet: the step named by WhenAfter tells.
	Skip      string `json:"skip,omitempty"`
	When      string `json:"when,omitempty"`
	WhenAfter string `json:"when_after,omitempty"`
	// IfWell says of a step with When whether it is carried out if every step
	// before does what it should: one of the IfWell constants; empty where that
	// isn't known either.
	IfWell string `json:"if_well,omitempty"`
	// Approve is what somebody has to agree to before the step changes
	// anything; "…" where the message isn't known yet.
	Approve string `json:"approve,omitempty"`
	// OnFailure is what happens if the step fails, if it isn't that the run
	// stops.
	OnFailure string `json:"on_failure,omitempty"`
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
	switch {
	case p.GoalHolds():
		return true
	case len(failing(p.Preconditions)) > 0:
		return false
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
func (s StepPlan) Blocked() bool { return len(failing(s.Preconditions)) > 0 }

// failing are those of checks that are known not to hold.
func failing(checks []lang.CheckResult) (fail []lang.CheckResult) {
	for _, c := range checks {
		if !c.OK && !c.Unknown {
			fail = append(fail, c)
		}
	}
	return fail
}

// Failing lists the preconditions that are known not to hold, by step; the
// runbook's own stand under the empty name.
func (p *Plan) Failing() map[string][]lang.CheckResult {
	by := map[string][]lang.CheckResult{}
	if own := failing(p.Preconditions); len(own) > 0 {
		by[""] = own
	}
	for _, s := range p.Steps {
		if fail := failing(s.Preconditions); len(fail) > 0 {
			by[s.Name] = fail
		}
	}
	return by
}

// lean is the plan without what only planning needs: the effects on later
// steps, and the actions' own records, which each step makes anew.
func (p *Plan) lean() *Plan {
	out := *p
	out.Steps = slices.Clone(p.Steps)
	for i := range out.Steps {
		out.Steps[i].Change.Effects, out.Steps[i].Change.Data = nil, nil
	}
	return &out
}

// step returns the plan of the step called name. Steps are only ever added, so
// the index is brought up to date with what has come since.
func (p *Plan) step(name string) StepPlan {
	if p.index == nil {
		p.index = make(map[string]int, len(p.Steps))
	}
	for i := len(p.index); i < len(p.Steps); i++ {
		p.index[p.Steps[i].Name] = i
	}
	if i, ok := p.index[name]; ok {
		return p.Steps[i]
	}
	return StepPlan{}
}

// MakePlan reads the data sources into scope and plans every step against the
// host as the steps before will have left it. It changes nothing.
func MakePlan(ctx context.Context, host engine.Host, scope *lang.Scope) (*Plan, hcl.Diagnostics) {
	defer scope.Hope()()
	p := &planner{
		ctx: ctx, host: readOnce(host), scope: scope,
		plan: &Plan{Runbook: scope.Book.Name, Host: host.Name(), Run: scope.Run, OnFailure: scope.Book.OnFailure,
			Restartable: scope.Book.Restartable, secrets: newSecrets(rand.Text())},
	}
	for _, v := range scope.Vars {
		p.plan.secrets.variable(v)
	}
	if diags := p.make(); diags.HasErrors() {
		return nil, p.plan.secrets.maskDiags(diags)
	}
	scope.Facts = hostFacts{ctx: ctx, host: host} // as it is now, before any step
	p.plan.Summary = scope.Summary()
	return p.plan, nil
}

func (p *planner) make() hcl.Diagnostics {
	scope := p.scope
	scope.Facts = hostFacts{ctx: p.ctx, host: p.host}
	if diags := p.data(scope, ""); diags.HasErrors() {
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
	var diags hcl.Diagnostics
	if p.plan.Preconditions, diags = preconditionsOf(scope); diags.HasErrors() || len(failing(p.plan.Preconditions)) > 0 {
		return diags
	}
	_, diags = units(scope, p.visit)
	return diags
}

// preconditionsOf evaluates a runbook's own preconditions.
func preconditionsOf(scope *lang.Scope) ([]lang.CheckResult, hcl.Diagnostics) {
	var all []lang.CheckResult
	for _, c := range scope.Book.Preconditions {
		res, diags := scope.Check(c, cty.NilVal)
		if diags.HasErrors() {
			return nil, diags
		}
		all = append(all, res)
	}
	return all, nil
}

// visit plans a unit, and goes into another runbook unless it is passed over.
func (p *planner) visit(u *unit) (bool, hcl.Diagnostics) {
	diags := p.step(u)
	sp := p.plan.step(u.addr)
	return sp.Skip == "" && !sp.Blocked(), diags
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

// data reads the data sources of a runbook into its scope and the plan.
func (p *planner) data(scope *lang.Scope, step string) hcl.Diagnostics {
	read, diags := readData(p.ctx, p.host, scope, step, p.plan.secrets)
	p.plan.Data = append(p.plan.Data, read...)
	return diags
}

func (p *planner) step(u *unit) hcl.Diagnostics {
	u.see(hostFacts{ctx: p.ctx, host: p.host, under: p.effects})
	if u.end {
		return p.endOf(u)
	}
	sp := StepPlan{Name: u.addr, Action: u.Action, Description: u.Description}
	if policy, whose := u.policy(); policy == lang.RollBack || whose.addr == u.addr && policy != lang.Stop {
		sp.OnFailure = policy
	}
	if u.parent != nil {
		outer := p.plan.step(u.parent.addr)
		if sp.When, sp.WhenAfter, sp.IfWell = outer.When, outer.WhenAfter, outer.IfWell; outer.Skip != "" {
			sp.Skip = "step " + u.parent.addr + " is passed over"
		}
	}
	if sp.Skip == "" && u.begins() {
		return p.begin(u, sp)
	}
	if diags := p.wanted(u, &sp); diags.HasErrors() || sp.Skip != "" {
		p.plan.Steps = append(p.plan.Steps, sp)
		u.adopt(u.nothing())
		return diags
	}
	for _, c := range u.Preconditions {
		res, diags := u.scope.Check(c, cty.NilVal)
		if diags.HasErrors() {
			return diags
		}
		sp.Preconditions = append(sp.Preconditions, res)
	}
	if sp.Blocked() { // planning it would only fail for the reason that the precondition gives
		p.plan.Steps = append(p.plan.Steps, sp)
		p.effects = append(p.effects, engine.Effect{Anything: true, Step: u.addr})
		return nil
	}
	cfg, diags := u.scope.Config(u.Config, cty.NilVal)
	p.plan.secrets.add(cfg.Secrets...)
	if diags.HasErrors() {
		return diags
	}
	var err error
	if sp.KnownAfter = cfg.Because; cfg.Known() {
		sp.Change, sp.KnownAfter, err = p.change(u, cfg)
	}
	if err == nil {
		sp.Fingerprints, err = fingerprints(p.ctx, p.host, sp.Change, p.effects)
	}
	if err != nil {
		return hcl.Diagnostics{u.Config.Diagnose("Step "+u.addr+" can't be carried out", err)}
	}
	if diags := p.approve(u, &sp); diags.HasErrors() {
		return diags
	}
	p.undo(u.Step, &sp)
	p.plan.Steps = append(p.plan.Steps, sp)
	return p.predict(u, sp)
}

// begin plans the beginning of another runbook: whether it is carried out, its
// data sources and its goal.
func (p *planner) begin(u *unit, sp StepPlan) hcl.Diagnostics {
	diags := p.wanted(u, &sp)
	for _, v := range u.inner.Vars {
		p.plan.secrets.variable(v)
	}
	switch {
	case diags.HasErrors() || sp.Skip != "":
	case u.Late:
		diags = p.later(u, &sp)
	default:
		diags = p.readInner(u, &sp)
	}
	p.plan.Steps = append(p.plan.Steps, sp)
	return diags
}

// readInner reads the data sources of another runbook, and looks at its goal and
// its preconditions.
func (p *planner) readInner(u *unit, sp *StepPlan) hcl.Diagnostics {
	diags := p.data(u.inner, u.addr)
	if !diags.HasErrors() {
		sp.Skip, diags = goalOf(u)
	}
	if !diags.HasErrors() && sp.Skip == "" {
		sp.Preconditions, diags = preconditionsOf(u.inner)
	}
	return diags
}

// later leaves the data sources of another runbook unknown until its step
// begins, and with them whether its goal holds by then.
func (p *planner) later(u *unit, sp *StepPlan) (diags hcl.Diagnostics) {
	u.inner.Until = u.addr
	if goal := u.Sub.Goal; goal != nil && sp.When == "" {
		sp.When, sp.WhenAfter = "its goal doesn't hold: "+u.inner.Source(goal.Condition), u.addr
		if n := len(p.plan.Steps); n > 0 {
			sp.WhenAfter = p.plan.Steps[n-1].Name
		}
	}
	sp.Preconditions, diags = preconditionsOf(u.inner)
	return diags
}

// goalOf says why the runbook that begins with u has nothing to do.
func goalOf(u *unit) (string, hcl.Diagnostics) {
	goal := u.Sub.Goal
	if goal == nil {
		return "", nil
	}
	res, diags := u.inner.Check(goal, cty.NilVal)
	if diags.HasErrors() || !res.OK {
		return "", diags
	}
	return "there is nothing to do: " + res.Message, nil
}

// endOf gives the outputs of another runbook to the steps that follow, as far
// as they are known.
func (p *planner) endOf(u *unit) hcl.Diagnostics {
	switch sp := p.plan.step(u.addr); {
	case sp.Blocked():
		p.effects = append(p.effects, engine.Effect{Anything: true, Step: u.addr})
		return nil
	case sp.Skip != "":
		u.adopt(u.nothing())
		return nil
	}
	v, diags := u.outputs()
	switch sp := p.plan.step(u.addr); {
	case diags.HasErrors():
	case sp.When == "" && !u.mayFail():
		u.adopt(v)
	default:
		adoptIfWell(u, sp, v)
	}
	return diags
}

// wanted says whether the step's when holds.
func (p *planner) wanted(u *unit, sp *StepPlan) hcl.Diagnostics {
	if u.When == nil || sp.Skip != "" {
		return nil
	}
	wanted, known, because, diags := u.scope.Bool(u.When)
	switch {
	case diags.HasErrors():
	case !known:
		perhaps(u, sp)
		sp.When, sp.WhenAfter = u.scope.Source(u.When), because
	case !wanted:
		sp.Skip = "when is false: " + u.scope.Source(u.When)
	}
	return diags
}

// approve says what somebody has to agree to.
func (p *planner) approve(u *unit, sp *StepPlan) hcl.Diagnostics {
	idle := sp.KnownAfter == "" && sp.Change.Empty() && len(sp.Change.Checks) == 0
	if u.Approve == nil || idle {
		return nil
	}
	message, diags := u.scope.Text(u.Approve.Message)
	sp.Approve = cmp.Or(message, "…")
	return diags
}

func (p *planner) change(u *unit, cfg lang.Evaluated) (engine.Change, string, error) {
	req, err := newRequest(p.scope.Run, u.addr, u.Spec, cfg)
	if err != nil {
		return engine.Change{}, "", err
	}
	req.Effects = p.effects
	c, err := p.host.Plan(engine.WithSecrets(p.ctx, p.plan.secrets.list()), req)
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
func (p *planner) predict(u *unit, sp StepPlan) hcl.Diagnostics {
	after := cmp.Or(sp.KnownAfter, sp.WhenAfter)
	if after == "" && sp.Change.Unpredictable != "" {
		after = u.addr
	}
	if after != "" || sp.When != "" {
		if !u.Spec.ReadOnly {
			p.effects = append(p.effects, engine.Effect{Anything: true, Step: cmp.Or(after, u.addr)})
		}
		return p.hope(u, sp)
	}
	for _, e := range sp.Change.Effects {
		e.Step = u.addr
		p.effects = append(p.effects, e)
	}
	final := sp.Change.Empty() && len(sp.Change.Checks) == 0
	if u.mayFail() && !final {
		return p.hope(u, sp) // it may fail, and its result is null then
	}
	v, err := engine.ResultValue(u.Spec.Results, sp.Change.Results, !final)
	if err != nil {
		return cantPlan(u, err)
	}
	u.adopt(v)
	return nil
}

func cantPlan(u *unit, err error) hcl.Diagnostics {
	return hcl.Diagnostics{u.Config.Diagnose("Step "+u.addr+" can't be planned", err)}
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
