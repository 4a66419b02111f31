package diagnose

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A full disk and its kin can't be had in a test: what a look makes of them.
func TestRoomAndAPIServer(t *testing.T) {
	for class, s := range map[string]Surroundings{
		"disk_full":         {FreeBytes: 1 << 20, FreeInodes: -1},
		"disk_full ":        {FreeBytes: -1, FreeInodes: 3},
		"apiserver_running": {FreeBytes: -1, FreeInodes: -1, Processes: []Process{{PID: 7, Name: "kube-apiserver"}}},
		"":                  {FreeBytes: 1 << 40, FreeInodes: 1 << 20},
	} {
		r := &Report{Around: s, Options: Options{DataDir: "/"}, Member: true, DB: DB{Exists: true}}
		r.judgeRoom()
		r.judgeUse()
		if class = strings.TrimSpace(class); class == "" && len(r.Findings) == 0 {
			continue
		}
		if len(r.Findings) != 1 || r.Findings[0].Class != class {
			t.Errorf("%s: %+v", class, r.Findings)
		}
	}
}

var className = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)+$|^ownership$|^encrypted$|^alarm$|^unreadable$`)

// The documentation has a row for each class, and each class that it has is
// one.
func TestClassesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/diagnosis.md")
	must(t, err)
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z0-9_]+`[^|]*)\\|").FindAllStringSubmatch(string(doc), -1) {
		for _, name := range regexp.MustCompile("[a-z0-9_]+").FindAllString(row[1], -1) {
			documented[name] = true
		}
	}
	classes := classesInSource(t)
	for c := range classes {
		if !documented[c] {
			t.Errorf("docs/diagnosis.md has no row for %s", c)
		}
	}
	for c := range documented {
		if !classes[c] {
			t.Errorf("docs/diagnosis.md has a row for %s, which no look finds", c)
		}
	}
}

// classesInSource are the classes that stand where findings are made.
func classesInSource(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	found := map[string]bool{}
	for _, path := range append(files, "../causes/finding.go") {
		if strings.HasSuffix(path, "_test.go") || !strings.HasPrefix(path, "judge") && path != "logs.go" && path != "backups.go" && path != "diagnose.go" && path != "../causes/finding.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && className.MatchString(s) && !notClasses[s] {
					found[s] = true
				}
			}
			return true
		})
	}
	return found
}

// notClasses look like classes.
var notClasses = map[string]bool{"cluster_id": true}
