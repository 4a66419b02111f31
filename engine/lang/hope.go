package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Hope has s keep, beside what is known, what would be so if every step did what
// it should, until end is called: a plan tells by that which steps are only there
// for a failure.
func (s *Scope) Hope() (end func()) {
	s.hoped = NewScope(s.Book, s.Vars, s.Run)
	return func() { s.hoped = nil }
}

// well is s as it would be then.
func (s *Scope) well() *Scope {
	w := *s.hoped
	w.Data, w.Facts, w.Each, w.Until = s.Data, s.Facts, s.Each, s.Until
	return &w
}

// BoolIfWell is Bool if every step before does what it should. What can't be
// evaluated then isn't known.
func (s *Scope) BoolIfWell(e hcl.Expression) (value, known bool) {
	value, known, _, diags := s.well().Bool(e)
	return value, known && !diags.HasErrors()
}

// AdoptIfWell is Adopt of a result that is there only if all goes well.
func (s *Scope) AdoptIfWell(step string, result cty.Value) { s.well().Adopt(step, result) }
