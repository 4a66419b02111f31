package lang

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Arguments evaluates NAME=VALUE arguments from a command line as a block's
// attributes: texts as they are, other types as expressions that refer to
// nothing. It fills in defaults and tells all mistakes at once.
func Arguments(declared []engine.Attribute, args []string) (cty.Value, error) {
	vals := make(map[string]cty.Value, len(declared))
	var mistakes []error
	given := map[string]bool{}
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		d, known := attributeNamed(declared, name)
		switch {
		case !ok:
			mistakes = append(mistakes, engine.Errorf(arg, "it has no value").WithHint("Write NAME=VALUE"))
		case !known:
			mistakes = append(mistakes, engine.Errorf(name, "there is no attribute of that name.%s", suggest(name, names(declared, func(a engine.Attribute) string { return a.Name }))))
		case given[name]:
			mistakes = append(mistakes, engine.Errorf(name, "it is given twice"))
		default:
			v, err := argument(d, text)
			if err != nil {
				mistakes = append(mistakes, engine.Errorf(name, "%w", err))
			}
			vals[name] = v
		}
		given[name] = true
	}
	for _, d := range declared {
		if given[d.Name] {
			continue
		}
		if d.Required {
			mistakes = append(mistakes, engine.Errorf(d.Name, "it has to be given: %s", d.Doc))
		}
		vals[d.Name] = orDefault(d)
	}
	if len(mistakes) > 0 {
		return cty.NilVal, errors.Join(mistakes...)
	}
	return cty.ObjectVal(vals), nil
}

func attributeNamed(declared []engine.Attribute, name string) (engine.Attribute, bool) {
	for _, d := range declared {
		if d.Name == name {
			return d, true
		}
	}
	return engine.Attribute{}, false
}

// argument is one attribute's value.
func argument(d engine.Attribute, text string) (cty.Value, error) {
	v, err := Setting{Text: text}.value(d.Type)
	if err != nil {
		return cty.NilVal, fmt.Errorf("%q is no %s: %w", text, d.Type.FriendlyNameForConstraint(), err)
	}
	if v.IsNull() || d.Check == nil {
		return v, nil
	}
	return v, d.Check(v)
}
