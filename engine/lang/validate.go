package lang

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// checkExpressions looks for mistakes that show without any value: references
// to nothing, circles, wrong types, wrong constants.
func checkExpressions(rb *Runbook) hcl.Diagnostics {
	c := &checker{rb: rb, scope: &Scope{Book: rb}}
	c.circles()
	if c.diags.HasErrors() {
		return c.diags // evaluating would go round for ever
	}
	for _, l := range rb.Locals {
		c.refs(site{expr: l.Expr, steps: c.allSteps()})
	}
	for _, d := range rb.Data {
		c.config(d.Config, site{noSteps: dataBeforeSteps})
	}
	if rb.Goal != nil {
		c.check(rb.Goal, site{noSteps: "The goal is looked at before the first step."})
	}
	done := map[string]bool{}
	for _, s := range rb.Steps {
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

func (c *checker) step(s *Step, done map[string]bool) {
	at := site{steps: done}
	c.config(s.Config, at)
	for _, pre := range s.Preconditions {
		c.check(pre, at)
	}
	after := site{steps: maps.Clone(done), self: true}
	after.steps[s.Name] = true
	for _, post := range s.Postconditions {
		c.check(post, after)
	}
	if s.Rollback != nil && s.Rollback.Action != "none" {
		c.config(s.Rollback.Config, after)
	}
}

// refs checks what an expression refers to, through locals too, and reports
// whether it can be evaluated.
func (c *checker) refs(s site) bool {
	diags := c.rb.checkRefs(s)
	c.diags = append(c.diags, diags...)
	if diags.HasErrors() {
		return false
	}
	return c.throughLocals(s)
}

// throughLocals reports a local value that is used too early because it needs
// a step that has not run by then.
func (c *checker) throughLocals(s site) bool {
	for _, direct := range refsOf(s.expr) {
		if direct.root != "local" {
			continue
		}
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
