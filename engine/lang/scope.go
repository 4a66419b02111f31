package lang

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"runbook/engine"
)

// Facts answer path() and unit(). An *engine.UnknownError makes the value
// unknown.
type Facts interface {
	Path(path string, hash bool) (engine.PathFact, error)
	Unit(name string) (engine.UnitFact, error)
}

// Scope holds the values that expressions see. What is not set is unknown.
type Scope struct {
	Book  *Runbook
	Vars  map[string]cty.Value
	Data  map[string]cty.Value // by "TYPE.NAME"
	Steps map[string]cty.Value
	// rounds are those of the steps with for_each, of which Steps gets a value
	// once that is asked for.
	rounds map[string]map[string]cty.Value
	Run    engine.RunInfo
	Facts  Facts // nil: all facts are unknown
	Each   *Each // nil outside of a step with for_each
	// Until is the step that has to begin before Data is read; empty: it is
	// read by now.
	Until string
	// hoped is what would be so if every step did what it should; nil where
	// nobody asked for it.
	hoped *Scope
}

// Each is one round of a step with for_each.
type Each struct {
	Key   string
	Value cty.Value
}

// With is the scope of one round of a step. It shares all values with s but
// the facts.
func (s *Scope) With(e *Each) *Scope {
	inner := *s
	inner.Each = e
	return &inner
}

// Rounds are the rounds of a step, in the order of their keys; one without a
// key if it has no for_each.
func (s *Scope) Rounds(st *Step) ([]*Each, hcl.Diagnostics) {
	if st.ForEach == nil {
		return []*Each{nil}, nil
	}
	v, _, diags := s.eval(st.ForEach, cty.NilVal)
	if diags.HasErrors() {
		return nil, diags
	}
	t := v.Type()
	// A known set has elements without marks, and going through a large one takes
	// its time.
	set := t.IsSetType() && v.IsKnown() && (t.ElementType() == cty.String || isEmpty(v))
	switch {
	case v.IsMarked() || !set && v.ContainsMarked():
		return nil, diags.Append(exprDiag(st.ForEach, "A sensitive for_each", "The keys become part of the steps' names, which are shown."))
	case v.IsNull() || !set && !v.IsWhollyKnown():
		return nil, diags.Append(exprDiag(st.ForEach, "No value for for_each", "It must not be null, and has to be known before the run."))
	case !t.IsMapType() && !t.IsObjectType() && !set:
		return nil, diags.Append(exprDiag(st.ForEach, "Wrong type", "for_each takes a map, or a set of texts: toset([…])."))
	}
	var rounds []*Each
	for it := v.ElementIterator(); it.Next(); {
		key, val := it.Element()
		if t.IsSetType() {
			key = val
		}
		if !key.IsKnown() {
			return nil, diags.Append(exprDiag(st.ForEach, "No value for for_each", "Its texts have to be known before the run."))
		}
		if key.IsNull() {
			return nil, diags.Append(exprDiag(st.ForEach, "No value for for_each", "There is null among the texts."))
		}
		rounds = append(rounds, &Each{Key: key.AsString(), Value: val})
	}
	return rounds, diags
}

// isEmpty reports whether a set has no elements: then it has no type of them either.
func isEmpty(set cty.Value) bool { return !set.IsNull() && !set.IsMarked() && set.LengthInt() == 0 }

// Bool evaluates a condition without a message, such as when. because names
// the step that it waits for where it isn't known.
func (s *Scope) Bool(e hcl.Expression) (value, known bool, because string, diags hcl.Diagnostics) {
	v, because, diags := s.eval(e, cty.NilVal)
	if diags.HasErrors() {
		return false, false, "", diags
	}
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsKnown() && v.IsNull() {
		return false, false, "", diags.Append(exprDiag(e, "Wrong type", "A condition is true or false."))
	}
	v, _ = v.Unmark()
	if !v.IsKnown() {
		return false, false, because, diags
	}
	return v.True(), true, "", diags
}

// Text evaluates a message.
func (s *Scope) Text(e hcl.Expression) (string, hcl.Diagnostics) {
	return s.message(&Check{Message: e}, cty.NilVal)
}

// Value evaluates an expression for its value, marks included.
func (s *Scope) Value(e hcl.Expression) (cty.Value, hcl.Diagnostics) {
	v, _, diags := s.eval(e, cty.NilVal)
	return v, diags
}

// Source is an expression as it is written, on one line.
func (s *Scope) Source(e hcl.Expression) string { return s.Book.text(e.Range()) }

// NewScope returns a scope with the variables' values and nothing else yet.
func NewScope(rb *Runbook, vars map[string]cty.Value, run engine.RunInfo) *Scope {
	return &Scope{Book: rb, Vars: vars, Data: map[string]cty.Value{}, Steps: map[string]cty.Value{}, rounds: map[string]map[string]cty.Value{}, Run: run}
}

// TakeOver gives s what was read and done under an earlier text of the runbook.
func (s *Scope) TakeOver(from *Scope) {
	s.Data, s.Steps, s.rounds = from.Data, from.Steps, from.rounds
}

// Adopt gives the result of a step, or of the round of it that the scope is of,
// to the expressions that follow. Forget takes it back. A result that none refers
// to isn't kept: a long run has many.
func (s *Scope) Adopt(step string, result cty.Value) {
	if s.hoped != nil {
		s.AdoptIfWell(step, result)
	}
	if !s.Needs(step) {
		return
	}
	if s.Each == nil {
		s.Steps[step] = result
		return
	}
	if s.rounds[step] == nil {
		s.rounds[step] = map[string]cty.Value{}
	}
	s.rounds[step][s.Each.Key] = result
	delete(s.Steps, step)
}

// Forget takes back what Adopt gave.
func (s *Scope) Forget(step string) {
	if s.Each != nil {
		delete(s.rounds[step], s.Each.Key)
	}
	delete(s.Steps, step)
}

// Needs reports whether an expression refers to the result of a step.
func (s *Scope) Needs(step string) bool { return s.Book.needed[step] }

// result is that of a step, as far as there is one.
func (s *Scope) result(step string) (v cty.Value, ok bool) {
	if v, ok = s.Steps[step]; !ok && s.rounds[step] != nil {
		v, ok = cty.ObjectVal(s.rounds[step]), true
		s.Steps[step] = v
	}
	return v, ok
}

// Evaluated is a block's configuration with its values.
type Evaluated struct {
	Value cty.Value // of the declared object type, without marks
	// Because names the step that must run before the value is known; empty
	// if it is known.
	Because string
	// Sensitive names the attributes that hold something sensitive, and
	// Secrets are the texts in them.
	Sensitive []string
	Secrets   []string
}

// Known reports whether every attribute has its value.
func (e Evaluated) Known() bool { return e.Value.IsWhollyKnown() }

// Config evaluates a block's attributes, fills in defaults and checks the
// values. self may be cty.NilVal.
func (s *Scope) Config(c Config, self cty.Value) (Evaluated, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	var out Evaluated
	vals := make(map[string]cty.Value, len(c.Declared))
	for _, d := range c.Declared {
		a := c.Given[d.Name]
		if a == nil {
			vals[d.Name] = orDefault(d)
			continue
		}
		v, because, more := s.attribute(d, a, self)
		diags = append(diags, more...)
		if v.ContainsMarked() {
			out.Sensitive = append(out.Sensitive, d.Name)
			out.Secrets = append(out.Secrets, SecretsIn(v)...)
			v, _ = v.UnmarkDeep()
		}
		if because != "" {
			out.Because = because
		}
		vals[d.Name] = v
	}
	out.Value = cty.ObjectVal(vals)
	return out, diags
}

func orDefault(d engine.Attribute) cty.Value {
	if d.Default == cty.NilVal {
		return cty.NullVal(d.Type)
	}
	return d.Default
}

func (s *Scope) attribute(d engine.Attribute, a *hcl.Attribute, self cty.Value) (cty.Value, string, hcl.Diagnostics) {
	unknown := cty.UnknownVal(d.Type)
	v, because, diags := s.eval(a.Expr, self)
	if diags.HasErrors() {
		return unknown, "", diags
	}
	v, err := converted(v, d.Type)
	if err != nil {
		return unknown, "", diags.Append(attrDiag(a, "Wrong type", fmt.Sprintf("%s takes a %s: %s.", d.Name, d.Type.FriendlyNameForConstraint(), err)))
	}
	bare, _ := v.UnmarkDeep()
	if bare.IsNull() {
		if d.Required {
			return unknown, "", diags.Append(attrDiag(a, "Missing value", fmt.Sprintf("%s must not be null.", d.Name)))
		}
		return orDefault(d), "", diags
	}
	if d.Check != nil && bare.IsWhollyKnown() {
		if err := d.Check(bare); err != nil {
			if v.ContainsMarked() {
				err = errNotShown
			}
			return unknown, "", diags.Append(attrDiag(a, "Wrong value for "+d.Name, sentence(err.Error())))
		}
	}
	return v, because, diags
}

// errNotShown stands for an error that may quote a sensitive value.
var errNotShown = errors.New("the value is sensitive, so what is wrong with it isn't shown")

// sentence makes an error's text begin and end like a sentence.
func sentence(text string) string {
	return stopped(strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):])
}

// stopped ends a text with a full stop. Its beginning stays, since it may be
// the name of a file or a unit.
func stopped(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func attrDiag(a *hcl.Attribute, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: a.Expr.Range().Ptr(), Context: a.Range.Ptr()}
}

// SecretsIn lists the texts below the sensitive marks of v.
func SecretsIn(v cty.Value) []string {
	var out []string
	bare, paths := v.UnmarkDeepWithPaths()
	for _, p := range paths {
		at, err := p.Path.Apply(bare)
		if err != nil {
			continue // below a collection that was marked as a whole
		}
		_ = cty.Walk(at, func(_ cty.Path, leaf cty.Value) (bool, error) {
			out = append(out, secretOf(leaf)...)
			return true, nil
		})
	}
	return out
}

// shortestNumber is how many digits make a number a secret that can be told from
// any other.
const shortestNumber = 4

// secretOf is the text of a sensitive text or number.
func secretOf(leaf cty.Value) []string {
	if !leaf.IsKnown() || leaf.IsNull() || !leaf.Type().IsPrimitiveType() || leaf.Type() == cty.Bool {
		return nil
	}
	text, err := convert.Convert(leaf, cty.String)
	if err != nil || text.AsString() == "" || leaf.Type() == cty.Number && len(text.AsString()) < shortestNumber {
		return nil
	}
	return []string{text.AsString()}
}

// CheckResult is how a check stands.
type CheckResult struct {
	Condition string `json:"condition"` // as written
	OK        bool   `json:"ok"`
	Message   string `json:"message,omitempty"` // what is wrong, where it isn't OK
	// Because names the step that must run before it is known; empty if it is
	// known.
	Because string `json:"because,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
}

// Check evaluates a check's condition, and its message as well where the
// condition doesn't hold.
func (s *Scope) Check(c *Check, self cty.Value) (CheckResult, hcl.Diagnostics) {
	res := CheckResult{Condition: s.Book.text(c.Condition.Range())}
	v, because, diags := s.eval(c.Condition, self)
	if diags.HasErrors() {
		return res, diags
	}
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsKnown() && v.IsNull() {
		return res, diags.Append(exprDiag(c.Condition, "Wrong type", "A condition is true or false."))
	}
	v, _ = v.Unmark()
	if !v.IsKnown() {
		res.Unknown, res.Because = true, because
		_, more := s.message(c, self)
		return res, append(diags, more...)
	}
	res.OK = v.True()
	text, more := s.message(c, self)
	res.Message = text
	if res.OK { // the message may speak of what is only there where it doesn't hold
		return res, diags
	}
	return res, append(diags, more...)
}

func (s *Scope) message(c *Check, self cty.Value) (string, hcl.Diagnostics) {
	v, _, diags := s.eval(c.Message, self)
	if diags.HasErrors() {
		return "", diags
	}
	if v.ContainsMarked() {
		return "(sensitive)", diags
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", diags.Append(exprDiag(c.Message, "Wrong type", "A message is a text."))
	}
	if !v.IsKnown() || v.IsNull() {
		return "", diags
	}
	return v.AsString(), diags
}

func exprDiag(e hcl.Expression, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: e.Range().Ptr()}
}

// eval evaluates an expression. Where the value isn't wholly known, because
// names the step that has to run first.
func (s *Scope) eval(expr hcl.Expression, self cty.Value) (v cty.Value, because string, diags hcl.Diagnostics) {
	facts := &factReader{facts: s.Facts, hash: wantsHash(expr), locals: map[localUse]localValue{}}
	ctx, diags := s.context(expr, self, facts)
	if diags.HasErrors() {
		return cty.DynamicVal, "", diags
	}
	v, diags = expr.Value(ctx)
	diags = hideSensitive(diags, ctx)
	if !diags.HasErrors() && !v.IsWhollyKnown() {
		because = s.because(expr, facts)
	}
	return v, because, diags
}

func (s *Scope) because(expr hcl.Expression, facts *factReader) string {
	because := facts.unknown
	for _, ref := range s.Book.closure(expr) {
		if _, read := s.Data[ref.name]; ref.root == "data" && !read {
			because = s.Until
		}
		if ref.root != "step" {
			continue
		}
		if v, ok := s.result(ref.name); !ok || !v.IsWhollyKnown() {
			because = ref.name
		}
	}
	return because
}

// context holds just what expr refers to, so that evaluating stays cheap in a
// runbook of thousands of steps.
func (s *Scope) context(expr hcl.Expression, self cty.Value, facts *factReader) (*hcl.EvalContext, hcl.Diagnostics) {
	roots := map[string]map[string]cty.Value{}
	put := func(root, name string, v cty.Value) {
		if roots[root] == nil {
			roots[root] = map[string]cty.Value{}
		}
		roots[root][name] = v
	}
	var diags hcl.Diagnostics
	data := map[string]map[string]cty.Value{}
	seen := map[string]bool{}
	for _, r := range refsOf(expr) {
		if seen[r.root+"."+r.name] {
			continue
		}
		seen[r.root+"."+r.name] = true
		switch r.root {
		case "var":
			put("var", r.name, s.variable(r.name))
		case "local":
			v, more := s.local(r.name, facts)
			diags = join(diags, more)
			put("local", r.name, v)
		case "data":
			typ, name, _ := strings.Cut(r.name, ".")
			if data[typ] == nil {
				data[typ] = map[string]cty.Value{}
			}
			data[typ][name] = s.data(typ, name)
			put("data", typ, cty.ObjectVal(data[typ]))
		case "step":
			put("step", r.name, s.step(r.name))
		}
	}
	vars := map[string]cty.Value{"run": s.run(), "each": s.each()}
	for root, vals := range roots {
		vars[root] = cty.ObjectVal(vals)
	}
	if self != cty.NilVal {
		vars["self"] = self
	}
	return &hcl.EvalContext{Variables: vars, Functions: functions(s.Book.Sources, facts)}, diags
}

func (s *Scope) variable(name string) cty.Value {
	if v, ok := s.Vars[name]; ok {
		return v
	}
	decl := s.Book.variable(name)
	v := cty.UnknownVal(decl.Type)
	if decl.Sensitive {
		v = v.Mark(Sensitive)
	}
	return v
}

func (s *Scope) data(typ, name string) cty.Value {
	if v, ok := s.Data[typ+"."+name]; ok {
		return v
	}
	d := s.Book.DataSource(typ, name)
	if d == nil { // its block is broken, which is reported there
		return cty.DynamicVal
	}
	return cty.UnknownVal(engine.ObjectType(d.Spec.Results))
}

func (s *Scope) step(name string) cty.Value {
	if v, ok := s.result(name); ok {
		return v
	}
	st := s.Book.Step(name)
	if st == nil || st.ForEach != nil || st.Sub != nil { // likewise; or an object that isn't known yet
		return cty.DynamicVal
	}
	return cty.UnknownVal(engine.ObjectType(st.Spec.Results))
}

func (s *Scope) each() cty.Value {
	if s.Each == nil {
		return cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String), "value": cty.DynamicVal})
	}
	return cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(s.Each.Key), "value": s.Each.Value})
}

func (s *Scope) run() cty.Value {
	if s.Run.ID == "" {
		return cty.UnknownVal(cty.Object(map[string]cty.Type{"id": cty.String, "started": cty.String}))
	}
	return cty.ObjectVal(map[string]cty.Value{
		"id":      cty.StringVal(s.Run.ID),
		"started": cty.StringVal(s.Run.Started.UTC().Format(time.RFC3339)),
	})
}

// text is the runbook's text at rng, on one line.
func (r *Runbook) text(rng hcl.Range) string {
	f := r.Files[rng.Filename]
	if f == nil || !rng.CanSliceBytes(f.Bytes) {
		return ""
	}
	return strings.Join(strings.Fields(string(rng.SliceBytes(f.Bytes))), " ")
}

// hideSensitive takes away from diagnostics what would print sensitive values.
// The diagnostic writer shows the variables of an expression, and some details
// quote a value. Within a loop a part of a sensitive value isn't marked any more,
// so it counts whether anything is that the whole expression sees.
func hideSensitive(diags hcl.Diagnostics, ctx *hcl.EvalContext) hcl.Diagnostics {
	if len(diags) == 0 || !seesSensitive(ctx) {
		return diags
	}
	for _, d := range diags {
		d.Expression, d.EvalContext = nil, nil
		call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
		switch {
		case ok && call.FunctionCallError() != nil:
			d.Detail = fmt.Sprintf("%s() can't take this: %s.", call.CalledFunctionName(), errNotShown)
		case d.Summary == "Duplicate object key": // hcl's own words
			d.Detail = "Two different items produced the same key, which is sensitive and so isn't shown."
		}
	}
	return diags
}

func seesSensitive(ctx *hcl.EvalContext) bool {
	for _, v := range ctx.Variables {
		if v.ContainsMarked() {
			return true
		}
	}
	return false
}
