package view

import (
	"cmp"
	"path"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine/lang"
)

// Book is a runbook, and the file that it is in.
type Book struct {
	File string
	*lang.Runbook
}

// Books lists runbooks, then those that do damage on purpose, then those that are
// parts of others.
func (h *Human) Books(all []Book) {
	var books, drills, parts []namedValue
	for _, b := range all {
		r := namedValue{b.File, firstSentence(strings.TrimPrefix(b.Description, "Drill: "))}
		switch {
		case b.Drill:
			drills = append(drills, r)
		case path.Dir(b.File) != ".":
			parts = append(parts, r)
		default:
			books = append(books, r)
		}
	}
	h.oneLiners(books)
	h.line("\n%s", h.wrap("Drills, which destroy an etcd on purpose and mend it again:", ""))
	h.oneLiners(drills)
	if len(parts) > 0 {
		h.line("\nParts of others:")
	}
	h.oneLiners(parts)
	h.line("\n%s", h.wrap("`runbook runbooks FILE` tells what one does and what it can be told, `runbook cat FILE` prints it, `runbook plan FILE` shows what it would do here.", ""))
}

// Book tells of a runbook what it does and what it can be told.
func (h *Human) Book(b Book) {
	h.line("%s  runbook %s", h.bold.Sprint(b.File), b.Name)
	if b.Description != "" {
		h.line("\n%s", h.wrap(b.Description, ""))
	}
	if len(b.Variables) > 0 {
		h.line("\n%s", h.bold.Sprint("Variables"))
	}
	for _, v := range b.Variables {
		h.variable(v)
	}
	if len(b.Steps) > 0 {
		h.line("\n%s", h.bold.Sprint("Steps"))
	}
	var steps, outputs []namedValue
	for _, s := range b.Steps {
		steps = append(steps, namedValue{s.Name, cmp.Or(s.Description, s.Action)})
	}
	h.oneLiners(steps)
	if len(b.Outputs) > 0 {
		h.line("\n%s", h.bold.Sprint("Outputs"))
	}
	for _, o := range b.Outputs {
		outputs = append(outputs, namedValue{o.Name, o.Description})
	}
	h.rows(outputs)
	h.line("\n%s", h.wrap("Carry it out with `"+callOf(b)+"`.", ""))
}

// callOf is how a runbook is carried out.
func callOf(b Book) string {
	call := "runbook run " + b.File
	if b.Drill {
		call += " --drill HOSTNAME"
	}
	for _, v := range b.Variables {
		if v.Default == cty.NilVal {
			call += " --var " + v.Name + "=…"
		}
	}
	return call
}

func (h *Human) variable(v *lang.Variable) {
	h.line("  %s  %s", h.bold.Sprint(v.Name), h.faint.Sprint(variableKind(v)))
	if v.Description != "" {
		h.line("%s", h.wrap(v.Description, "      "))
	}
}

// variableKind is a variable's type, and what it is where nobody sets it.
func variableKind(v *lang.Variable) string {
	text := v.Type.FriendlyNameForConstraint()
	switch {
	case v.Default == cty.NilVal:
		text += ", required"
	case v.Default.IsNull():
		text += ", optional"
	default:
		text += ", default " + constant(v.Default)
	}
	if v.Sensitive {
		text += ", sensitive"
	}
	return text
}
