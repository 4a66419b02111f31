package lang

import (
	"errors"
	"fmt"
	"math/big"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// A few words can ask for more memory, or time, than there is: of a text that is
// made of itself twice, forty times over, or of lists within lists. So the parts
// of an expression count what they come to, and give up where it is too much.
// What is counted doesn't depend on the machine: a resume has to come to the same.
const (
	mostSteps    = 1_000_000
	mostElements = 500_000
	mostProduced = 16 << 20 // of text, in bytes
	mostExponent = 4096     // of a number, binary
)

// part is an expression within another one. Those who walk through see it: that
// is what its type is for.
type part = hclsyntax.ParenthesesExpr

func around(e hclsyntax.Expression) part { return part{Expression: e, SrcRange: e.Range()} }

// boundedExpr is a whole expression, which ends with an error where it would
// come to too much.
type boundedExpr struct {
	part
	meter *meter
}

// UnwrapExpression lets those look through who want a word or a type.
func (e *boundedExpr) UnwrapExpression() hcl.Expression { return e.Expression }

// Value evaluates the expression. Giving up is a panic, since nothing else ends
// the loops of a for expression. try() and can() take that for a mere error.
func (e *boundedExpr) Value(ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	*e.meter = meter{}
	defer func() {
		p := recover()
		if gaveUp := e.meter.gaveUp; gaveUp != nil {
			v, diags = cty.DynamicVal, hcl.Diagnostics{gaveUp}
		} else if p != nil {
			panic(p)
		}
	}()
	return e.Expression.Value(ctx)
}

// countedExpr is a part of an expression.
type countedExpr struct {
	part
	meter *meter
	then  func(cty.Value, hcl.Range) cty.Value // looks at the value as well; may be nil
}

// UnwrapExpression is that of boundedExpr.
func (e *countedExpr) UnwrapExpression() hcl.Expression { return e.Expression }

func (e *countedExpr) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	m := e.meter
	if m.gaveUp != nil {
		panic(m.gaveUp)
	}
	if m.steps++; m.steps > mostSteps {
		m.tooMuch(e.Range(), fmt.Sprintf("%d steps", mostSteps))
	}
	v, diags := e.Expression.Value(ctx)
	m.weigh(v, e.Range())
	if e.then != nil {
		v = e.then(v, e.Range())
	}
	return v, diags
}

// meter counts what the evaluation of one expression comes to.
type meter struct {
	steps, elements, produced int
	gaveUp                    *hcl.Diagnostic
}

func (m *meter) giveUp(at hcl.Range, summary, detail string) {
	m.gaveUp = &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at}
	panic(m.gaveUp)
}

func (m *meter) tooMuch(at hcl.Range, most string) {
	m.giveUp(at, "Too much for an expression", fmt.Sprintf("This comes to more than %s. Give it less to work on.", most))
}

// weigh counts a value with all that is in it.
func (m *meter) weigh(v cty.Value, at hcl.Range) {
	if m.elements++; m.elements > mostElements {
		m.tooMuch(at, fmt.Sprintf("%d elements", mostElements))
	}
	if v, _ = v.Unmark(); !v.IsKnown() || v.IsNull() {
		return
	}
	switch t := v.Type(); {
	case t == cty.String:
		m.text(v.AsString(), at)
	case t == cty.Number:
		m.number(v.AsBigFloat(), at)
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			key, inner := it.Element()
			if key.Type() == cty.String && !t.IsSetType() {
				m.text(key.AsString(), at)
			}
			m.weigh(inner, at)
		}
	}
}

func (m *meter) text(s string, at hcl.Range) {
	if m.produced += len(s); m.produced > mostProduced {
		m.tooMuch(at, fmt.Sprintf("%d MiB of text", mostProduced>>20))
	}
	if !utf8.ValidString(s) {
		m.giveUp(at, "Not a text", "This comes to bytes that are not UTF-8, and an expression holds texts alone.")
	}
}

// number gives up at numbers whose digits alone could fill the memory, and at
// those that are none.
func (m *meter) number(n *big.Float, at hcl.Range) {
	if what := wrongNumber(n); what != "" {
		m.giveUp(at, "Not a number to work with", sentence("it is "+what))
	}
	m.produced += max(n.MantExp(nil), 0) / 3
}

func wrongNumber(n *big.Float) string {
	switch exp := n.MantExp(nil); {
	case n.IsInf():
		return "infinite, or has more digits than can be worked with; perhaps something is divided by zero"
	case exp > mostExponent:
		return "too large: it has more digits than can be worked with"
	case exp < -mostExponent:
		return "too close to zero: it has more digits than can be worked with"
	}
	return ""
}

// converted is v as a value of type t, of a kind that can be kept and shown.
func converted(v cty.Value, t cty.Type) (cty.Value, error) {
	if t.HasDynamicTypes() && t != cty.DynamicPseudoType {
		var ok bool
		if v, ok = alike(v); !ok {
			return v, fmt.Errorf("it has more than %d elements of different types", mostTypes)
		}
	}
	v, err := convert.Convert(v, t)
	if err != nil {
		return v, err
	}
	bare, _ := v.UnmarkDeep()
	return v, cty.Walk(bare, func(_ cty.Path, v cty.Value) (bool, error) {
		switch {
		case !v.IsKnown() || v.IsNull():
		case v.Type() == cty.String && !utf8.ValidString(v.AsString()):
			return false, errors.New("it holds bytes that are not UTF-8")
		case v.Type() == cty.Number && wrongNumber(v.AsBigFloat()) != "":
			return false, fmt.Errorf("it is %s", wrongNumber(v.AsBigFloat()))
		}
		return true, nil
	})
}

// operandText weighs the number that arithmetic takes a text for.
func (m *meter) operandText(v cty.Value, at hcl.Range) cty.Value {
	bare, _ := v.Unmark()
	if bare.Type() != cty.String || !bare.IsKnown() || bare.IsNull() {
		return v
	}
	if err := digits(len(bare.AsString())); err != nil {
		m.giveUp(at, "Not a number to work with", sentence(err.Error()))
	}
	if n, err := cty.ParseNumberVal(bare.AsString()); err == nil {
		m.weigh(n, at)
	}
	return v
}

// mostTypes is how many types are made one: each is compared with all others.
const mostTypes = 5000

// alike makes a list of many values that are of one type already.
func (m *meter) alike(v cty.Value, at hcl.Range) cty.Value {
	v, ok := alike(v)
	if !ok {
		m.giveUp(at, "Too much for an expression", fmt.Sprintf("These are more than %d elements of different types.", mostTypes))
	}
	return v
}

// alike makes a list or a map of many values of one type. It is not ok where they
// are many and of several.
func alike(v cty.Value) (_ cty.Value, ok bool) {
	bare, marks := v.Unmark()
	t := bare.Type()
	if !(t.IsTupleType() || t.IsObjectType()) || !bare.IsKnown() || bare.IsNull() || bare.LengthInt() <= mostTypes {
		return v, true
	}
	one := cty.NilType
	for it := bare.ElementIterator(); it.Next(); {
		_, inner := it.Element()
		if one == cty.NilType {
			one = inner.Type()
		}
		if !inner.Type().Equals(one) {
			return v, false
		}
	}
	if t.IsObjectType() {
		return cty.MapVal(bare.AsValueMap()).WithMarks(marks), true
	}
	return cty.ListVal(bare.AsValueSlice()).WithMarks(marks), true
}
