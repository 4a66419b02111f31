package lang

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// literal evaluates an attribute that must not refer to anything: the engine
// needs it before there are values.
func (p *parser) literal(a *hcl.Attribute, want cty.Type) (cty.Value, bool) {
	if a == nil {
		return cty.NilVal, false
	}
	if refs := a.Expr.Variables(); len(refs) > 0 {
		p.errorf(refs[0].SourceRange(), "Not a constant", "%s can't refer to anything: write the value itself.", a.Name)
		return cty.NilVal, false
	}
	v, diags := a.Expr.Value(nil)
	if p.add(diags); diags.HasErrors() {
		return cty.NilVal, false
	}
	v, err := converted(v, want)
	if err != nil || v.IsNull() {
		p.errorf(a.Expr.Range(), "Wrong type", "%s takes a %s.", a.Name, want.FriendlyName())
		return cty.NilVal, false
	}
	return v, true
}

func (p *parser) literalString(a *hcl.Attribute) string {
	v, ok := p.literal(a, cty.String)
	if !ok {
		return ""
	}
	return v.AsString()
}

func (p *parser) literalBool(a *hcl.Attribute) bool {
	v, ok := p.literal(a, cty.Bool)
	return ok && v.True()
}

func (p *parser) literalNumber(a *hcl.Attribute, least, most float64) float64 {
	v, ok := p.literal(a, cty.Number)
	if !ok {
		return least
	}
	f, _ := v.AsBigFloat().Float64()
	if f < least || f > most {
		p.errorf(a.Expr.Range(), "Out of range", "%s takes a number from %.0f to %.0f.", a.Name, least, most)
		return least
	}
	return f
}

func (p *parser) literalDuration(a *hcl.Attribute) time.Duration {
	v, ok := p.literal(a, cty.String)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(v.AsString())
	if err != nil || d <= 0 {
		p.errorf(a.Expr.Range(), "Not a duration", `%s takes a positive duration such as "90s", "10m" or "1h30m".`, a.Name)
		return 0
	}
	return d
}
