// Package imports holds the arrows between the product's packages to one
// direction, so that a reader of one package needs to know those below it only.
package imports

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// module is the product's module path.
const module = "runbook"

// A rule says which of the module's packages a package may import. A name that
// ends in "/..." stands for the packages below it.
type rule struct {
	pkg     string
	imports []string
}

// rules are looked through from the top; the first that fits counts. Files of
// tests are free, except that nothing imports cmd.
var rules = []rule{
	{"cmd/...", []string{"actions", "engine", "engine/...", "runbooks", "cmd/..."}},
	{"engine", nil},
	{"engine/durable", []string{"engine"}},
	{"engine/lang", []string{"engine"}},
	{"engine/journal", []string{"engine", "engine/durable"}},
	{"engine/host", []string{"engine", "engine/durable"}},
	{"engine/run", []string{"engine", "engine/lang", "engine/journal", "engine/durable"}},
	{"actions", []string{"engine", "actions/..."}},
	{"runbooks", nil},
	{"test/...", []string{"actions", "actions/...", "engine", "engine/...", "runbooks", "test/..."}},
}

// vocabulary is the package that does nothing but name things, and performs
// are the packages by which a program acts on the world.
const vocabulary = "engine"

var performs = []string{
	"bufio", "database/sql", "io/ioutil", "log", "log/slog", "net", "net/http", "os", "os/exec", "os/signal",
	"os/user", "plugin", "syscall", "golang.org/x/sys/unix",
}

// Check returns what is wrong with the imports of the module in dir, one
// sentence for each arrow that points the wrong way.
func Check(dir string) ([]string, error) {
	var wrong []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return enter(dir, path, d)
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found, err := checkFile(path, filepath.ToSlash(rel))
		wrong = append(wrong, found...)
		return err
	})
	return wrong, err
}

// enter skips what isn't part of the module.
func enter(root, path string, d fs.DirEntry) error {
	name := d.Name()
	if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || isModule(path)) {
		return fs.SkipDir
	}
	return nil
}

func isModule(dir string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "go.mod"))
	return err == nil && len(found) > 0
}

func checkFile(path, rel string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	pkg := filepath.ToSlash(filepath.Dir(rel))
	var wrong []string
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := objection(pkg, imported, strings.HasSuffix(rel, "_test.go")); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", rel, imported, why))
		}
	}
	return wrong, nil
}

// objection says why a package may not import another, or nothing.
func objection(pkg, imported string, test bool) string {
	target, own := strings.CutPrefix(imported, module+"/")
	switch {
	case own && matches("cmd/...", target) && !matches("cmd/...", pkg):
		return "nothing imports cmd"
	case test:
		return ""
	case !own && pkg == vocabulary && slices.Contains(performs, imported):
		return "engine is vocabulary and does nothing to the world"
	case !own:
		return ""
	}
	allowed, ok := allowedFor(pkg)
	if !ok {
		return "there is no rule for " + pkg + " in test/imports"
	}
	if slices.ContainsFunc(allowed, func(a string) bool { return matches(a, target) }) {
		return ""
	}
	return pkg + " may import " + list(allowed)
}

func allowedFor(pkg string) ([]string, bool) {
	// A family of actions knows the engine and itself, and no sibling.
	if family, ok := family(pkg); ok {
		return []string{"engine", "engine/durable", family, family + "/..."}, true
	}
	for _, r := range rules {
		if matches(r.pkg, pkg) {
			return r.imports, true
		}
	}
	return nil, false
}

// family returns the family of actions that a package belongs to.
func family(pkg string) (string, bool) {
	rest, ok := strings.CutPrefix(pkg, "actions/")
	if !ok {
		return "", false
	}
	name, _, _ := strings.Cut(rest, "/")
	return "actions/" + name, true
}

func matches(pattern, pkg string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(pkg, prefix+"/")
	}
	return pattern == pkg
}

func list(allowed []string) string {
	if len(allowed) == 0 {
		return "none of the module's packages"
	}
	return "only " + strings.Join(allowed, ", ")
}
