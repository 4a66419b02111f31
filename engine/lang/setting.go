package lang

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Setting is a value that the operator gave for a variable: text from the
// command line or the environment, or an expression from a file.
type Setting struct {
	Text string
	Expr hcl.Expression // nil for a text
	// Ambient says that it comes from the environment, which may be meant for
	// another runbook.
	Ambient bool
}

// Settings are the operator's, by variable name.
type Settings map[string]Setting

// EnvPrefix begins the name of an environment variable that sets a variable.
const EnvPrefix = "RUNBOOK_VAR_"

// ReadSettings gathers what the operator gave. The last one of these wins: the
// environment's RUNBOOK_VAR_NAME, the files, the assignments NAME=VALUE.
func ReadSettings(environ, files, assignments []string) (Settings, error) {
	all := Settings{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, EnvPrefix) {
			all[strings.TrimPrefix(name, EnvPrefix)] = Setting{Text: value, Ambient: true}
		}
	}
	for _, path := range files {
		if err := all.file(path); err != nil {
			return nil, err
		}
	}
	for _, a := range assignments {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, engine.Errorf("--var "+a, "it has no value").WithHint("Write --var NAME=VALUE")
		}
		all[name] = Setting{Text: value}
	}
	return all, nil
}

// file adds the settings of a file: NAME = VALUE, a line each.
func (s Settings) file(path string) error {
	text, err := readText(path)
	if err != nil {
		return engine.Errorf("--var-file", "%w", err)
	}
	file, diags := parseConfig([]byte(text), path)
	book := &Runbook{Files: map[string]*hcl.File{path: file}}
	if diags.HasErrors() {
		return &Error{Book: book, Diags: diags}
	}
	attrs, diags := file.Body.JustAttributes()
	if diags.HasErrors() {
		return &Error{Book: book, Diags: diags}
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		a := attrs[name]
		if refs := a.Expr.Variables(); len(refs) > 0 {
			return &Error{Book: book, Diags: hcl.Diagnostics{exprDiag(a.Expr, "Not a constant", "A file of variables can't refer to anything: write the value itself.")}}
		}
		s[name] = Setting{Expr: a.Expr}
	}
	return nil
}

// undeclared reports the settings that were given on purpose for variables that
// the runbook doesn't have.
func (s Settings) undeclared(r *Runbook) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if r.variable(name) != nil || s[name].Ambient {
			continue
		}
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagError, Summary: "No such variable", Extra: Advised{},
			Detail: fmt.Sprintf("A value was given for %q, but runbook %q declares no variable of that name.%s", name, r.Name, r.others(name)),
		})
	}
	return diags
}

// others says which variables there are in place of the one called name.
func (r *Runbook) others(name string) string {
	all := names(r.Variables, func(v *Variable) string { return v.Name })
	if len(all) == 0 {
		return "\n\nIt has no variables."
	}
	return suggest(name, all) + fmt.Sprintf("\n\nIts variables: %s. `runbook runbooks %s` explains them.", strings.Join(all, ", "), r.Sources.All()[0].Name)
}

// Stray lists what the environment sets and the runbook has no variable for. It may
// be meant for another runbook, or be misspelt.
func (s Settings) Stray(r *Runbook) []string {
	var stray []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if s[name].Ambient && r.variable(name) == nil {
			stray = append(stray, EnvPrefix+name)
		}
	}
	return stray
}

// value is the setting as a value of type t.
func (s Setting) value(t cty.Type) (cty.Value, error) {
	if s.Expr == nil && (t == cty.String || t == cty.DynamicPseudoType) {
		return converted(cty.StringVal(s.Text), t)
	}
	if s.Expr != nil {
		return constant(s.Expr, t)
	}
	expr, diags := parseExpression([]byte(s.Text), "--var")
	if diags.HasErrors() {
		return cty.NilVal, notAs(t, s.Text, diags)
	}
	if len(expr.Variables()) > 0 { // a text without quotes
		return cty.NilVal, notAs(t, s.Text, hcl.Diagnostics{{Detail: "In an expression a text has to be quoted."}})
	}
	return constant(expr, t)
}

func constant(expr hcl.Expression, t cty.Type) (cty.Value, error) {
	val, diags := expr.Value(nil)
	if diags.HasErrors() {
		return cty.NilVal, errors.New(uncapped(diags[0].Detail))
	}
	return converted(val, t)
}

// notAs says why a text doesn't make a value of type t.
func notAs(t cty.Type, text string, diags hcl.Diagnostics) error {
	example := `"[\"a\", \"b\"]"`
	switch {
	case t.IsPrimitiveType():
		_, err := converted(cty.StringVal(text), t)
		if err != nil {
			return err
		}
		return errors.New(uncapped(diags[0].Detail))
	case t.IsMapType(), t.IsObjectType():
		example = `"{ name = \"a\" }"`
	}
	return fmt.Errorf("it is read as an expression, such as %s: %s", example, uncapped(diags[0].Detail))
}

// uncapped is a sentence as a part of another one.
func uncapped(text string) string {
	text = strings.TrimSuffix(text, ".")
	return strings.ToLower(text[:min(1, len(text))]) + text[min(1, len(text)):]
}
