package lang

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"runbook/engine"
)

// checkExpressions looks for mistakes that show without any value: references
// to nothing, circles, wrong types, wrong constants.
func checkExpressions(rb *Runbook) hcl.Diagnostics {
	c := &checker{rb: rb, scope: &Scope{Book: rb}}
	c.circles()
	if c.diags.HasErrors() {
		return c.diags // evaluating would go round for ever
	}
	all := c.allSteps()
	for _, l := range rb.Locals {
		c.refs(site{expr: l.Expr, steps: all})
	}
	for _, d := range rb.Data {
		c.config(d.Config, site{noSteps: dataBeforeSteps})
	}
	if rb.Goal != nil {
		c.check(rb.Goal, site{noSteps: "The goal is looked at before the first step."})
	}
	for _, pre := range rb.Preconditions {
		c.check(pre, site{noSteps: "A runbook's preconditions are looked at before the first step; one of a single step stands in its block."})
	}
	if rb.Summary != nil {
		c.summary(rb.Summary, all)
	}
	for _, v := range rb.Variables {
		for _, check := range v.Validations {
			c.check(check, site{self: true, only: "self"})
		}
	}
	for _, o := range rb.Outputs {
		if o.Expr != nil {
			c.expr(o.Expr, site{steps: all}, cty.NilType, "")
		}
	}
	done := map[string]bool{}
	for _, s := range rb.Steps {
		c.drill(s)
		c.step(s, done)
		done[s.Name] = true
	}
	return c.diags
}

const dataBeforeSteps = "Data sources are read once, before the first step; they can't wait for a step's result."

type checker struct {
	rb    *Runbook
	scope *Scope
	diags hcl.Diagnostics
}

func (c *checker) allSteps() map[string]bool {
	all := map[string]bool{}
	for _, s := range c.rb.Steps {
		all[s.Name] = true
	}
	return all
}

const keysBeforeRun = "A run's steps have to be known before the first of them: for_each can use variables, local values and data sources."

func (c *checker) step(s *Step, done map[string]bool) {
	if s.ForEach != nil {
		c.forEach(s)
	}
	at := site{steps: done, step: s.Name, each: s.ForEach != nil}
	if s.When != nil {
		c.expr(s.When, at, cty.Bool, "when is true or false.")
	}
	if s.Sub != nil {
		c.subVariables(s)
		return
	}
	if s.Approve != nil && s.Approve.Message != nil {
		c.expr(s.Approve.Message, at, cty.String, "A message is a text.")
	}
	c.config(s.Config, at)
	c.oneOf(s.Config, s.Spec, len(s.Postconditions) > 0)
	for _, pre := range s.Preconditions {
		c.check(pre, at)
	}
	if len(s.Postconditions) == 0 && (s.Rollback == nil || s.Rollback.Action == "none") {
		return
	}
	after := at
	after.self, after.itself = true, s.ForEach == nil
	for _, post := range s.Postconditions {
		c.check(post, after)
	}
	if s.Rollback != nil && s.Rollback.Action != "none" {
		c.config(s.Rollback.Config, after)
		c.oneOf(s.Rollback.Config, s.Rollback.Spec, false)
	}
}

// oneOf checks that one of the attributes is set of which the action takes one.
func (c *checker) oneOf(cfg Config, spec engine.Spec, noneDoes bool) {
	given := slices.DeleteFunc(slices.Clone(spec.OneOf), func(name string) bool { return cfg.Given[name] == nil })
	switch {
	case len(spec.OneOf) == 0, len(given) == 1, len(given) == 0 && noneDoes:
	case len(given) == 0:
		c.diags = append(c.diags, cfg.Diagnose("Nothing is set that "+spec.Name+" works on",
			fmt.Errorf("set one of %s, or give the step a postcondition", strings.Join(spec.OneOf, ", "))))
	default:
		c.errorf(cfg.Given[given[1]].Expr, given[0]+" and "+given[1]+" are both set",
			"Set one of "+strings.Join(spec.OneOf, ", ")+"; for more, write more steps.")
	}
}

// drill refuses what does damage on purpose, unless the runbook says that this
// is what it is for.
func (c *checker) drill(s *Step) {
	what := ""
	switch {
	case c.rb.Drill:
	case s.Spec.Destroys:
		what = "Action " + s.Action
	case s.Sub != nil && s.Sub.Drill:
		what = "Runbook \"" + s.Sub.Name + "\""
	case s.Rollback != nil && s.Rollback.Spec.Destroys:
		what = "Action " + s.Rollback.Action
	}
	if what == "" {
		return
	}
	c.diags = append(c.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Damage outside of a drill", Subject: s.Config.Range.Ptr(),
		Detail: what + " does damage on purpose. If this is a drill, say so in the runbook block: drill = true.",
	})
}

// forEach checks that the keys can be known before the run, and that a resume
// sees the same ones.
func (c *checker) forEach(s *Step) {
	if name := c.rb.factIn(s.ForEach); name != "" {
		c.errorf(s.ForEach, "A fact that may change", fmt.Sprintf("%s() reads the host as it is just then, and a resume has to find the same keys. Use a data source: it is read once, when the run begins.", name))
		return
	}
	c.expr(s.ForEach, site{noSteps: keysBeforeRun}, cty.NilType, "")
}

// expr checks an expression whose value has to be of type want, if that is
// set.
func (c *checker) expr(e hcl.Expression, s site, want cty.Type, wrong string) {
	s.expr = e
	if !c.refs(s) {
		return
	}
	v, _, diags := c.scope.eval(e, c.self(s))
	c.diags = append(c.diags, diags...)
	if diags.HasErrors() || want == cty.NilType {
		return
	}
	if _, err := convert.Convert(v, want); err != nil {
		c.errorf(e, "Wrong type", wrong)
	}
}

func (c *checker) errorf(e hcl.Expression, summary, detail string) {
	c.diags = append(c.diags, exprDiag(e, summary, detail))
}

// refs checks what an expression refers to, through locals too, and reports
// whether it can be evaluated.
func (c *checker) refs(s site) bool {
	if len(c.diags) > mostMistakes {
		return false // enough is told
	}
	diags := append(c.rb.checkRefs(s), checkCalls(s.expr)...)
	c.diags = append(c.diags, diags...)
	if diags.HasErrors() {
		return false
	}
	return c.throughLocals(s)
}

// checkCalls reports calls of functions that don't exist, also where no value would
// have them called: behind && and ||, and in a condition's other half.
func checkCalls(e hcl.Expression) hcl.Diagnostics {
	node, ok := e.(hclsyntax.Expression)
	if !ok {
		return nil
	}
	var diags hcl.Diagnostics
	typeOf := hcl.Range{} // the type that the last convert() takes, as in list(string)
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || typeOf.ContainsPos(call.NameRange.Start) {
			return nil
		}
		if call.Name == "convert" && len(call.Args) == 2 {
			typeOf = call.Args[1].Range()
		}
		if _, known := functionTexts[call.Name]; !known {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Call to unknown function", Subject: call.NameRange.Ptr(),
				Detail: fmt.Sprintf("There is no function named %q.%s", call.Name, suggest(call.Name, slices.Collect(maps.Keys(functionTexts))))})
		}
		return nil
	})
	return diags
}

// throughLocals reports a local value that is used too early because it needs
// a step that has not run by then.
func (c *checker) throughLocals(s site) bool {
	seen := map[string]bool{}
	for _, direct := range refsOf(s.expr) {
		if direct.root != "local" || seen[direct.name] {
			continue
		}
		seen[direct.name] = true
		for _, ref := range c.rb.closure(c.rb.local(direct.name).Expr) {
			if summary, detail := c.rb.wrong(ref, s); summary != "" {
				c.diags = append(c.diags, &hcl.Diagnostic{
					Severity: hcl.DiagError, Summary: summary, Subject: direct.Range.Ptr(),
					Detail: fmt.Sprintf("local.%s uses %s.%s at %s. %s", direct.name, ref.root, ref.name, ref.Range, detail),
				})
				return false
			}
		}
	}
	return true
}

func (c *checker) config(cfg Config, s site) {
	ok := true
	for _, a := range cfg.inOrder() {
		s.expr = a.Expr
		ok = c.refs(s) && ok
	}
	if !ok {
		return
	}
	_, diags := c.scope.Config(cfg, c.self(s))
	c.diags = append(c.diags, diags...)
}

func (c *checker) check(ch *Check, s site) {
	if ch.Condition == nil || ch.Message == nil {
		return // reported as missing
	}
	ok := true
	for _, e := range []hcl.Expression{ch.Condition, ch.Message} {
		s.expr = e
		ok = c.refs(s) && ok
	}
	if !ok {
		return
	}
	_, diags := c.scope.Check(ch, c.self(s))
	c.diags = append(c.diags, diags...)
	if !diags.HasErrors() {
		c.message(ch.Message, c.self(s))
	}
}

// message looks whether a message is a text, before the moment comes in which it
// is needed. What it speaks of may only be there then.
func (c *checker) message(e hcl.Expression, self cty.Value) {
	v, _, diags := c.scope.eval(e, self)
	if diags.HasErrors() {
		return
	}
	if _, err := convert.Convert(v, cty.String); err != nil {
		c.errorf(e, "Wrong type", "A message is a text.")
	}
}

func (c *checker) self(s site) cty.Value {
	if !s.self {
		return cty.NilVal
	}
	return cty.DynamicVal
}

// circles reports locals and data sources that need themselves.
func (c *checker) circles() {
	state := map[string]int{} // 1: being visited, 2: done
	var trail []string
	var visit func(key string, exprs []hcl.Expression, at hcl.Range)
	visit = func(key string, exprs []hcl.Expression, at hcl.Range) {
		if state[key] == 1 {
			i := slices.Index(trail, key)
			c.diags = append(c.diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Circular reference", Subject: at.Ptr(),
				Detail: "Each of these needs the next: " + strings.Join(append(slices.Clone(trail[i:]), key), " → ") + ".",
			})
		}
		if state[key] != 0 {
			return
		}
		state[key], trail = 1, append(trail, key)
		for _, e := range exprs {
			for _, ref := range refsOf(e) {
				next, at := c.rb.exprsOf(ref)
				if next != nil {
					visit(ref.root+"."+ref.name, next, at)
				}
			}
		}
		state[key], trail = 2, trail[:len(trail)-1]
	}
	for _, l := range c.rb.Locals {
		visit("local."+l.Name, []hcl.Expression{l.Expr}, l.Range)
	}
	for _, d := range c.rb.Data {
		visit("data."+d.Type+"."+d.Name, d.Config.exprs(), d.Config.Range)
	}
}

// exprsOf returns the expressions behind a reference to a local or a data
// source.
func (r *Runbook) exprsOf(ref ref) ([]hcl.Expression, hcl.Range) {
	switch ref.root {
	case "local":
		if l := r.local(ref.name); l != nil {
			return []hcl.Expression{l.Expr}, l.Range
		}
	case "data":
		typ, name, _ := strings.Cut(ref.name, ".")
		if d := r.DataSource(typ, name); d != nil {
			return d.Config.exprs(), d.Config.Range
		}
	}
	return nil, hcl.Range{}
}

func (c Config) exprs() []hcl.Expression {
	var out []hcl.Expression
	for _, a := range c.inOrder() {
		out = append(out, a.Expr)
	}
	return out
}

// inOrder is the given attributes in the order of their declaration.
func (c Config) inOrder() []*hcl.Attribute {
	var out []*hcl.Attribute
	for _, d := range c.Declared {
		if a := c.Given[d.Name]; a != nil {
			out = append(out, a)
		}
	}
	return out
}
