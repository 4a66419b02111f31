package view

import (
	"strings"

	"runbook/engine"
	"runbook/engine/lang"
)

// ExplainBlock explains a block of the language.
func (h *Human) ExplainBlock(b lang.Block) {
	kind := "block"
	if b.Within != "" {
		kind += " of a " + b.Within
	}
	h.line("%s  %s", h.bold.Sprint(b.Header), kind)
	h.line("\n%s", h.wrap(b.Doc, ""))
	h.attributes(b.Attributes)
	h.asIs("\n%s\n%s", h.bold.Sprint("Example"), b.Example)
}

func (h *Human) attributes(attrs []engine.Attribute) {
	if len(attrs) > 0 {
		h.line("\n%s", h.bold.Sprint("Attributes"))
	}
	for _, a := range attrs {
		h.line("  %s  %s", h.bold.Sprint(a.Name), h.faint.Sprint(kind(a)))
		h.line("%s", h.wrap(a.Doc, "      "))
	}
}

// ExplainFunction explains a function of the language.
func (h *Human) ExplainFunction(f lang.Function) {
	names := make([]string, len(f.Parameters))
	for i, p := range f.Parameters {
		names[i] = p.Name
		if p.Variadic {
			names[i] += "..."
		}
	}
	h.line("%s  function", h.bold.Sprintf("%s(%s)", f.Name, strings.Join(names, ", ")))
	h.line("\n%s\n\n%s", h.wrap(f.Doc, ""), h.bold.Sprint("Parameters"))
	for _, p := range f.Parameters {
		h.parameter(p)
	}
	h.asIs("\n%s\n%s\n  is %s", h.bold.Sprint("Example"), f.Example, f.Value)
}

func (h *Human) parameter(p lang.Parameter) {
	kind := p.Type
	if p.Variadic {
		kind += ", any number of them"
	}
	h.line("  %s  %s", h.bold.Sprint(p.Name), h.faint.Sprint(kind))
	if p.Doc != "" {
		h.line("%s", h.wrap(p.Doc, "      "))
	}
}
