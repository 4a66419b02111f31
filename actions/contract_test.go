package actions_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/lang"
	"runbook/test/contract"
	"runbook/test/kubeapi"
	"runbook/test/systemdhost"
)

// The package's tests run inside a throw-away host.
func TestMain(m *testing.M) {
	if actions.ChildMain(os.Args[1:]) {
		return
	}
	contract.Child(actions.Registry(hclog.NewNullLogger()))
	o := systemdhost.Options{Name: "host", Disk: []string{"/tmp", "/var/lib", "/var/backups"}}
	if !systemdhost.Inside() {
		dir, err := kubeapi.Programs(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		o.Bind = append(o.Bind, dir)
	}
	systemdhost.MainIn(m, o)
}

// families are the cases of all actions. Those of one family share a place on
// the host, those of two don't.
func families() map[string][]contract.Case {
	return map[string][]contract.Case{
		"file": slices.Concat(fileCases(), remedyCases()), "systemd": unitCases(), "etcd": slices.Concat(etcdCases(), salvageCases(), adoptCases()), "command": commandCases(),
		"wait": waitCases(), "http": httpCases(), "staticpod": staticPodCases(), "fault": faultCases(), "kube": kubeCases(),
		"drill": drillCases(),
	}
}

func cases() []contract.Case {
	return slices.Concat(slices.Collect(maps.Values(families()))...)
}

func TestContract(t *testing.T) {
	all := families()
	// The longest first, so that none of them is left to run alone at the end.
	longest := []string{"etcd", "systemd", "staticpod", "file", "drill"}
	for _, family := range slices.Concat(longest, without(slices.Sorted(maps.Keys(all)), longest)) {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			for _, c := range all[family] {
				t.Run(c.Action+"/"+c.Name, func(t *testing.T) { contract.Run(t, actions.Registry(hclog.NewNullLogger()), c) })
			}
		})
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(all, func(one string) bool { return slices.Contains(some, one) })
}

func TestEveryActionHasACase(t *testing.T) {
	for _, spec := range actions.Registry(hclog.NewNullLogger()).Actions {
		tested := func(c contract.Case) bool { return c.Action == spec.Name }
		if !slices.ContainsFunc(cases(), tested) {
			t.Errorf("action %s has no contract case; add one to cases", spec.Name)
		}
	}
}

func TestEverySpecIsComplete(t *testing.T) {
	reg := actions.Registry(hclog.NewNullLogger())
	for _, s := range reg.Actions {
		complete(t, "action "+s.Name, s.Doc, s.Example, s.New != nil, slices.Concat(s.Attributes, s.Results))
	}
	for _, s := range reg.Data {
		complete(t, "data source "+s.Name, s.Doc, s.Example, s.New != nil, slices.Concat(s.Attributes, s.Results))
	}
}

func complete(t *testing.T, name, doc, example string, made bool, attributes []engine.Attribute) {
	t.Helper()
	if doc == "" || example == "" || !made {
		t.Errorf("%s lacks its Doc, Example or New", name)
	}
	for _, a := range attributes {
		if a.Doc == "" {
			t.Errorf("%s: %s has no Doc", name, a.Name)
		}
	}
}

// An example is what a reader pastes into a runbook, so it has to be one block
// of its own kind that needs nothing beside it.
func TestEveryExampleValidates(t *testing.T) {
	reg := actions.Registry(hclog.NewNullLogger())
	for _, s := range reg.Actions {
		validates(t, reg, `step "`+s.Name+`" `, s.Example, s.Destroys)
	}
	for _, s := range reg.Data {
		validates(t, reg, `data "`+s.Name+`" `, s.Example, false)
	}
}

func validates(t *testing.T, reg *engine.Registry, begins, example string, drill bool) {
	t.Helper()
	if !strings.HasPrefix(example, begins) {
		t.Errorf("the example of %sis another's:\n%s", begins, example)
	}
	text := fmt.Sprintf("runbook \"example\" { drill = %v }\n%s\n", drill, example)
	if _, diags := lang.Load(lang.NewSources(lang.Source{Name: "example.hcl", Text: text}), reg); len(diags) > 0 {
		t.Errorf("the example of %sdoesn't validate: %v\n%s", begins, diags, text)
	}
}
