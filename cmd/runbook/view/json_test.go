package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"runbook/engine"
	"runbook/engine/run"
	"runbook/test/schema"
)

// samples holds an event of every type.
var samples = func() []engine.Event {
	s := engine.StepInfo{Name: "one", Action: "move", Description: "Move.", Index: 1, Total: 2}
	change := engine.Change{
		Items:  []engine.Item{{Target: "/a", Attribute: "mode", Before: "1", After: "2", Note: "n", Diff: "-a\n+b\n"}},
		Checks: []string{"it works"}, Kept: []string{"/kept"}, Unpredictable: "a command",
		Effects: []engine.Effect{{}}, Data: json.RawMessage(`{"secret":1}`),
	}
	err := errors.New("no")
	return []engine.Event{
		engine.RunStarted{ID: "r", Runbook: "rb", Host: "h", Started: time.Now(), TimeBudget: time.Minute},
		engine.JournalTorn{Bytes: 3, Aside: "/x"},
		engine.StepStarted{Step: s},
		engine.StepExamined{Step: s, Finding: "half-way"},
		engine.StepProgress{Step: s, Progress: engine.Progress{Doing: "copying", Done: 1, Total: 2}},
		engine.StepRetried{Step: s, Attempt: 1, Attempts: 2, Delay: time.Second, Err: err},
		engine.StepDone{Step: s, Change: change, Result: engine.Result{"path": "/b"}, Took: time.Second},
		engine.StepSkipped{Step: s, Reason: "why"},
		engine.StepWaiting{Step: s, Message: "Go on?"},
		engine.StepFailed{Step: s, Err: err},
		engine.Stopping{},
		engine.RunFinished{ID: "r", Took: time.Second, Failed: []string{"two"}, Outputs: []engine.Output{{Name: "o", Text: "1"}}},
		engine.UndoStarted{Step: s},
		engine.UndoDone{Step: s, Reason: "why"},
		engine.UndoFailed{Step: s, Err: err},
		engine.RolledBack{ID: "r", Began: time.Now(), Broken: true, Left: []string{"one"}, Kept: []string{"/data.undone"}},
	}
}()

// Every type of event is written as the schema has it.
func TestEveryEventAsJSON(t *testing.T) {
	schemas := loadSchemas(t)
	seen := map[string]bool{}
	for _, e := range samples {
		name := reflect.TypeOf(e).Name()
		seen[name] = true
		var out bytes.Buffer
		NewEvents(&out, nil).Event(e)
		if bytes.Count(out.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%s: not one line: %q", name, out.String())
		}
		if err := schemas.Event(out.Bytes()); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
	for _, name := range eventTypes(t) {
		if !seen[name] {
			t.Errorf("%s has no sample here: add it, and see that all views show it", name)
		}
	}
}

// eventTypes reads from the engine's source which types of events there are.
func eventTypes(t *testing.T) []string {
	t.Helper()
	var names []string
	files, err := filepath.Glob("../../../engine/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("the engine's source isn't there", err)
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "event" && fn.Recv != nil {
				names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	return names
}

// Progress is thinned out: an action reports as often as it likes.
func TestJSONProgressIsThinned(t *testing.T) {
	var out bytes.Buffer
	j := NewEvents(&out, nil)
	now := time.Now()
	j.now = func() time.Time { return now }
	for range 100 {
		j.Event(engine.StepProgress{})
	}
	now = now.Add(time.Second)
	j.Event(engine.StepProgress{})
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 2 {
		t.Errorf("%d lines", n)
	}
}

// What only the engine has a use for isn't written.
func TestJSONLeavesTheEnginesOwnOut(t *testing.T) {
	var out bytes.Buffer
	j := NewEvents(&out, nil)
	for _, e := range samples {
		j.Event(e)
	}
	if strings.Contains(out.String(), "secret") || strings.Contains(out.String(), "effects") {
		t.Error(out.String())
	}
}

func TestPlanAsJSON(t *testing.T) {
	var out bytes.Buffer
	j := NewDocument("plan", &out, nil)
	j.Plan(everyKindOfStep(), run.Estimate{Steps: map[string]time.Duration{"plain": 1500 * time.Millisecond}, Total: 1500 * time.Millisecond, Never: 3})
	j.Note("%s", "a note")
	j.Error(errors.New("one\ntwo"))
	j.Close()
	if err := loadSchemas(t).Document(out.Bytes()); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	golden(t, "plan.json", out.String())
}

func loadSchemas(t *testing.T) *schema.Schemas {
	t.Helper()
	s, err := schema.Load("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The documentation names every field and every type of event.
func TestJSONIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"common", "document", "event"} {
		raw, err := os.ReadFile("../../../docs/schema/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(raw, &tree); err != nil {
			t.Fatal(err)
		}
		for _, field := range named(tree) {
			if !strings.Contains(string(doc), field) {
				t.Errorf("docs/json.md says nothing of %s", field)
			}
		}
	}
}

// named lists the fields in a schema as the documentation writes them, and the
// types of events.
func named(tree any) []string {
	var names []string
	switch tree := tree.(type) {
	case []any:
		for _, x := range tree {
			names = append(names, named(x)...)
		}
	case map[string]any:
		props, _ := tree["properties"].(map[string]any)
		for name, p := range props {
			if typ, ok := p.(map[string]any)["const"].(string); ok && name == "type" {
				names = append(names, "### "+typ+"\n")
			} else {
				names = append(names, name+"` |")
			}
		}
		for _, x := range tree {
			names = append(names, named(x)...)
		}
	}
	return names
}
