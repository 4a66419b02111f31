// Package fuzz has whatever reads what others wrote given inputs that are made
// up: the targets are beside what they try.
package fuzz

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"runbook/test/torture/tally"
)

const (
	root = "../../.."
	// each is for how long a target is given inputs, once it is built.
	each = 20 * time.Second
	// patience is for building as well, and against hanging.
	patience = time.Hour
)

// promised are the readers that have to have a target, by package and name.
var promised = []string{
	"actions/etcd/diagnose FuzzDB",
	"actions/etcd/diagnose FuzzSnap",
	"actions/etcd/diagnose FuzzWAL",
	"actions/etcd/keyspace FuzzParse",
	"actions/etcd/member FuzzConfig",
	"actions/etcd/member FuzzManifest",
	"actions/etcd/member FuzzUnit",
	"actions/file/pki FuzzRead",
	"actions/staticpod/manifest FuzzEdit",
	"cmd/runbook/view FuzzEvent",
	"cmd/runbook/view FuzzPlan",
	"cmd/runbook/view FuzzPlanFile",
	"engine/lang FuzzFunctions",
	"engine/lang FuzzRunbook",
	"test/torture/journal FuzzLoad",
}

// TestFuzz wants a target for each reader that is promised one. Their seeds are
// tests of their own packages; in the full version each is given inputs that are
// made up besides.
func TestFuzz(t *testing.T) {
	all := targets(t)
	for _, name := range promised {
		if !slices.Contains(all, name) {
			t.Errorf("there is no %s any more", name)
		}
	}
	for _, name := range all {
		if !slices.Contains(promised, name) {
			t.Errorf("%s isn't among those that are promised: name it here", name)
		}
		if tally.Full() {
			t.Run(name, func(t *testing.T) {
				pkg, target, _ := strings.Cut(name, " ")
				tally.Count(t, "inputs made up for "+target+" of "+pkg, fuzz(t, pkg, target))
			})
		}
	}
}

// targets finds the fuzz targets of the module.
func targets(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		names, err := targetsIn(path)
		for _, name := range names {
			all = append(all, filepath.ToSlash(rel)+" "+name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func targetsIn(path string) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// fuzz gives a target inputs that are made up and returns how many. The seeds come
// first: on a busy machine there may be no time left behind them.
func fuzz(t *testing.T, pkg, target string) int {
	t.Helper()
	for within := each; ; within *= 2 {
		output := begin(t, pkg, target, within)
		if n := executed(output); n > 0 {
			return n
		}
		if within > 8*each {
			t.Fatalf("no input was tried:\n%s", output)
		}
	}
}

// begin fuzzes a target for a while, which has to end without a failure, and
// returns what it says.
func begin(t *testing.T, pkg, target string, within time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before := crashers(t, pkg, target)
	cmd := exec.CommandContext(ctx, "go", "test", "./"+pkg, "-run=^$", "-fuzz=^"+target+"$", "-fuzztime="+within.String(), "-parallel=2",
		"-fuzzminimizetime=100x", "-test.fuzzcachedir="+t.TempDir())
	cmd.Dir = root
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, tally.FullEnv+"=") })
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), newest(t, before, crashers(t, pkg, target)))
	}
	return out.String()
}

// crashers are the inputs that are kept of those that failed.
func crashers(t *testing.T, pkg, target string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(root, pkg, "testdata", "fuzz", target, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newest is the text of the inputs that were found to fail.
func newest(t *testing.T, before, after []string) string {
	t.Helper()
	var text strings.Builder
	for _, path := range after {
		if slices.Contains(before, path) {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&text, "%s:\n%s", strings.TrimPrefix(path, root+"/"), content)
	}
	return text.String()
}

var execs = regexp.MustCompile(`(?m)^fuzz: elapsed: .* execs: (\d+) `)

// executed reads how many inputs were tried by the end.
func executed(output string) int {
	all := execs.FindAllStringSubmatch(output, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		return 0
	}
	return n
}
