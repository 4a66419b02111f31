package imports

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each promise names the tests that try to break it, and how much they try; and these
// exist.
func TestGuaranteesNameTests(t *testing.T) {
	doc, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	there := tests(t)
	for _, section := range strings.Split(string(doc), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		for _, name := range regexp.MustCompile("`(Test\\w+)`|`(\\w+\\.txtar)`").FindAllString(text, -1) {
			if !there[strings.Trim(name, "`")] {
				t.Errorf("%s: there is no test %s", title, name)
			}
		}
		if !strings.Contains(text, "`Test") && !strings.Contains(text, ".txtar`") && !strings.Contains(text, "contract suite") {
			t.Errorf("%s: no test is named", title)
		}
		if !regexp.MustCompile(`(?m)^Tried: |^\| Part `).MatchString(text) {
			t.Errorf("%s: it doesn't say how much is tried", title)
		}
	}
}

// tests are the names of the tests and of the scripts in the tree.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".txtar"):
			all[filepath.Base(path)] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllSubmatch(text, -1) {
				all[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
