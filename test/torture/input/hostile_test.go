package input

import (
	"cmp"
	"flag"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"runbook/test/torture/tally"
)

var update = flag.Bool("update", false, "write what the binary said into testdata, to be read in review")

// hostile is one thing that the binary is given.
type hostile struct {
	name string
	// make puts it into a directory.
	make func(t *testing.T, dir string)
	args []string
	env  []string
	who  *syscall.Credential
}

const (
	golden = "golden"
	secret = "hunter2"
)

// TestHostileRunbooks gives the binary every hostile runbook, and wants the
// diagnostic that stands beside it: no panic, no end of memory, no end of time,
// and nothing that a terminal would obey.
func TestHostileRunbooks(t *testing.T) {
	families, err := filepath.Glob("testdata/hostile/*.txtar")
	if err != nil || len(families) == 0 {
		t.Fatal(families, err)
	}
	made := generated()
	for _, file := range families {
		family := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(family, func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cases := append(written(ar), made[family]...)
			tried := 0
			for _, c := range cases {
				// The large ones take minutes.
				if tally.Takes(family+"/"+c.name, 6) && (family != "sizes" || tally.Full()) || *update {
					tried++
					t.Run(c.name, func(t *testing.T) { try(t, ar, c) })
				}
			}
			if tally.Count(t, "hostile runbooks and files, each told from its diagnostic", tried); *update {
				err = os.WriteFile(file, txtar.Format(ar), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		delete(made, family)
	}
	for family := range made {
		t.Errorf("there is no testdata/hostile/%s.txtar for what is generated", family)
	}
}

// written are the cases of a family that stand in its file, each in a directory
// of its own.
func written(ar *txtar.Archive) []hostile {
	var all []hostile
	files := map[string][]txtar.File{}
	for _, f := range ar.Files {
		name, rest, _ := strings.Cut(f.Name, "/")
		if rest == golden {
			continue
		}
		if files[name] == nil {
			all = append(all, hostile{name: name, args: []string{"plan", "runbook.hcl"}})
		}
		files[name] = append(files[name], txtar.File{Name: rest, Data: f.Data})
	}
	for i := range all {
		c := &all[i]
		c.make = func(t *testing.T, dir string) {
			for _, f := range files[c.name] {
				put(t, filepath.Join(dir, f.Name), string(f.Data))
			}
		}
		for _, f := range files[c.name] {
			if f.Name == "args" {
				c.args = strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
			}
		}
	}
	return all
}

// sorted brings what comes from a map into an order.
func sorted(all []hostile) []hostile {
	slices.SortFunc(all, func(a, b hostile) int { return cmp.Compare(a.name, b.name) })
	return all
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, ar *txtar.Archive, c hostile) {
	dir := t.TempDir()
	c.make(t, dir)
	r := run(t, dir, c.env, c.who, c.args...)
	t.Logf("%d MiB", r.peak>>20)
	if r.code != 1 {
		t.Errorf("exit code %d, want 1", r.code)
	}
	if found := raw(r.stdout + r.stderr); found != "" {
		t.Errorf("this reaches the terminal: %s", found)
	}
	if strings.Contains(strings.Join(c.args, " "), secret) && strings.Contains(r.stdout+r.stderr, secret) {
		t.Error("it shows the secret")
	}
	if len(r.stdout)+len(r.stderr) > 64<<10 {
		t.Errorf("%d bytes are more than anybody reads", len(r.stdout)+len(r.stderr))
		return
	}
	got := shipped.ReplaceAllString(strings.ReplaceAll(r.stderr, dir, "$DIR"), "$1 …")
	if r.stdout != "" {
		got += "stdout:\n" + strings.ReplaceAll(r.stdout, dir, "$DIR")
	}
	got = strings.TrimRight(got, "\n") + "\n"
	name := path.Join(c.name, golden)
	if *update {
		remember(ar, c.name, txtar.File{Name: name, Data: []byte(got)})
		return
	}
	for _, f := range ar.Files {
		if f.Name == name {
			if want := string(f.Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			return
		}
	}
	t.Errorf("there is no %s; it said:\n%s", name, got)
}

// shipped is what is said of the runbooks that come with the binary, which others
// add to.
var shipped = regexp.MustCompile(`(These come with runbook and need no file:) .*`)

// remember puts a golden behind the files of its case.
func remember(ar *txtar.Archive, name string, g txtar.File) {
	last := len(ar.Files)
	for i, f := range ar.Files {
		switch {
		case f.Name == g.Name:
			ar.Files[i] = g
			return
		case strings.HasPrefix(f.Name, name+"/"):
			last = i + 1
		}
	}
	ar.Files = append(ar.Files[:last], append([]txtar.File{g}, ar.Files[last:]...)...)
}
