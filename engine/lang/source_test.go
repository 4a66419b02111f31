package lang_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"runbook/engine/lang"
)

// What a runbook names is read from beside it, or else from the runbooks that come
// with the binary; and what is in neither is missing beside it.
func TestPartsOfACopiedRunbook(t *testing.T) {
	shipped := fstest.MapFS{
		"part.hcl":        {Data: []byte("runbook \"shipped\" {}\n")},
		"deep/inside.hcl": {Data: []byte("runbook \"inside\" {}\n")},
	}
	for _, c := range []struct{ source, beside, want, problem string }{
		{source: "part.hcl", want: "shipped"},
		{source: "../part.hcl", want: "shipped"},
		{source: "deep/inside.hcl", want: "inside"},
		{source: "part.hcl", beside: "runbook \"own\" {}\n", want: "own"},
		{source: "other.hcl", problem: "other.hcl"},
		{source: "/part.hcl", problem: "/part.hcl"},
	} {
		dir := filepath.Join(t.TempDir(), "copies")
		write(t, filepath.Join(dir, "mine.hcl"), "runbook \"mine\" {}\nstep \"runbook\" \"part\" { source = \""+c.source+"\" }\n")
		if c.beside != "" {
			write(t, filepath.Join(dir, c.source), c.beside)
		}
		src, err := lang.ReadSources(filepath.Join(dir, "mine.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		src.OrElse(shipped)
		book, diags := lang.Load(src, registry())
		switch {
		case c.problem != "":
			if !diags.HasErrors() || !strings.Contains(diags.Error(), c.problem) {
				t.Errorf("%s: %v", c.source, diags)
			}
		case diags.HasErrors():
			t.Errorf("%s: %v", c.source, diags)
		case book.Step("part").Sub.Name != c.want:
			t.Errorf("%s is taken from %s, and not from %s", c.source, book.Step("part").Sub.Name, c.want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
