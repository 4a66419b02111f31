package fault_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/fault"
	"runbook/engine"
	"runbook/engine/host"
)

type quiet struct{}

func (quiet) Progress(engine.Progress) {}

// step is a step of a run on this machine, planned.
type step struct {
	request engine.StepRequest
	change  engine.Change
}

var here = host.NewLocal(&engine.Registry{Actions: fault.Actions()})

func planned(t *testing.T, name, action string, config map[string]cty.Value) step {
	t.Helper()
	spec, ok := (&engine.Registry{Actions: fault.Actions()}).Action(action)
	if !ok {
		t.Fatalf("there is no action %s", action)
	}
	for _, a := range spec.Attributes {
		if _, set := config[a.Name]; !set {
			config[a.Name] = a.Default
		}
	}
	raw, err := engine.EncodeConfig(spec.Attributes, cty.ObjectVal(config))
	must(t, err)
	s := step{request: engine.StepRequest{
		Run: engine.RunInfo{ID: "20260102-030405-abcd", Step: name}, Action: action, Config: raw,
	}}
	s.change, err = here.Plan(t.Context(), s.request)
	must(t, err)
	return s
}

func (s step) apply(t *testing.T) {
	t.Helper()
	_, err := here.Apply(t.Context(), s.request, s.change, quiet{})
	must(t, err)
}

func (s step) undo(t *testing.T) {
	t.Helper()
	must(t, here.Undo(t.Context(), s.request, s.change, quiet{}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v (hint: %s)", err, engine.HintOf(err))
	}
}

// Each step brings back what it has destroyed itself, however like the names of
// two steps are.
func TestNoStepSavesInThePlaceOfAnother(t *testing.T) {
	for _, action := range []string{"fault_truncate", "fault_scribble"} {
		for _, names := range [][2]string{{"etcd/wal", "etcd_wal"}, {`each["a b"]`, `each["a/b"]`}} {
			t.Run(action+" "+names[0], func(t *testing.T) {
				dir := t.TempDir()
				var steps []step
				for i, name := range names {
					path := filepath.Join(dir, string(rune('a'+i)))
					must(t, os.WriteFile(path, []byte(path), 0o600))
					s := planned(t, name, action, map[string]cty.Value{
						"path": cty.StringVal(path), "keep_in": cty.StringVal(filepath.Join(dir, "keep")),
					})
					s.apply(t)
					steps = append(steps, s)
				}
				for i := range steps {
					steps[len(steps)-1-i].undo(t)
				}
				for _, name := range []string{"a", "b"} {
					path := filepath.Join(dir, name)
					text, err := os.ReadFile(path)
					must(t, err)
					if string(text) != path {
						t.Errorf("%s holds %q now", path, text)
					}
				}
			})
		}
	}
}

// Two steps of a run that cut off different ports have tables of their own.
func TestNoStepHasTheTableOfAnother(t *testing.T) {
	tables := map[any]bool{}
	for _, name := range []string{"peers", "clients"} {
		s := planned(t, name, "fault_network", map[string]cty.Value{"ports": cty.ListVal([]cty.Value{cty.NumberIntVal(2380)})})
		tables[s.change.Results["table"]] = true
	}
	if len(tables) != 2 {
		t.Errorf("two steps have these tables: %v", tables)
	}
}
