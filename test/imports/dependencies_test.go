package imports

import (
	"os"
	"strings"
	"testing"
)

// Every direct dependency is named in docs/dependencies.md, with its reason,
// and nothing else is.
func TestDependenciesAreNamed(t *testing.T) {
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := directDependencies(t)
	for path := range direct {
		if !strings.Contains(string(doc), "`"+path+"`") {
			t.Errorf("%s is not named", path)
		}
	}
	for _, name := range strings.Split(string(doc), "`") {
		if strings.Contains(name, ".") && strings.Contains(name, "/") && !strings.ContainsAny(name, " \n|") && !direct[name] {
			t.Errorf("%s is named and is no direct dependency", name)
		}
	}
}

func directDependencies(t *testing.T) map[string]bool {
	t.Helper()
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.HasPrefix(line, "\t") {
			direct[f[0]] = true
		}
	}
	if len(direct) == 0 {
		t.Fatal("go.mod names no direct dependency")
	}
	return direct
}
