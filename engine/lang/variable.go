package lang

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
)

// sensitiveMark is the cty mark of values that must not be shown.
type sensitiveMark struct{}

// Sensitive marks values that must never reach the screen, a log or a file.
var Sensitive = sensitiveMark{}

func (p *parser) variable(b *hcl.Block) {
	v := &Variable{Name: b.Labels[0], Type: cty.DynamicPseudoType, Range: b.DefRange}
	if old := p.rb.variable(v.Name); old != nil {
		p.unique("var."+v.Name, b.DefRange, &old.Range)
		return
	}
	content, diags := b.Body.Content(&hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "description"}, {Name: "sensitive"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
	})
	p.add(diags)
	for _, inner := range content.Blocks {
		v.Validations = append(v.Validations, p.check(inner, "error_message"))
	}
	v.Description = p.literalString(content.Attributes["description"])
	v.Sensitive = p.literalBool(content.Attributes["sensitive"])
	if a := content.Attributes["type"]; a != nil {
		t, diags := typeexpr.TypeConstraint(a.Expr)
		p.add(diags)
		if !diags.HasErrors() {
			v.Type = t
		}
	}
	if a := content.Attributes["default"]; a != nil {
		v.Default = p.defaultValue(a, v.Type)
		if v.Sensitive && v.Default != cty.NilVal && !v.Default.IsNull() {
			p.errorf(a.Expr.Range(), "A default for a sensitive variable", "The runbook's text is kept in the journal and read by many: what is written there isn't secret. Leave the default out; it is asked for with --var.")
		}
	}
	p.rb.Variables = append(p.rb.Variables, v)
}

func (p *parser) defaultValue(a *hcl.Attribute, want cty.Type) cty.Value {
	if refs := a.Expr.Variables(); len(refs) > 0 {
		p.errorf(refs[0].SourceRange(), "Not a constant", "A variable's default can't refer to anything: write the value itself.")
		return cty.NilVal
	}
	v, diags := a.Expr.Value(nil)
	if p.add(diags); diags.HasErrors() {
		return cty.NilVal
	}
	v, err := converted(v, want)
	if err != nil {
		p.errorf(a.Expr.Range(), "Wrong type", "The default is no %s: %s.", want.FriendlyName(), err)
		return cty.NilVal
	}
	return v
}

// VariableValues evaluates the operator's settings. Text for a string is taken
// as it is; for other types it is an HCL expression.
func (r *Runbook) VariableValues(set Settings) (map[string]cty.Value, hcl.Diagnostics) {
	vals := make(map[string]cty.Value, len(r.Variables))
	diags := set.undeclared(r)
	for _, v := range r.Variables {
		val, diag := v.value(set)
		if diag != nil {
			diags = append(diags, diag)
			continue
		}
		if v.Sensitive {
			val = val.Mark(Sensitive)
		}
		diags = append(diags, r.validate(v, val)...)
		vals[v.Name] = val
	}
	return vals, inOrder(diags)
}

// KnownValues are the variables of a runbook for which another text of it has
// had values. New ones get their defaults.
func (r *Runbook) KnownValues(had map[string]cty.Value) (map[string]cty.Value, hcl.Diagnostics) {
	vals := make(map[string]cty.Value, len(r.Variables))
	var diags hcl.Diagnostics
	for _, v := range r.Variables {
		val, ok := had[v.Name]
		if !ok {
			var diag *hcl.Diagnostic
			if val, diag = v.value(nil); diag != nil {
				diags = append(diags, diag)
				continue
			}
		}
		if v.Sensitive {
			val = val.Mark(Sensitive)
		}
		vals[v.Name] = val
	}
	return vals, diags
}

// validate checks a value against the variable's own conditions.
func (r *Runbook) validate(v *Variable, val cty.Value) hcl.Diagnostics {
	var diags hcl.Diagnostics
	scope := &Scope{Book: r}
	for _, c := range v.Validations {
		res, more := scope.Check(c, val)
		diags = append(diags, more...)
		if !more.HasErrors() && !res.OK {
			diags = append(diags, exprDiag(c.Condition, "Wrong value for a variable", fmt.Sprintf("var.%s: %s", v.Name, stopped(res.Message))))
		}
	}
	return diags
}

func (v *Variable) value(set Settings) (cty.Value, *hcl.Diagnostic) {
	setting, ok := set[v.Name]
	if !ok && v.Default != cty.NilVal {
		return v.Default, nil
	}
	if !ok {
		return cty.NilVal, v.diag("No value for a variable", fmt.Sprintf("Variable %q has no default. Set it with --var %s=…, in a --var-file, or with %s%s in the environment.", v.Name, v.Name, EnvPrefix, v.Name))
	}
	val, err := setting.value(v.Type)
	if err != nil {
		return cty.NilVal, v.diag("Wrong value for a variable", wrongGiven(v, err))
	}
	return val, nil
}

func wrongGiven(v *Variable, err error) string {
	if v.Type == cty.DynamicPseudoType {
		return fmt.Sprintf("The value given for %q can't be taken: %s.", v.Name, err)
	}
	return fmt.Sprintf("The value given for %q is no %s: %s.", v.Name, v.Type.FriendlyName(), err)
}

func (v *Variable) diag(summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: v.Range.Ptr()}
}

// SensitiveValue evaluates one sensitive variable for a resume.
func (r *Runbook) SensitiveValue(name string, set Settings) (cty.Value, *hcl.Diagnostic) {
	val, diag := r.variable(name).value(set)
	if diag != nil {
		diag.Detail += " The journal doesn't keep sensitive values."
		return cty.NilVal, diag
	}
	return val.Mark(Sensitive), nil
}
