package lang

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// localUse is a local value, and whether a sha256 may be asked for in it.
type localUse struct {
	name string
	hash bool
}

type localValue struct {
	value   cty.Value
	failed  hcl.Diagnostics
	unknown string
}

// local is the value of a local value, which is worked out once for an
// expression: local values that are made of others can use each of them many
// times.
func (s *Scope) local(name string, facts *factReader) (cty.Value, hcl.Diagnostics) {
	l := s.Book.local(name)
	// The sha256 may be asked for where the local value is used.
	use := localUse{name, facts.hash || wantsHash(l.Expr)}
	known, again := facts.locals[use]
	if !again {
		inner := &factReader{facts: facts.facts, hash: use.hash, locals: facts.locals}
		known.value, known.failed = s.localAfresh(l, inner)
		known.unknown = inner.unknown
		facts.locals[use] = known
	}
	if known.unknown != "" {
		facts.unknown = known.unknown
	}
	return known.value, known.failed
}

func (s *Scope) localAfresh(l *Local, facts *factReader) (cty.Value, hcl.Diagnostics) {
	ctx, diags := s.context(l.Expr, cty.NilVal, facts)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, diags := l.Expr.Value(ctx)
	return v, hideSensitive(diags, ctx)
}

// join is the diagnostics of two ways to the same local values, each once.
func join(a, b hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range b {
		if !slices.Contains(a, d) {
			a = append(a, d)
		}
	}
	return a
}
