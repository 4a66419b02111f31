package lang

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// SubAction is the action of a step that carries out another runbook.
const SubAction = "runbook"

var subSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "source", Required: true}, {Name: "variables"}, {Name: "late"},
	{Name: "description"}, {Name: "for_each"}, {Name: "when"}, {Name: "on_failure"},
}}

var subVariables = []engine.Attribute{{Name: "variables", Type: cty.DynamicPseudoType, Doc: "The other runbook's variables, as an object."}}

// sub parses a step that carries out another runbook, and that runbook.
func (p *parser) sub(s *Step, b *hcl.Block) {
	content, diags := b.Body.Content(subSchema)
	p.add(diags)
	s.Text = p.blockText(b)
	s.Description = p.literalString(content.Attributes["description"])
	s.OnFailure = p.onFailure(content.Attributes["on_failure"])
	s.Late = p.literalBool(content.Attributes["late"])
	s.ForEach, s.When = exprOf(content.Attributes["for_each"]), exprOf(content.Attributes["when"])
	s.Config = Config{Declared: subVariables, Given: hcl.Attributes{}, Range: b.DefRange}
	s.Spec = engine.Spec{Name: SubAction, Attributes: subVariables, ReadOnly: true}
	if a := content.Attributes["variables"]; a != nil {
		s.Config.Given["variables"] = a
	}
	if s.Sub = p.subBook(content.Attributes["source"]); s.Sub == nil {
		p.rb.broken["step."+s.Name] = true
		return
	}
	p.rb.Steps = append(p.rb.Steps, s)
}

// beside is a file that the one in hand names, relative to its own directory, as
// it is called from that of the file that the run is of.
func (p *parser) beside(name string) string {
	if len(p.trail) == 1 || filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(p.trail[len(p.trail)-1]), name)
}

// subBook reads and parses the runbook that a source attribute names.
func (p *parser) subBook(source *hcl.Attribute) *Runbook {
	v, ok := p.literal(source, cty.String)
	if !ok {
		return nil
	}
	name := v.AsString()
	if name == "" {
		p.errorf(source.Expr.Range(), "No such runbook", "source is empty: name the file of the runbook.")
		return nil
	}
	name = p.beside(name)
	if trail := append(slices.Clone(p.trail), name); slices.ContainsFunc(p.trail, func(t string) bool { return filepath.Base(t) == filepath.Base(name) }) {
		p.errorf(source.Expr.Range(), "A runbook that carries itself out", "Each of these is a step of the one before: %s.", strings.Join(trail, " → "))
		return nil
	}
	text, err := p.rb.Sources.read(name)
	if err != nil {
		p.errorf(source.Expr.Range(), "No such runbook", "%s. The name is relative to the directory of %s.", err, p.trail[len(p.trail)-1])
		return nil
	}
	if p.books, p.bytes = p.books+1, p.bytes+len(text); p.books > mostBooks || p.bytes > mostTexts {
		p.errorf(source.Expr.Range(), "Too many runbooks within each other", "All in all there may be %d of them, with %d MiB of text.", mostBooks, mostTexts>>20)
		return nil
	}
	body, file, diags := parseFile(Source{Name: name, Text: text})
	p.rb.Files[name] = file
	if p.add(diags); diags.HasErrors() {
		return nil
	}
	inner := &parser{reg: p.reg, text: text, trail: append(slices.Clone(p.trail), name), loaded: p.loaded,
		rb: &Runbook{Sources: p.rb.Sources, Files: p.rb.Files, broken: map[string]bool{}, needed: map[string]bool{}}}
	inner.root(body)
	p.add(inner.diags)
	return inner.rb
}

// subVariables checks the variables that a step hands to another runbook.
func (c *checker) subVariables(s *Step) {
	a := s.Config.Given["variables"]
	given := map[string]bool{}
	if a != nil {
		if name := c.rb.factIn(a.Expr); name != "" {
			c.errorf(a.Expr, "A fact that may change", fmt.Sprintf("%s() reads the host as it is just then, and a resume has to hand over the same values. Use a data source: it is read once, when the run begins.", name))
			return
		}
		at := site{noSteps: "What a runbook is given has to be known before the first step.", each: s.ForEach != nil, expr: a.Expr}
		if !c.refs(at) {
			return
		}
		v, _, diags := c.scope.eval(a.Expr, cty.NilVal)
		c.diags = append(c.diags, diags...)
		if diags.HasErrors() || !v.Type().IsObjectType() {
			return // an object from elsewhere: checked once it is known
		}
		for name := range v.Type().AttributeTypes() {
			given[name] = true
		}
	}
	where := s.Config.Range
	if a != nil {
		where = a.Expr.Range()
	}
	c.diags = append(c.diags, s.Sub.handedOver(given, where)...)
}

// handedOver reports variables that are missing or too many.
func (r *Runbook) handedOver(given map[string]bool, where hcl.Range) hcl.Diagnostics {
	var diags hcl.Diagnostics
	report := func(summary, detail string) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: where.Ptr()})
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if r.variable(name) == nil {
			report("No such variable", fmt.Sprintf("Runbook %q declares no variable %q.%s", r.Name, name, suggest(name, names(r.Variables, func(v *Variable) string { return v.Name }))))
		}
	}
	for _, v := range r.Variables {
		if v.Default == cty.NilVal && !given[v.Name] {
			report("No value for a variable", fmt.Sprintf("Variable %q of runbook %q has no default. Give it in variables.", v.Name, r.Name))
		}
	}
	return diags
}

// Inner is the scope of the runbook that a step carries out.
func (s *Scope) Inner(st *Step) (*Scope, hcl.Diagnostics) {
	where := st.Config.Range
	obj := cty.EmptyObjectVal
	if a := st.Config.Given["variables"]; a != nil {
		v, _, diags := s.eval(a.Expr, cty.NilVal)
		if diags.HasErrors() {
			return nil, diags
		}
		if obj, _ = v.Unmark(); !obj.IsKnown() || obj.IsNull() || !obj.CanIterateElements() || !(obj.Type().IsObjectType() || obj.Type().IsMapType()) {
			return nil, hcl.Diagnostics{exprDiag(a.Expr, "Wrong type", "variables takes an object: { name = value, … }.")}
		}
		where = a.Expr.Range()
	}
	given := map[string]bool{}
	for name := range obj.AsValueMap() {
		given[name] = true
	}
	if diags := st.Sub.handedOver(given, where); diags.HasErrors() {
		return nil, diags
	}
	vars, diags := st.Sub.received(obj.AsValueMap(), where)
	inner := NewScope(st.Sub, vars, s.Run)
	if s.hoped != nil {
		inner.Hope()
	}
	return inner, diags
}

// received converts what was handed over to the variables' types.
func (r *Runbook) received(obj map[string]cty.Value, where hcl.Range) (map[string]cty.Value, hcl.Diagnostics) {
	vals := map[string]cty.Value{}
	var diags hcl.Diagnostics
	for _, v := range r.Variables {
		val, given := obj[v.Name]
		if !given {
			val = v.Default
		}
		val, err := converted(val, v.Type)
		if err != nil {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Wrong value for a variable", Subject: where.Ptr(),
				Detail: wrongGiven(v, err)})
			continue
		}
		if v.Sensitive {
			val = val.Mark(Sensitive)
		}
		diags = append(diags, r.validate(v, val)...)
		vals[v.Name] = val
	}
	return vals, diags
}
