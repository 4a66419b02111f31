package view

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// ExplainAll lists the actions, data sources, blocks and functions, a line each.
func (h *Human) ExplainAll(reg *engine.Registry) {
	var actions, data, blocks, functions []namedValue
	for _, s := range reg.Actions {
		actions = append(actions, namedValue{s.Name, firstSentence(s.Doc)})
	}
	for _, s := range reg.Data {
		data = append(data, namedValue{s.Name, firstSentence(s.Doc)})
	}
	for _, b := range lang.Blocks() {
		blocks = append(blocks, namedValue{b.Name, firstSentence(b.Doc)})
	}
	for _, f := range lang.Functions() {
		functions = append(functions, namedValue{f.Name, firstSentence(f.Doc)})
	}
	h.line("Actions:")
	h.oneLiners(actions)
	h.line("\nData sources:")
	h.oneLiners(data)
	h.line("\nBlocks:")
	h.oneLiners(blocks)
	h.line("\nFunctions:")
	h.oneLiners(functions)
	h.line("\n`runbook explain NAME` explains one.")
}

func firstSentence(doc string) string {
	if first, _, ok := strings.Cut(doc, ". "); ok {
		return first + "."
	}
	return doc
}

// ExplainAction explains an action.
func (h *Human) ExplainAction(s engine.Spec) {
	h.line("%s  action", h.bold.Sprint(s.Name))
	h.explain(s.Doc, s.Attributes, s.Results, s.Example, "step.NAME")
}

// ExplainData explains a data source.
func (h *Human) ExplainData(s engine.DataSpec) {
	h.line("%s  data source", h.bold.Sprint(s.Name))
	h.explain(s.Doc, s.Attributes, s.Results, s.Example, "data."+s.Name+".NAME")
}

func (h *Human) explain(doc string, attrs, results []engine.Attribute, example, ref string) {
	h.line("\n%s", h.wrap(doc, ""))
	h.attributes(attrs)
	if len(results) > 0 {
		h.line("\n%s (%s.…)", h.bold.Sprint("Results"), ref)
	}
	for _, r := range results {
		h.line("  %s  %s", h.bold.Sprint(r.Name), h.faint.Sprint(r.Type.FriendlyName()))
		h.line("%s", h.wrap(r.Doc, "      "))
	}
	h.asIs("\n%s\n%s", h.bold.Sprint("Example"), strings.TrimSpace(example))
}

// kind is an attribute's type, and whether it has to be set.
func kind(a engine.Attribute) string {
	text := a.Type.FriendlyNameForConstraint()
	switch {
	case a.Required:
		return text + ", required"
	case a.Default == cty.NilVal || a.Default.IsNull():
		return text + ", optional"
	}
	return fmt.Sprintf("%s, default %s", text, constant(a.Default))
}

func constant(v cty.Value) string {
	switch v.Type() {
	case cty.String:
		return fmt.Sprintf("%q", v.AsString())
	case cty.Number:
		return v.AsBigFloat().Text('f', -1)
	case cty.Bool:
		return fmt.Sprint(v.True())
	}
	return cmp.Or(string(constantJSON(v)), "empty")
}
