package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Summary is what a plan says first, and again right before the question.
type Summary struct {
	// Entries are the elements of lines, each a text or a list of texts; one
	// expression where lines is no list in brackets.
	Entries []hcl.Expression
	Range   hcl.Range
}

func (p *parser) summary(b *hcl.Block) {
	if p.rb.Summary != nil {
		p.unique("The summary", b.DefRange, &p.rb.Summary.Range)
		return
	}
	content, diags := b.Body.Content(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "lines", Required: true}}})
	p.add(diags)
	p.rb.Summary = &Summary{Range: b.DefRange}
	lines := exprOf(content.Attributes["lines"])
	if lines == nil {
		return
	}
	if each, diags := hcl.ExprList(lines); !diags.HasErrors() {
		p.rb.Summary.Entries = each
		return
	}
	p.rb.Summary.Entries = []hcl.Expression{lines}
}

// summary checks the lines of a summary as far as they are known without any
// value.
func (c *checker) summary(sum *Summary, steps map[string]bool) {
	for _, e := range sum.Entries {
		if !c.refs(site{expr: e, steps: steps}) {
			continue
		}
		v, _, diags := c.scope.eval(e, cty.NilVal)
		c.diags = append(c.diags, diags...)
		if diags.HasErrors() {
			continue
		}
		if _, err := texts(v); err != nil {
			c.errorf(e, "Wrong type", sentence(err.Error()))
		}
	}
}

// Summary is the runbook's summary, line by line, as far as it is known. A line
// that can't be told says why: no recovery waits for one.
func (s *Scope) Summary() []string {
	if s.Book.Summary == nil {
		return nil
	}
	var lines []string
	for _, e := range s.Book.Summary.Entries {
		v, _, diags := s.eval(e, cty.NilVal)
		if diags.HasErrors() {
			lines = append(lines, untold(e, diags[0].Summary+": "+diags[0].Detail))
			continue
		}
		some, err := texts(v)
		if err != nil {
			some = []string{untold(e, err.Error())}
		}
		lines = append(lines, some...)
	}
	return lines
}

func untold(e hcl.Expression, why string) string {
	return fmt.Sprintf("(The line of the summary at %s:%d can't be told: %s)", e.Range().Filename, e.Range().Start.Line, why)
}

// texts are the known ones of v, a text or a list of texts.
func texts(v cty.Value) ([]string, error) {
	bare, marks := v.Unmark()
	if !bare.IsKnown() && bare.Type().IsPrimitiveType() || bare.Type() == cty.DynamicPseudoType {
		return nil, nil
	}
	if t := bare.Type(); !t.IsListType() && !t.IsTupleType() && !t.IsSetType() {
		return textOf(v)
	}
	if bare.IsNull() || !bare.IsKnown() {
		return nil, nil
	}
	var all []string
	for it := bare.ElementIterator(); it.Next(); {
		_, element := it.Element()
		one, err := textOf(element.WithMarks(marks))
		if err != nil {
			return nil, err
		}
		all = append(all, one...)
	}
	return all, nil
}

// textOf is v as a text; none where it is unknown or null.
func textOf(v cty.Value) ([]string, error) {
	v, err := convert.Convert(v, cty.String)
	if err != nil {
		return nil, fmt.Errorf("a line is a text, or a list of texts")
	}
	bare, marks := v.Unmark()
	switch {
	case !bare.IsKnown() || bare.IsNull():
		return nil, nil
	case len(marks) > 0:
		return []string{"(sensitive)"}, nil
	}
	return []string{bare.AsString()}, nil
}
