package actions_test

import (
	"slices"
	"testing"

	"github.com/hashicorp/go-hclog"

	"runbook/actions"
	"runbook/test/contract"
	"runbook/test/systemdhost"
)

// The package's tests run inside a throw-away host.
func TestMain(m *testing.M) {
	contract.Child(actions.Registry(hclog.NewNullLogger()))
	systemdhost.Main(m)
}

// cases are those of all actions, one list for each family.
func cases() []contract.Case {
	return slices.Concat(fileCases(), unitCases())
}

func TestContract(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.Action+"/"+c.Name, func(t *testing.T) { contract.Run(t, actions.Registry(hclog.NewNullLogger()), c) })
	}
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
	for _, spec := range actions.Registry(hclog.NewNullLogger()).Actions {
		if spec.Doc == "" || spec.Example == "" || spec.New == nil {
			t.Errorf("action %s lacks its Doc, Example or New", spec.Name)
		}
		for _, a := range slices.Concat(spec.Attributes, spec.Results) {
			if a.Doc == "" {
				t.Errorf("action %s: %s has no Doc", spec.Name, a.Name)
			}
		}
	}
}
