package lang

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"runbook/engine"
)

// stepSchema is what every step has beside its action's own attributes.
var stepSchema = hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "description"}, {Name: "timeout"}, {Name: "for_each"}, {Name: "when"}, {Name: "on_failure"}},
	Blocks: []hcl.BlockHeaderSchema{
		{Type: "precondition"},
		{Type: "postcondition"},
		{Type: "retry"},
		{Type: "approve"},
		{Type: "rollback", LabelNames: []string{"action"}},
	},
}

func (p *parser) step(b *hcl.Block) {
	s := &Step{Action: b.Labels[0], Name: b.Labels[1]}
	if old := p.rb.Step(s.Name); old != nil {
		p.unique("step."+s.Name, b.DefRange, &old.Config.Range)
		return
	}
	if s.Action == SubAction {
		p.sub(s, b)
		return
	}
	spec, ok := p.reg.Action(s.Action)
	if !ok {
		p.rb.broken["step."+s.Name] = true
		p.errorf(b.LabelRanges[0], "Unknown action", "There is no action %q.%s `runbook explain` lists them all.", s.Action, p.nearAction(s.Action))
		return
	}
	s.Spec, s.Text = spec, p.blockText(b)
	schema := stepSchema
	schema.Attributes = append(attributeSchema(spec.Attributes), schema.Attributes...)
	content, diags := b.Body.Content(&schema)
	p.add(diags)
	s.Description = p.literalString(content.Attributes["description"])
	s.Timeout = p.literalDuration(content.Attributes["timeout"])
	s.OnFailure = p.onFailure(content.Attributes["on_failure"])
	s.ForEach, s.When = exprOf(content.Attributes["for_each"]), exprOf(content.Attributes["when"])
	for _, a := range stepSchema.Attributes {
		delete(content.Attributes, a.Name)
	}
	s.Config = Config{Declared: spec.Attributes, Given: content.Attributes, Range: b.DefRange}
	if a := content.Attributes[spec.Asks]; a != nil {
		s.Approve = &Approve{Message: a.Expr, Range: a.Range}
	}
	for _, inner := range content.Blocks {
		p.stepBlock(s, inner)
	}
	p.rb.Steps = append(p.rb.Steps, s)
}

// blockText is a block as it is written. It is a part of the file's text, which
// is kept anyway, and no copy.
func (p *parser) blockText(b *hcl.Block) string {
	body, ok := b.Body.(*hclsyntax.Body)
	if !ok {
		return ""
	}
	return p.text[b.DefRange.Start.Byte:body.SrcRange.End.Byte]
}

func (p *parser) nearAction(given string) string {
	return suggest(given, names(p.reg.Actions, func(s engine.Spec) string { return s.Name }))
}

func exprOf(a *hcl.Attribute) hcl.Expression {
	if a == nil {
		return nil
	}
	return a.Expr
}

func (p *parser) onFailure(a *hcl.Attribute) string {
	what := p.literalString(a)
	if a != nil && what != Stop && what != RollBack && what != Continue {
		p.errorf(a.Expr.Range(), "Wrong value for on_failure", "It is %q, %q or %q.", Stop, RollBack, Continue)
	}
	return what
}

func (p *parser) stepBlock(s *Step, b *hcl.Block) {
	switch b.Type {
	case "precondition":
		s.Preconditions = append(s.Preconditions, p.check(b, "error_message"))
	case "postcondition":
		s.Postconditions = append(s.Postconditions, p.check(b, "error_message"))
	case "retry":
		if s.Retry != nil {
			p.errorf(b.DefRange, "Declared twice", "A step has one retry block.")
			return
		}
		s.Retry = p.retry(b)
	case "approve":
		if s.Approve != nil {
			p.errorf(b.DefRange, "Declared twice", "A step is approved once.")
			return
		}
		s.Approve = p.approve(b)
	case "rollback":
		if s.Rollback != nil {
			p.errorf(b.DefRange, "Declared twice", "A step has one rollback block.")
			return
		}
		s.Rollback = p.rollback(b)
	}
}

func (p *parser) check(b *hcl.Block, message string) *Check {
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "condition", Required: true},
		{Name: message, Required: true},
	}})
	p.add(diags)
	c := &Check{Range: b.DefRange}
	if a := content.Attributes["condition"]; a != nil {
		c.Condition = a.Expr
	}
	if a := content.Attributes[message]; a != nil {
		c.Message = a.Expr
	}
	return c
}

func (p *parser) approve(b *hcl.Block) *Approve {
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "message", Required: true}}})
	p.add(diags)
	return &Approve{Message: exprOf(content.Attributes["message"]), Range: b.DefRange}
}

func (p *parser) retry(b *hcl.Block) *Retry {
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
		{Name: "attempts", Required: true}, {Name: "delay"}, {Name: "backoff"}, {Name: "max_delay"},
	}})
	p.add(diags)
	r := &Retry{Delay: time.Second, Backoff: 1}
	if a := content.Attributes["attempts"]; a != nil {
		r.Attempts = int(p.literalNumber(a, 1, 1e6))
	}
	if a := content.Attributes["delay"]; a != nil {
		r.Delay = p.literalDuration(a)
	}
	if a := content.Attributes["backoff"]; a != nil {
		r.Backoff = p.literalNumber(a, 1, 100)
	}
	r.MaxDelay = p.literalDuration(content.Attributes["max_delay"])
	return r
}

func (p *parser) rollback(b *hcl.Block) *Rollback {
	r := &Rollback{Action: b.Labels[0]}
	if r.Action == "none" {
		content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "reason", Required: true}}})
		p.add(diags)
		r.Reason = p.literalString(content.Attributes["reason"])
		return r
	}
	spec, ok := p.reg.Action(r.Action)
	if !ok {
		p.errorf(b.LabelRanges[0], "Unknown action", "There is no action %q to roll back with.%s `runbook explain` lists them all; rollback \"none\" says that there is nothing to undo.", r.Action, p.nearAction(r.Action))
		return nil
	}
	r.Spec = spec
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: attributeSchema(spec.Attributes)})
	p.add(diags)
	r.Config = Config{Declared: spec.Attributes, Given: content.Attributes, Range: b.DefRange}
	return r
}
