package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// ref is one reference in an expression: var.NAME, local.NAME,
// data.TYPE.NAME, step.NAME, run.ATTRIBUTE or self.
type ref struct {
	root  string
	name  string // "TYPE.NAME" for data
	Range hcl.Range
}

// refsOf lists the references of an expression in order of appearance.
// Incomplete ones, such as "var" alone, have an empty name.
func refsOf(expr hcl.Expression) []ref {
	var refs []ref
	for _, t := range expr.Variables() {
		r := ref{root: t.RootName(), Range: t.SourceRange()}
		names := 1
		if r.root == "data" {
			names = 2
		}
		var parts []string
		for i := 1; i <= names && i < len(t); i++ {
			if a, ok := t[i].(hcl.TraverseAttr); ok {
				parts = append(parts, a.Name)
			}
		}
		if len(parts) == names {
			r.name = strings.Join(parts, ".")
		}
		refs = append(refs, r)
	}
	if slices.ContainsFunc(refs, ref.foreign) {
		return withoutTypes(refs, expr)
	}
	return refs
}

// foreign reports whether nothing of that name can be referred to.
func (r ref) foreign() bool { return referenceForms[r.root] == "" && r.root != "self" }

// withoutTypes leaves out what names a type, as the second argument of convert()
// does.
func withoutTypes(refs []ref, expr hcl.Expression) []ref {
	node, ok := expr.(hclsyntax.Node)
	if !ok {
		return refs
	}
	var types []hcl.Range
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok && call.Name == "convert" && len(call.Args) == 2 {
			types = append(types, call.Args[1].Range())
		}
		return nil
	})
	return slices.DeleteFunc(refs, func(r ref) bool {
		return r.foreign() && slices.ContainsFunc(types, r.Range.Overlaps)
	})
}

// site is a place that holds an expression, and what may be referred to there.
type site struct {
	expr    hcl.Expression
	steps   map[string]bool // names of steps whose results exist by then
	step    string          // the step that it is a part of; empty for none
	itself  bool            // the result of that step exists too
	noSteps string          // why no step's result can be used; empty if they can
	self    bool
	each    bool
	only    string // the one root that may be referred to; empty: all of them
}

// checkRefs reports references to what doesn't exist, or not yet.
func (r *Runbook) checkRefs(s site) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, ref := range refsOf(s.expr) {
		if len(diags) > mostMistakes {
			break
		}
		if ref.root == "step" {
			r.needed[ref.name] = true
		}
		if summary, detail := r.wrong(ref, s); summary != "" {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: ref.Range.Ptr()})
		}
	}
	return diags
}

func (r *Runbook) wrong(ref ref, s site) (summary, detail string) {
	if r.broken[ref.root+"."+ref.name] {
		return "", ""
	}
	if s.only != "" && ref.root != s.only {
		return "Only " + s.only + " here", fmt.Sprintf("This condition can refer to %s alone.", s.only)
	}
	const undeclared = "Reference to something that isn't declared"
	if ref.name == "" && ref.root != "self" {
		if _, known := referenceForms[ref.root]; known {
			return "Incomplete reference", fmt.Sprintf("Write %s.", referenceForms[ref.root])
		}
	}
	switch ref.root {
	case "var":
		if r.variable(ref.name) == nil {
			return undeclared, fmt.Sprintf("There is no variable %q.%s", ref.name, oneOf(ref.name, names(r.Variables, func(v *Variable) string { return v.Name })))
		}
	case "local":
		if r.local(ref.name) == nil {
			return undeclared, fmt.Sprintf("There is no local value %q.%s", ref.name, oneOf(ref.name, names(r.Locals, func(l *Local) string { return l.Name })))
		}
	case "data":
		if typ, name, _ := strings.Cut(ref.name, "."); r.DataSource(typ, name) == nil {
			return undeclared, fmt.Sprintf("There is no data source data.%s.%s", ref.name, oneOf("data."+ref.name, names(r.Data, func(d *Data) string { return "data." + d.Type + "." + d.Name })))
		}
	case "step":
		return r.wrongStep(ref, s)
	case "run":
	case "each":
		if !s.each {
			return "No each here", "each.key and each.value are there in a step that has for_each."
		}
	case "self":
		if !s.self {
			return "No self here", "self is the result of the step itself: only its postconditions and its rollback block can use it."
		}
	default:
		return "Unknown reference", fmt.Sprintf("%q is nothing that an expression can refer to. There are var, local, data, step and run; text has to be quoted.", ref.root)
	}
	return "", ""
}

var referenceForms = map[string]string{
	"var": "var.NAME", "local": "local.NAME", "data": "data.TYPE.NAME", "step": "step.NAME", "run": "run.id or run.started", "each": "each.key or each.value",
}

func (r *Runbook) wrongStep(ref ref, s site) (summary, detail string) {
	switch {
	case r.Step(ref.name) == nil:
		return "Reference to something that isn't declared", fmt.Sprintf("There is no step %q.%s", ref.name, oneOf(ref.name, names(r.Steps, func(s *Step) string { return s.Name })))
	case s.noSteps != "":
		return "A step's result can't be used here", s.noSteps
	case ref.name == s.step && s.itself:
	case ref.name == s.step:
		return "A step that refers to itself", "Its result is there once it has run. Only its postconditions and its rollback block can use it, as self."
	case !s.steps[ref.name]:
		return "Reference to a later step", fmt.Sprintf("Steps run from top to bottom, and %q has not run by then. Move this step below it.", ref.name)
	}
	return "", ""
}

func names[T any](all []T, name func(T) string) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = name(x)
	}
	return out
}

// oneOf says what there is in place of what was written.
func oneOf(given string, names []string) string {
	if near := suggest(given, names); near != "" {
		return near
	}
	if len(names) == 0 || len(names) > 12 {
		return ""
	}
	return " Declared: " + strings.Join(names, ", ") + "."
}

// closure is the references of expr and, behind local.NAME, of that local's
// expression. It ends even where locals refer to each other in a circle.
func (r *Runbook) closure(expr hcl.Expression) []ref {
	var out []ref
	seen := map[string]bool{}
	var visit func(hcl.Expression)
	visit = func(e hcl.Expression) {
		for _, ref := range refsOf(e) {
			out = append(out, ref)
			l := r.local(ref.name)
			if ref.root == "local" && l != nil && !seen[l.Name] {
				seen[l.Name] = true
				visit(l.Expr)
			}
		}
	}
	visit(expr)
	return out
}

// DataNeededBy lists the data sources, as TYPE.NAME, that d refers to.
func (r *Runbook) DataNeededBy(d *Data) []string {
	var need []string
	for _, e := range d.Config.exprs() {
		for _, ref := range r.closure(e) {
			if ref.root == "data" {
				need = append(need, ref.name)
			}
		}
	}
	return need
}

// DataInOrder lists the data sources so that each comes after those it needs,
// and otherwise in the order of the file.
func (r *Runbook) DataInOrder() []*Data {
	var order []*Data
	seen := map[string]bool{}
	var visit func(d *Data)
	visit = func(d *Data) {
		key := d.Type + "." + d.Name
		if seen[key] {
			return
		}
		seen[key] = true
		for _, need := range r.DataNeededBy(d) {
			typ, name, _ := strings.Cut(need, ".")
			visit(r.DataSource(typ, name))
		}
		order = append(order, d)
	}
	for _, d := range r.Data {
		visit(d)
	}
	return order
}
