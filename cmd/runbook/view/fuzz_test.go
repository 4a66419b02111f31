package view

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/lang"
	"runbook/engine/run"
	"runbook/runbooks"
	"runbook/test/limits"
	"runbook/test/schema"
)

// FuzzPlan plans whatever is given as a runbook, with everything that the binary
// can do, on a host that is only pretended. What comes of it is shown to people
// without anything that a terminal would obey, and to programs as the schema has
// it; and the plan that is kept in a file is the plan that is read from it.
func FuzzPlan(f *testing.F) {
	for _, text := range written(f) {
		f.Add(text, "a")
	}
	reg, schemas := actions.Registry(hclog.NewNullLogger()), schemasOf(f)
	f.Fuzz(func(t *testing.T, text, given string) {
		if !utf8.ValidString(text) || !utf8.ValidString(given) {
			return // is refused when it is read
		}
		limits.Hold(t, func() {
			host := pretended{reg}
			book, set, err := valid(text, given, reg)
			validated(t, schemas, book, err)
			if err != nil {
				return
			}
			scope, plan, err := planned(host, book, set)
			p := shown(t, schemas, plan, err)
			if err == nil {
				file, err := run.EncodePlan(host, scope, plan, "test")
				if err != nil {
					t.Fatal(err)
				}
				maps.DeleteFunc(set, func(name string, _ lang.Setting) bool { return !scope.Vars[name].IsMarked() })
				_, read, err := run.DecodePlan(file, host, reg, set)
				if again := shown(t, schemas, read, err); !bytes.Equal(again, p) {
					t.Errorf("the plan %s becomes %s in a file", p, again)
				}
			}
		})
	})
}

// FuzzPlanFile reads whatever is given as a plan file, as it is or with the right
// checksum. It is refused, with what to do, or is a plan that can be shown and kept.
func FuzzPlanFile(f *testing.F) {
	reg, schemas := actions.Registry(hclog.NewNullLogger()), schemasOf(f)
	host := pretended{reg}
	for _, text := range written(f) {
		book, set, err := valid(text, "a", reg)
		if err != nil {
			continue
		}
		if scope, plan, err := planned(host, book, set); err == nil {
			file, err := run.EncodePlan(host, scope, plan, "test")
			if err != nil {
				f.Fatal(err)
			}
			f.Add(file, false)
			f.Add(headerOf(file), true)
		}
	}
	for _, header := range []string{`{}`, `{"format":1}`, `{"format":1,"sources":[{"name":"a","text":"runbook \"a\" {}"}],"plan":{"steps":[{}]}}`, `null`, `[`} {
		f.Add([]byte(header), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, summed bool) {
		if summed {
			text = summedUp(text)
		}
		limits.Hold(t, func() {
			if head, err := run.PlanHeader(text); err == nil && head.Plan == nil {
				t.Fatal("a plan file without a plan is read")
			}
			scope, plan, err := run.DecodePlan(text, host, reg, nil)
			p := shown(t, schemas, plan, err)
			if err != nil {
				return
			}
			again, err := run.EncodePlan(host, scope, plan, "test")
			if err != nil {
				t.Fatalf("a plan that was read can't be kept: %v", err)
			}
			_, plan, err = run.DecodePlan(again, host, reg, nil)
			if q := shown(t, schemas, plan, err); !bytes.Equal(p, q) {
				t.Errorf("the plan %s becomes %s when it is kept again", p, q)
			}
		})
	})
}

// FuzzEvent shows every type of event with whatever text in it: to programs as
// the schema has it, on a line each, and to people without anything that a
// terminal would obey.
func FuzzEvent(f *testing.F) {
	f.Add("a\nb\x1b[2J\u2028\u202e\xff<", 7)
	f.Add("", 0)
	schemas := schemasOf(f)
	f.Fuzz(func(t *testing.T, text string, number int) {
		number = max(number, 1) // nothing is counted or measured below that
		for _, sample := range samples {
			e := reflect.New(reflect.TypeOf(sample)).Elem()
			e.Set(reflect.ValueOf(sample))
			fill(e, text, number)
			var out, people bytes.Buffer
			NewEvents(&out, nil).Event(e.Interface().(engine.Event))
			if err := schemas.Event(out.Bytes()); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
				t.Errorf("%v: %q", err, out.String())
			}
			newHuman(&people, &people, 80, false).Event(e.Interface().(engine.Event))
			unobeyed(t, out.Bytes(), people.Bytes())
		}
	})
}

// fill puts a text and a number wherever there is one in v.
func fill(v reflect.Value, text string, number int) {
	switch v.Kind() {
	case reflect.Struct:
		if _, ok := v.Interface().(time.Time); ok {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Finding" { // is one of four words
				fill(v.Field(i), text, number)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one, text, number)
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), one))
	case reflect.String:
		v.SetString(text)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(number))
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(engine.Errorf(text, "%s", text).WithHint("%s", text)))
		}
	}
}

// written are the shorter ones of the runbooks that ship, and hostile ones.
func written(f *testing.F) []string {
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
	for _, family := range []string{"cycles", "marks", "names", "numbers", "places", "syntax", "terminal", "types", "unknown"} {
		ar, err := txtar.ParseFile(filepath.Join("../../../test/torture/input/testdata/hostile", family+".txtar"))
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range ar.Files {
			// What goes to the bounds of time is tried with the real binary.
			if strings.HasSuffix(part.Name, ".hcl") && !bytes.Contains(part.Data, []byte("range(")) {
				all = append(all, string(part.Data))
			}
		}
	}
	return all
}

func schemasOf(f *testing.F) *schema.Schemas {
	f.Helper()
	s, err := schema.Load("../../..")
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// valid reads a runbook, and settings for the variables that need one.
func valid(text, given string, reg *engine.Registry) (*lang.Runbook, lang.Settings, error) {
	book, diags := lang.Load(lang.NewSources(lang.Source{Name: "test.hcl", Text: text}), reg)
	if diags.HasErrors() {
		return book, nil, &lang.Error{Book: book, Diags: diags}
	}
	set := lang.Settings{}
	for _, v := range book.Variables {
		if v.Default == cty.NilVal {
			set[v.Name] = lang.Setting{Text: given}
		}
	}
	return book, set, nil
}

func planned(host engine.Host, book *lang.Runbook, set lang.Settings) (*lang.Scope, *run.Plan, error) {
	vars, diags := book.VariableValues(set)
	if diags.HasErrors() {
		return nil, nil, &lang.Error{Book: book, Diags: diags}
	}
	started := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	scope := lang.NewScope(book, vars, engine.RunInfo{ID: "20260101-000000-abcd", Runbook: book.Name, Started: started})
	plan, diags := run.MakePlan(context.Background(), host, scope)
	if diags.HasErrors() {
		return nil, nil, &lang.Error{Book: book, Diags: diags}
	}
	return scope, plan, nil
}

// validated shows what `validate` says.
func validated(t *testing.T, schemas *schema.Schemas, book *lang.Runbook, err error) {
	t.Helper()
	looksRight(t, schemas, "validate", err, func(v View) { v.Valid(book) })
}

// shown shows a plan, or what is wrong, and returns the plan for programs.
func shown(t *testing.T, schemas *schema.Schemas, plan *run.Plan, err error) []byte {
	t.Helper()
	if err == nil {
		plan, err = plan.Shown()
	}
	return looksRight(t, schemas, "plan", err, func(v View) { v.Plan(plan, run.Estimate{}) })
}

// looksRight has a result, or an error, shown to people and to programs.
func looksRight(t *testing.T, schemas *schema.Schemas, kind string, err error, show func(View)) []byte {
	t.Helper()
	var out, people bytes.Buffer
	for _, v := range []View{NewDocument(kind, &out, nil), newHuman(&people, &people, 80, false)} {
		if err != nil {
			v.Error(err)
		} else {
			show(v)
		}
		v.Close()
	}
	if err := schemas.Document(out.Bytes()); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if people.Len() == 0 {
		t.Error("people are told nothing")
	}
	unobeyed(t, out.Bytes(), people.Bytes())
	return out.Bytes()
}

// unobeyed holds what is shown to having nothing that a terminal would obey.
func unobeyed(t *testing.T, texts ...[]byte) {
	t.Helper()
	for _, text := range texts {
		if at := bytes.IndexFunc(text, escapable); at >= 0 || !utf8.Valid(text) {
			t.Errorf("a terminal would obey what is at byte %d of %q", at, text)
		}
	}
}

// headerOf is the header in a plan file, and summedUp a plan file of one.
func headerOf(file []byte) []byte {
	var f struct{ Header json.RawMessage }
	if err := json.Unmarshal(file, &f); err != nil {
		panic(err) // it was made a moment ago
	}
	return f.Header
}

func summedUp(header []byte) []byte {
	sum := sha256.Sum256(header)
	return fmt.Appendf(nil, `{"runbook_plan":"1","sha256":"%x","header":%s}`, sum, header)
}

// pretended is a host whose actions and data sources look nowhere: what they
// find follows from their configuration alone.
type pretended struct{ reg *engine.Registry }

func (pretended) Name() string { return "h" }

func (h pretended) Plan(_ context.Context, s engine.StepRequest) (engine.Change, error) {
	spec, _ := h.reg.Action(s.Action)
	if err := engine.DecodeConfig(spec.Attributes, s.Config, spec.New()); err != nil {
		return engine.Change{}, err
	}
	change := engine.Change{Items: []engine.Item{{Target: s.Action, Attribute: "configuration", Before: "none", After: string(s.Config)}}}
	switch crc32.ChecksumIEEE(s.Config) % 5 {
	case 0:
		return engine.Change{}, nil
	case 1:
		return engine.Change{}, engine.Errorf(s.Action, "it isn't possible with %s", s.Config).WithHint("Look at %s", s.Config)
	case 2:
		change.Unpredictable, change.Irreversible, change.Checks = string(s.Config), string(s.Config), []string{string(s.Config)}
	case 3:
		change.Effects, change.Kept = []engine.Effect{{Anything: true}}, []string{string(s.Config)}
	}
	return change, nil
}

func (h pretended) Read(_ context.Context, d engine.DataRequest) (engine.Result, error) {
	spec, _ := h.reg.DataSource(d.Type)
	res := engine.Result{}
	for _, r := range spec.Results {
		switch r.Type {
		case cty.String:
			res[r.Name] = string(d.Config)
		case cty.Number:
			res[r.Name] = 1
		case cty.Bool:
			res[r.Name] = true
		case cty.List(cty.String):
			res[r.Name] = []string{string(d.Config)}
		}
	}
	return res, nil
}

func (pretended) Stat(_ context.Context, path string, _ bool, _ []engine.Effect) (engine.PathFact, error) {
	return engine.PathFact{Path: path, Exists: len(path)%2 == 0, Type: engine.TypeFile, Owner: path}, nil
}

func (pretended) Unit(_ context.Context, name string, _ []engine.Effect) (engine.UnitFact, error) {
	return engine.UnitFact{Name: name, LoadState: "loaded", ActiveState: name}, nil
}

// Nothing is ever carried out.
func (pretended) Apply(context.Context, engine.StepRequest, engine.Change, engine.Reporter) (engine.Result, error) {
	panic("a step is carried out")
}

func (pretended) Undo(context.Context, engine.StepRequest, engine.Change, engine.Reporter) error {
	panic("a step is undone")
}

func (pretended) Settle(context.Context, engine.StepRequest, engine.Change, engine.Reporter) error {
	panic("a step is waited for")
}

func (pretended) Discard(context.Context, string, string) error { panic("something is deleted") }
