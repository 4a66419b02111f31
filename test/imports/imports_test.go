package imports

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArrowsPointOneWay(t *testing.T) {
	wrong, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// A check that can't fail holds nothing.
func TestCheckFails(t *testing.T) {
	for _, c := range []struct{ file, imports, want string }{
		{"engine/a.go", "os", "engine is vocabulary"},
		{"engine/a.go", "net/http", "engine is vocabulary"},
		{"engine/a.go", "fmt", ""},
		{"engine/a.go", "runbook/engine/run", "none of the module's packages"},
		{"engine/lang/a.go", "runbook/engine", ""},
		{"engine/lang/a.go", "runbook/engine/journal", "may import only engine"},
		{"engine/journal/a.go", "runbook/engine/durable", ""},
		{"engine/journal/a.go", "runbook/engine/run", "may import only"},
		{"engine/run/a.go", "runbook/engine/journal", ""},
		{"engine/run/a.go", "runbook/engine/host", "may import only"},
		{"engine/run/a.go", "runbook/actions", "may import only"},
		{"engine/run/a_test.go", "runbook/actions", ""},
		{"engine/host/a.go", "runbook/actions/file", "may import only"},
		{"engine/new/a.go", "runbook/engine", "there is no rule for engine/new"},
		{"actions/a.go", "runbook/actions/file", ""},
		{"actions/a.go", "runbook/engine/run", "may import only"},
		{"actions/file/a.go", "runbook/engine/durable", ""},
		{"actions/file/a.go", "runbook/actions/etcd", "may import only"},
		{"actions/file/a.go", "runbook/actions", "may import only"},
		{"actions/etcd/deep/a.go", "runbook/actions/etcd", ""},
		{"actions/etcd/deep/a.go", "runbook/actions/file", "may import only"},
		{"actions/file/a_test.go", "runbook/cmd/runbook", "nothing imports cmd"},
		{"engine/host/a.go", "runbook/cmd/runbook", "nothing imports cmd"},
		{"cmd/runbook/a.go", "runbook/engine/run", ""},
		{"cmd/runbook/a.go", "runbook/test/etcdhost", "may import only"},
	} {
		wrong := checkMadeUp(t, c.file, c.imports)
		if got := strings.Join(wrong, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s imports %s: got %q, want %q", c.file, c.imports, got, c.want)
		}
	}
}

// checkMadeUp checks a module of one file with one import.
func checkMadeUp(t *testing.T, file, imported string) []string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("package a\n\nimport _ %q\n", imported)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	wrong, err := Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}
