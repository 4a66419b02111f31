package lang_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/lang"
	"runbook/runbooks"
)

// Every block's example is formatted and validates, and shows its block.
func TestBlocksAreDescribed(t *testing.T) {
	reg := actions.Registry(hclog.NewNullLogger())
	another := lang.Source{Name: "etcd-backup.hcl", Text: shipped(t, "etcd-backup.hcl")}
	for _, b := range lang.Blocks() {
		text := b.Example + "\n"
		if !strings.Contains(text, `runbook "`) {
			text = "runbook \"example\" {}\n\n" + text
		}
		src := lang.Source{Name: b.Name, Text: text}
		if _, diags := lang.Load(lang.NewSources(src, another), reg); diags.HasErrors() {
			t.Errorf("%s: %v", b.Name, diags)
		}
		if formatted, err := lang.Format(src); err != nil || formatted != text {
			t.Errorf("%s: its example should be laid out so (%v):\n%s", b.Name, err, formatted)
		}
		if !strings.Contains(b.Example, b.Header[:strings.IndexByte(b.Header+" ", ' ')]+" ") || !strings.Contains(b.Header, b.Name) || !sentence(b.Doc) {
			t.Errorf("%s: incomplete", b.Name)
		}
		for _, a := range b.Attributes {
			if !sentence(a.Doc) {
				t.Errorf("%s: attribute %s: no sentence: %q", b.Name, a.Name, a.Doc)
			}
		}
	}
}

// Every function's example evaluates to what the reference says.
func TestFunctionsAreDescribed(t *testing.T) {
	for _, f := range lang.Functions() {
		if !sentence(f.Doc) {
			t.Errorf("%s: no description: %q", f.Name, f.Doc)
		}
		if !strings.Contains(f.Example, f.Name+"(") {
			t.Errorf("%s: its example does not call it: %q", f.Name, f.Example)
			continue
		}
		got, want := value(t, f.Example), value(t, f.Value)
		want, err := convert.Convert(want, got.Type())
		if err != nil || !got.RawEquals(want) {
			t.Errorf("%s is %#v, not %#v (%v)", f.Example, got, want, err)
		}
	}
}

// value evaluates an expression on a made-up host.
func value(t *testing.T, text string) cty.Value {
	t.Helper()
	expr, diags := hclsyntax.ParseExpression([]byte(text), "example", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", text, diags)
	}
	src := lang.NewSources(lang.Source{Name: "example"}, lang.Source{Name: "expected-members.txt", Text: "cp1\n"})
	scope := lang.NewScope(&lang.Runbook{Sources: src}, nil, engine.RunInfo{})
	scope.Facts = everythingIsThere{}
	out, diags := scope.Config(lang.Config{
		Declared: []engine.Attribute{{Name: "value", Type: cty.DynamicPseudoType}},
		Given:    hcl.Attributes{"value": {Name: "value", Expr: expr}},
	}, cty.NilVal)
	if diags.HasErrors() {
		t.Fatalf("%s: %v", text, diags)
	}
	return out.Value.GetAttr("value")
}

// everythingIsThere is a host that has every path and runs every unit.
type everythingIsThere struct{}

func (everythingIsThere) Path(string, bool) (engine.PathFact, error) {
	return engine.PathFact{Exists: true}, nil
}

func (everythingIsThere) Unit(string) (engine.UnitFact, error) {
	return engine.UnitFact{LoadState: "loaded", ActiveState: "active"}, nil
}

func shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := runbooks.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sentence(s string) bool {
	return s != "" && strings.HasSuffix(s, ".") && strings.ToUpper(s[:1]) == s[:1]
}
