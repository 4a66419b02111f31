package lang_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/test/limits"
)

// FuzzFunctions calls every function with arguments that are made of bytes. It
// ends within bounds and comes to the same each time; what is made of a sensitive
// value is sensitive, also in what an error says; and what is said while a value
// isn't known yet is what it comes to once it is.
func FuzzFunctions(f *testing.F) {
	all := calls()
	shapes := [][]byte{ // of arguments
		{9, 2, 1, 'q', 0, 2, 'a', 'b', 1, 4, 7, 2, 5, 0, 2, 'c', 'd', 10, 1, 9, 2, 1},
		{1, 6, 1, 13, 1, 7, 2, 3, 8, 2, 1, 14, 4, 1, 10, 0, 3, 'x', 'y', 'z'},
		{8, 3, 0, 1, 'b', 10, 0, 1, 'a', 9, 0, 1, 'c', 1, 2, 2, 5},
	}
	for i := range all {
		f.Add(uint8(i), shapes[i%len(shapes)])
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		c := all[int(which)%len(all)]
		limits.Hold(t, func() {
			now, then := c.arguments(data, false), c.arguments(data, true)
			v, diags := c.value(t, then)
			if again, _ := c.value(t, then); !same(v, again) {
				t.Errorf("%s%v is %#v, and then %#v", c.text, then, v, again)
			}
			kept(t, v, diags)
			known, early := c.value(t, now)
			kept(t, known, early)
			honest(t, fmt.Sprintf("%s%#v", c.text, now), known, early, v, diags)
			if c.holds && !diags.HasErrors() && v.Type() == cty.Bool && v.IsKnown() {
				if v, _ = v.Unmark(); v.False() {
					t.Errorf("%s%#v doesn't hold", c.text, then)
				}
			}
		})
	})
}

// call is an expression of the variables a0, a1 and so on.
type call struct {
	text  string
	vars  int
	holds bool // it is true, whatever they are, unless it is an error
	expr  hcl.Expression
	book  *lang.Runbook
}

// laws hold for all arguments, or end with an error.
var laws = []string{
	`base64decode(base64encode(a0)) == tostring(a0)`,
	`can(jsonencode(a0)) ? jsonencode(jsondecode(jsonencode(a0))) == jsonencode(a0) : true`,
	`join(a0, split(a0, a1)) == tostring(a1)`,
	`reverse(reverse(tolist(a0))) == tolist(a0)`,
	`sort(reverse(sort(a0))) == sort(a0)`,
	`length(concat(tolist(a0), tolist(a1))) == length(a0) + length(a1)`,
	`length(setunion(a0, a1)) + length(setintersection(a0, a1)) == length(toset(a0)) + length(toset(a1))`,
	`flatten(chunklist(tolist(a0), a1)) == flatten(tolist(a0))`,
	`keys(zipmap(sort(toset(a0)), sort(toset(a0)))) == sort(toset(a0))`,
	`max(a0, a1) >= min(a0, a1)`,
	`floor(a0) <= ceil(a0)`,
	`strrev(strrev(tostring(a0))) == tostring(a0)`,
	`trimspace(trimspace(a0)) == trimspace(a0)`,
	`strlen(substr(a0, 0, a1)) <= strlen(a0)`,
	`upper(upper(a0)) == upper(a0)`,
	`length(distinct(tolist(a0))) == length(toset(a0))`,
	`contains(tolist(a0), element(tolist(a0), a1))`,
	`try(a0.x, a1) == try(a0.x, a1)`,
}

// calls are those of every function with few and with many arguments, and the
// laws.
func calls() []call {
	var all []call
	for _, fn := range lang.Functions() {
		args := []string{"a0", "a1", "a2", "a3"}[:min(len(fn.Parameters), 4)]
		switch {
		case fn.Name == "convert":
			for _, typ := range []string{"string", "number", "list(string)", "map(number)", "set(any)", "object({ x = optional(string) })"} {
				all = append(all, call{text: "convert(a0, " + typ + ")", vars: 1})
			}
			continue
		case len(fn.Parameters) > 0 && fn.Parameters[len(fn.Parameters)-1].Variadic:
			all = append(all, call{text: fn.Name + "(a0, a1, a2)", vars: 3}, call{text: fn.Name + "(a0, a1...)", vars: 2})
		}
		all = append(all, call{text: fn.Name + "(" + strings.Join(args, ", ") + ")", vars: len(args)})
	}
	for _, text := range laws {
		all = append(all, call{text: text, vars: 2, holds: true})
	}
	for i := range all {
		all[i].parse()
	}
	return all
}

func (c *call) parse() {
	var b strings.Builder
	b.WriteString("runbook \"t\" {}\n")
	text := c.text
	for i := range c.vars {
		fmt.Fprintf(&b, "variable \"a%d\" { type = any }\n", i)
		text = strings.ReplaceAll(text, fmt.Sprintf("a%d", i), fmt.Sprintf("var.a%d", i))
	}
	fmt.Fprintf(&b, "output \"v\" { value = %s }\n", text)
	rb, diags := load(b.String())
	if diags.HasErrors() {
		panic(diags)
	}
	c.book, c.expr = rb, rb.Outputs[0].Expr
}

func (c *call) arguments(data []byte, known bool) map[string]cty.Value {
	m := &maker{data: data, known: known}
	vars := map[string]cty.Value{}
	for i := range c.vars {
		vars[fmt.Sprintf("a%d", i)] = m.value(3)
	}
	return vars
}

func (c *call) value(t *testing.T, vars map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	v, diags := lang.NewScope(c.book, vars, engine.RunInfo{ID: engine.PlannedRunID}).Value(c.expr)
	if !diags.HasErrors() {
		presentable(t, v)
	}
	return v, diags
}

func same(a, b cty.Value) bool { return a.RawEquals(b) }

// kept holds a value and diagnostics to keeping the secret.
func kept(t *testing.T, v cty.Value, diags hcl.Diagnostics) {
	t.Helper()
	var shown strings.Builder
	for _, d := range diags {
		_ = hcl.NewDiagnosticTextWriter(&shown, nil, 80, false).WriteDiagnostic(d) // into memory
	}
	if strings.Contains(shown.String(), secret) {
		t.Errorf("an error tells the secret: %s", shown.String())
	}
	if !diags.HasErrors() && open(v) {
		t.Errorf("a sensitive value isn't any more: %#v", v)
	}
}

// open reports whether the secret stands in a value without a mark.
func open(v cty.Value) bool {
	switch {
	case v.IsMarked() || !v.IsKnown() || v.IsNull():
	case v.Type() == cty.String:
		return strings.Contains(v.AsString(), secret)
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			if key, inner := it.Element(); open(inner) || !v.Type().IsSetType() && open(key) {
				return true
			}
		}
	}
	return false
}

// honest holds what is said of a value before it is known, now, to what it comes
// to then.
func honest(t *testing.T, what string, now cty.Value, early hcl.Diagnostics, then cty.Value, late hcl.Diagnostics) {
	t.Helper()
	switch {
	case late.HasErrors():
	case early.HasErrors():
		t.Errorf("%s: it is refused before all is known, and comes to %#v then: %v", what, then, early)
	default:
		now, _ = now.UnmarkDeep()
		then, _ = then.UnmarkDeep()
		if now.IsWhollyKnown() && !same(now, then) {
			t.Errorf("%s: it is known to be %#v, and comes to %#v", what, now, then)
		}
		if errs := now.Type().TestConformance(then.Type()); !now.Type().HasDynamicTypes() && len(errs) > 0 {
			t.Errorf("%s: it is a %#v, and comes to %#v", what, now.Type(), then)
		}
	}
}

// maker makes values of bytes; without known, some of them aren't known yet.
type maker struct {
	data  []byte
	known bool
}

const secret = "hunter2-"

// telling are texts that functions look into.
var telling = []string{"", ",", "%s", "%d", "%05.2f", "^a*$", "(a)(?P<b>b)?", "$1", `{"a":[1,null]}`, "a,b\n1,2\n", "2026-01-01T00:00:00Z", "1h30m",
	"YYYY-MM-DD'T'hh", "é\u0301", "/a/b/", "YWI=", "ff", "16", "-0.5", "true", "null", "x", "1e400", "%[3]q", "\\", "€👪"}

func (m *maker) next() byte {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b
}

func (m *maker) word() string {
	n := min(int(m.next()), len(m.data))
	word := m.data[:n]
	m.data = m.data[n:]
	return strings.ToValidUTF8(string(word), "?")
}

func (m *maker) value(depth int) cty.Value {
	kind := m.next() % 12
	if depth == 0 {
		kind %= 6
	}
	switch kind {
	case 0:
		return cty.StringVal(m.word())
	case 1:
		return cty.StringVal(telling[int(m.next())%len(telling)])
	case 2:
		return cty.NumberIntVal(int64(int8(m.next())))
	case 3:
		return cty.NumberFloatVal(float64(int8(m.next())) / 8 * float64(int64(1)<<(m.next()%64)))
	case 4:
		return cty.BoolVal(m.next()%2 == 0)
	case 5:
		return cty.NullVal([]cty.Type{cty.DynamicPseudoType, cty.String, cty.Number, cty.List(cty.String)}[m.next()%4])
	case 9:
		return m.sensitive(depth)
	case 10:
		return m.later(depth)
	}
	return m.collection(kind, depth)
}

func (m *maker) sensitive(depth int) cty.Value {
	if m.next()%2 == 0 {
		return cty.StringVal(secret + m.word()).Mark(lang.Sensitive)
	}
	return m.value(depth - 1).Mark(lang.Sensitive)
}

// later is a value that isn't known yet.
func (m *maker) later(depth int) cty.Value {
	v := m.value(depth - 1)
	if m.known {
		return v
	}
	bare, marks := v.UnmarkDeep()
	return cty.UnknownVal(bare.Type()).WithMarks(marks)
}

// collection is a tuple or an object, or what can be made of it.
func (m *maker) collection(kind byte, depth int) cty.Value {
	n := int(m.next() % 5)
	if kind == 7 || kind == 11 {
		attrs := map[string]cty.Value{}
		for range n {
			attrs[string('w'+rune(m.next()%4))] = m.value(depth - 1)
		}
		return m.ofOneType(cty.ObjectVal(attrs), cty.Map, kind == 11)
	}
	elements := make([]cty.Value, n)
	for i := range elements {
		elements[i] = m.value(depth - 1)
	}
	if kind == 8 && m.next()%2 == 0 {
		return m.ofOneType(cty.TupleVal(elements), cty.Set, true)
	}
	return m.ofOneType(cty.TupleVal(elements), cty.List, kind == 8)
}

// ofOneType makes a collection of v where all in it is of one primitive type.
func (m *maker) ofOneType(v cty.Value, of func(cty.Type) cty.Type, wanted bool) cty.Value {
	if !wanted || v.LengthInt() == 0 {
		return v
	}
	var elements []cty.Value
	for it := v.ElementIterator(); it.Next(); {
		_, inner := it.Element()
		elements = append(elements, inner)
	}
	first := elements[0].Type()
	if slices.ContainsFunc(elements, func(e cty.Value) bool { return !e.Type().Equals(first) }) || first == cty.DynamicPseudoType {
		return v
	}
	switch {
	case v.Type().IsObjectType():
		return cty.MapVal(v.AsValueMap())
	case of(first).IsSetType():
		return cty.SetVal(elements)
	}
	return cty.ListVal(elements)
}
