package lang_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
	"runbook/runbooks"
	"runbook/test/limits"
)

// FuzzRunbook reads, checks, lays out and evaluates whatever is given as a
// runbook, with a text as the value of all its variables. It ends, within bounds;
// what is wrong is told the same way each time, at a place that there is; and the
// layout changes nothing but the layout.
func FuzzRunbook(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text, "a")
	}
	f.Add("runbook \"t\" {}\nvariable \"n\" { type = map(number) }\noutput \"o\" { value = var.n }\n", "{ a = 1 }")
	f.Fuzz(func(t *testing.T, text, given string) {
		if !utf8.ValidString(text) || !utf8.ValidString(given) {
			return // is refused when it is read
		}
		limits.Hold(t, func() {
			rb, diags := load(text)
			told(t, text, diags)
			if _, again := load(text); again.Error() != diags.Error() {
				t.Errorf("it is told as %v, and then as %v", diags, again)
			}
			laidOut(t, text, diags)
			if !diags.HasErrors() {
				evaluated(t, text, rb, given)
			}
		})
	})
}

// seeds are the shorter ones of the runbooks that ship, those that tests of mistakes are made of, and
// those that are hostile.
func seeds(f *testing.F) []string {
	f.Helper()
	var all []string
	for _, name := range runbooks.Names() {
		text, err := runbooks.FS.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 4<<10 {
			all = append(all, string(text))
		}
	}
	for _, pattern := range []string{"testdata/*.txtar", "../../test/torture/input/testdata/hostile/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(pattern, err)
		}
		for _, file := range files {
			if filepath.Base(file) == "functions.txtar" {
				continue // goes to the bounds of time again and again; FuzzFunctions is there
			}
			ar, err := txtar.ParseFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, part := range ar.Files {
				if strings.HasSuffix(part.Name, ".hcl") {
					all = append(all, string(part.Data))
				}
			}
		}
	}
	return all
}

// told holds diagnostics to being of use.
func told(t *testing.T, text string, diags hcl.Diagnostics) {
	t.Helper()
	if len(diags) > 51 {
		t.Errorf("%d mistakes are told at once", len(diags))
	}
	for _, d := range diags {
		if d.Summary == "" || d.Detail == "" || strings.Contains(d.Error(), "%!") && !strings.Contains(text, "%!") {
			t.Errorf("this says nothing: %q %q", d.Summary, d.Detail)
		}
		if at := d.Subject; at != nil && (at.Filename != "test.hcl" || !at.CanSliceBytes([]byte(text))) {
			t.Errorf("%s is told at %s, byte %d to %d of %d", d.Summary, at, at.Start.Byte, at.End.Byte, len(text))
		}
	}
}

// laidOut holds fmt to changing spaces alone, and to having nothing left to do.
func laidOut(t *testing.T, text string, diags hcl.Diagnostics) {
	t.Helper()
	once, err := lang.Format(lang.Source{Name: "test.hcl", Text: text})
	if e := (*lang.Error)(nil); err != nil {
		if !errors.As(err, &e) || !diags.HasErrors() {
			t.Errorf("it can be read, but not laid out: %v", err)
		}
		return
	}
	if before, after := words(text), words(once); !slices.Equal(before, after) {
		t.Errorf("the layout changes what is said:\n%q\n%q", text, once)
	}
	if twice, err := lang.Format(lang.Source{Name: "test.hcl", Text: once}); err != nil || twice != once {
		t.Errorf("the layout of %q is %q, and that of this %q (%v)", text, once, twice, err)
	}
	if _, again := load(once); summaries(again) != summaries(diags) {
		t.Errorf("laid out, other things are wrong with it: %v, and before %v", again, diags)
	}
}

// words are the words and signs of a text, without what is between them.
func words(text string) []string {
	tokens, _ := hclsyntax.LexConfig([]byte(text), "test.hcl", hcl.InitialPos)
	all := make([]string, len(tokens))
	for i, tok := range tokens {
		all[i] = tok.Type.String() + string(tok.Bytes)
	}
	return all
}

func summaries(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		b.WriteString(d.Summary + "\n")
	}
	return b.String()
}

// evaluated evaluates all that is in a runbook.
func evaluated(t *testing.T, text string, rb *lang.Runbook, given string) {
	t.Helper()
	set := lang.Settings{}
	for _, v := range rb.Variables {
		if v.Default == cty.NilVal {
			set[v.Name] = lang.Setting{Text: given}
		}
	}
	vars, diags := rb.VariableValues(set)
	told(t, text, diags)
	if diags.HasErrors() {
		return
	}
	scope := lang.NewScope(rb, vars, engine.RunInfo{ID: engine.PlannedRunID})
	value := func(e hcl.Expression) {
		if e == nil {
			return
		}
		v, diags := scope.Value(e)
		told(t, text, diags)
		if !diags.HasErrors() {
			presentable(t, v)
		}
	}
	for _, l := range rb.Locals {
		value(l.Expr)
	}
	for _, o := range rb.Outputs {
		value(o.Expr)
	}
	for _, d := range rb.Data {
		_, diags := scope.Config(d.Config, cty.NilVal)
		told(t, text, diags)
	}
	for _, s := range rb.Steps {
		rounds, diags := scope.Rounds(s)
		told(t, text, diags)
		for _, each := range rounds[:min(len(rounds), 3)] {
			step(t, text, scope.With(each), s)
		}
	}
}

func step(t *testing.T, text string, scope *lang.Scope, s *lang.Step) {
	t.Helper()
	_, diags := scope.Config(s.Config, cty.NilVal)
	told(t, text, diags)
	if s.When != nil {
		_, _, _, diags = scope.Bool(s.When)
		told(t, text, diags)
	}
	for _, c := range slices.Concat(s.Preconditions, s.Postconditions) {
		_, diags = scope.Check(c, cty.DynamicVal)
		told(t, text, diags)
	}
}

// presentable holds a value to being one that can be kept and shown.
func presentable(t *testing.T, v cty.Value) {
	t.Helper()
	bare, _ := v.UnmarkDeep()
	_ = cty.Walk(bare, func(_ cty.Path, v cty.Value) (bool, error) {
		switch {
		case !v.IsKnown() || v.IsNull():
		case v.Type() == cty.String && !utf8.ValidString(v.AsString()):
			t.Errorf("%q is no text", v.AsString())
		case v.Type() == cty.Number && v.AsBigFloat().IsInf():
			t.Error("a number is infinite")
		}
		return true, nil
	})
}
