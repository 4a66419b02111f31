package disaster

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var update = flag.Bool("update-screens", false, "write the screens that are kept in testdata anew")

// varying are the parts of a screen that are never twice the same, and what is
// kept of them.
var varying = []struct {
	pattern *regexp.Regexp
	kept    string
}{
	{regexp.MustCompile(`[^\s:,()]*…[^\s:,()]*`), "…"}, // what of it is left depends on its length
	{regexp.MustCompile(`\b20\d{6}-\d{6}-[a-z0-9]{4}\b`), "ID"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z| UTC)?`), "TIME"},
	{regexp.MustCompile(`\b\d+:\d\d(:\d\d)?\b`), "TIME"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+(\.\d+)? ?(ms|s|seconds?|min|minutes?|hours?|h|days?)\b`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{8,64}\b`), "N"},
	{regexp.MustCompile(`\b(pid|process|processes|kill) \d+`), "$1 N"},
	{regexp.MustCompile(`\b\d[\d,]*(\.\d+)? ?(B|KiB|MiB|GiB|bytes)\b`), "SIZE"},
	{regexp.MustCompile(`\b\d[\d,]*(\.\d+)?( [a-z]+)? (keys?|objects?|entries|entry|records?|revisions?|writes?|pages?|values?)\b`), "N$2 $3"},
	{regexp.MustCompile(`\b(revision|index|entry|byte|offset|term|page) \d[\d,]*`), "$1 N"},
	{regexp.MustCompile(`\b\d{3,3}(,\d{3})+\b|\b\d{5,}\b`), "N"},
}

// Normal is a screen without what differs from one time to the next.
func Normal(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.kept)
	}
	return text
}

// Screens are an outcome's plans and session, to be read and kept.
func (o *Outcome) Screens() string {
	var b strings.Builder
	for _, width := range []int{80, 50} {
		fmt.Fprintf(&b, "== the plan, %d columns ==\n%s\n", width, o.Plans[width])
	}
	fmt.Fprintf(&b, "== the recovery, 80 columns ==\n%s", o.Session.Screen)
	return Normal(b.String())
}

// ErrNotKept says that no screens are kept yet of a disaster.
var ErrNotKept = errors.New("no screens are kept")

// Kept compares the screens with those that are kept in a directory. Where a
// number is longer than it was, a line breaks elsewhere: only words count.
func (o *Outcome) Kept(dir string) error {
	path := filepath.Join(dir, o.Disaster.Name+".txt")
	now := o.Screens()
	if *update {
		return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, []byte(now), 0o644))
	}
	kept, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w in %s: read these, and keep them with -update-screens\n%s", ErrNotKept, path, now)
	}
	if err != nil || words(string(kept)) == words(now) {
		return err
	}
	return fmt.Errorf("the screens aren't those of %s. They are:\n%s", path, now)
}

func words(text string) string { return Normal(strings.Join(strings.Fields(text), " ")) }
