package lang

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// bound makes all expressions of a body count what they come to.
func bound(b *hclsyntax.Body) {
	for _, a := range b.Attributes {
		a.Expr = bounded(a.Expr)
	}
	for _, inner := range b.Blocks {
		bound(inner.Body)
	}
}

// bounded is an expression that gives up where it would come to too much.
func bounded(e hclsyntax.Expression) hclsyntax.Expression {
	if plain(e) {
		return e
	}
	m := &meter{}
	return &boundedExpr{around(m.count(e)), m}
}

// plain is an expression that makes nothing: a word, a number or a name.
func plain(e hclsyntax.Expression) bool {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return e.Val.Type() != cty.Number || !e.Val.IsKnown() || e.Val.IsNull() || wrongNumber(e.Val.AsBigFloat()) == ""
	case *hclsyntax.TemplateExpr:
		return e.IsStringLiteral()
	case *hclsyntax.ScopeTraversalExpr, *hclsyntax.AnonSymbolExpr, *hclsyntax.ExprSyntaxError:
		return true
	}
	return false
}

// count is an expression whose value is counted, and those of its parts.
func (m *meter) count(e hclsyntax.Expression) hclsyntax.Expression {
	if plain(e) {
		return e
	}
	return &countedExpr{part: around(m.within(e)), meter: m}
}

// operand is count for what arithmetic takes for a number.
func (m *meter) operand(e hclsyntax.Expression) hclsyntax.Expression {
	return &countedExpr{part: around(m.within(e)), meter: m, then: m.operandText}
}

// within counts the parts of an expression: those that make something, or are
// evaluated again and again. It changes the expression itself.
func (m *meter) within(e hclsyntax.Expression) hclsyntax.Expression {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		e.Expression = m.count(e.Expression)
	case *hclsyntax.FunctionCallExpr:
		m.arguments(e)
	case *hclsyntax.TupleConsExpr:
		m.all(e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		for i := range e.Items {
			m.key(e.Items[i].KeyExpr)
			e.Items[i].ValueExpr = m.count(e.Items[i].ValueExpr)
		}
	case *hclsyntax.TemplateExpr:
		m.parts(e)
	case *hclsyntax.TemplateWrapExpr:
		e.Wrapped = m.count(e.Wrapped)
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = m.count(e.Tuple)
	case *hclsyntax.ConditionalExpr:
		e.Condition, e.TrueResult, e.FalseResult = m.count(e.Condition), m.unified(e.TrueResult), m.unified(e.FalseResult)
	case *hclsyntax.BinaryOpExpr:
		m.binary(e)
	case *hclsyntax.UnaryOpExpr:
		e.Val = m.operand(e.Val)
	case *hclsyntax.IndexExpr:
		e.Collection, e.Key = m.count(e.Collection), m.count(e.Key)
	case *hclsyntax.RelativeTraversalExpr:
		e.Source = m.count(e.Source)
	case *hclsyntax.SplatExpr:
		e.Source, e.Each = m.count(e.Source), m.count(e.Each)
	case *hclsyntax.ForExpr:
		m.loop(e)
	}
	return e
}

// unified is count for what may be made a list of one type.
func (m *meter) unified(e hclsyntax.Expression) hclsyntax.Expression {
	return &countedExpr{part: around(m.within(e)), meter: m, then: m.alike}
}

func (m *meter) arguments(e *hclsyntax.FunctionCallExpr) {
	for i := range e.Args {
		if unifies(e.Name, i) && !(e.ExpandFinal && i == len(e.Args)-1) {
			e.Args[i] = m.unified(e.Args[i])
		} else {
			e.Args[i] = m.count(e.Args[i])
		}
	}
}

// unifies reports whether a function makes a list, a set or a map of one type of
// its argument.
func unifies(name string, arg int) bool {
	f, known := pure[name]
	if !known {
		return false
	}
	if name == "toset" || name == "tolist" || name == "tomap" {
		return true
	}
	t := cty.NilType
	if params := f.Params(); arg < len(params) {
		t = params[arg].Type
	} else if more := f.VarParam(); more != nil {
		t = more.Type
	}
	return t != cty.NilType && t.IsCollectionType() && t.ElementType() == cty.DynamicPseudoType
}

func (m *meter) all(exprs []hclsyntax.Expression) {
	for i := range exprs {
		exprs[i] = m.count(exprs[i])
	}
}

// parts counts what is put into a text, each by itself: the text is only there
// when it is whole.
func (m *meter) parts(e *hclsyntax.TemplateExpr) {
	for i, part := range e.Parts {
		if _, fixed := part.(*hclsyntax.LiteralValueExpr); !fixed {
			e.Parts[i] = &countedExpr{part: around(m.within(part)), meter: m}
		}
	}
}

func (m *meter) key(e hclsyntax.Expression) {
	if k, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok && !plain(k.Wrapped) {
		k.Wrapped = m.within(k.Wrapped)
	}
}

func (m *meter) binary(e *hclsyntax.BinaryOpExpr) {
	switch e.Op {
	case hclsyntax.OpAdd, hclsyntax.OpSubtract, hclsyntax.OpMultiply, hclsyntax.OpDivide, hclsyntax.OpModulo:
		e.LHS, e.RHS = m.operand(e.LHS), m.operand(e.RHS)
	default:
		e.LHS, e.RHS = m.count(e.LHS), m.count(e.RHS)
	}
}

func (m *meter) loop(e *hclsyntax.ForExpr) {
	e.CollExpr, e.ValExpr = m.count(e.CollExpr), m.count(e.ValExpr)
	if e.KeyExpr != nil {
		e.KeyExpr = m.count(e.KeyExpr)
	}
	if e.CondExpr != nil {
		e.CondExpr = m.count(e.CondExpr)
	}
}
