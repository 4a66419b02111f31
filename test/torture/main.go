// Command torture tries to break every promise, in every way that the tests below
// test/torture and the contract suite know, and prints what it tried.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"runbook/test/torture/tally"
)

func main() {
	run := flag.String("run", "", "only the tests that match this `expression`")
	out := flag.String("o", "bin/torture.json", "keep all that the tests print in this `file`")
	flag.Parse()
	packages, err := flag.Args(), error(nil)
	if len(packages) == 0 {
		packages, err = counting()
	}
	violations := 0
	if err == nil {
		violations, err = torture(packages, *run, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || violations > 0 {
		os.Exit(1)
	}
}

// counting lists the packages whose tests count what they try.
func counting() ([]string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{.Name}} {{.TestImports}} {{.XTestImports}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		path, imports, _ := strings.Cut(line, " ")
		if strings.Contains(imports, "runbook/test/torture/tally") || strings.Contains(imports, "runbook/test/contract") {
			all = append(all, path)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(turn(a), turn(b)) })
	return all, nil
}

// turn is when a package's tests are run: first those that take longest, so that
// none of them is left to run alone at the end.
func turn(pkg string) int {
	longest := []string{
		"runbook/actions", "runbook/test/torture/kill", "runbook/test/torture/journal", "runbook/test/torture/faults",
		"runbook/test/torture/security", "runbook/test/e2e", "runbook/test/torture/power", "runbook/test/torture/fuzz",
	}
	if i := slices.Index(longest, pkg); i >= 0 {
		return i
	}
	return len(longest)
}

// torture runs the tests and returns how many failed. Two packages at a time, and
// of each four tests: one that waits leaves room for another.
func torture(packages []string, run, out string) (violations int, err error) {
	log, err := os.Create(out)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	args := []string{"test", "-json", "-count=1", "-p=2", "-parallel=4", "-timeout=0"}
	if run != "" {
		args = append(args, "-run="+run)
	}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Env = append(os.Environ(), tally.FullEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	s := newSummary(os.Stderr)
	if err := s.follow(io.TeeReader(stdout, log)); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	s.table(os.Stdout)
	if err != nil && len(s.failed) == 0 {
		return 0, fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return len(s.failed), nil
}

// event is what `go test -json` prints, a line each.
type event struct {
	Action, Package, Test, Output string
}

type row struct {
	part, what string
	tried      int
}

type summary struct {
	progress io.Writer
	begun    time.Time
	rows     []row
	failed   []string
	said     map[string][]string // by test, what it printed, for one that fails
}

func newSummary(progress io.Writer) *summary {
	return &summary{progress: progress, begun: time.Now(), said: map[string][]string{}}
}

func (s *summary) follow(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("go test printed %q: %w", lines.Text(), err)
		}
		s.add(e)
	}
	return lines.Err()
}

func (s *summary) add(e event) {
	test := part(e.Package) + " " + e.Test
	switch e.Action {
	case "run":
		if !strings.Contains(e.Test, "/") {
			s.say("%s", test)
		}
	case "output":
		s.said[test] = append(s.said[test], e.Output)
		if what, n, ok := tally.Parse(strings.TrimSuffix(e.Output, "\n")); ok {
			s.count(part(e.Package), what, n)
		}
	case "pass", "skip":
		delete(s.said, test)
	case "fail":
		if s.told(test, e.Test == "") {
			return
		}
		s.failed = append(s.failed, test)
		s.say("VIOLATED: %s\n%s", test, strings.Join(s.said[test], ""))
	}
}

// told reports whether a test or a package fails only because a test in it does.
func (s *summary) told(test string, pkg bool) bool {
	if !pkg {
		test += "/"
	}
	return slices.ContainsFunc(s.failed, func(f string) bool { return strings.HasPrefix(f, test) })
}

func (s *summary) count(part, what string, n int) {
	i := slices.IndexFunc(s.rows, func(r row) bool { return r.part == part && r.what == what })
	if i < 0 {
		s.rows = append(s.rows, row{part: part, what: what})
		i = len(s.rows) - 1
	}
	s.rows[i].tried += n
	s.say("  %d %s", s.rows[i].tried, what)
}

func (s *summary) say(format string, args ...any) {
	fmt.Fprintf(s.progress, "%8s  %s\n", time.Since(s.begun).Round(time.Second), fmt.Sprintf(format, args...))
}

func (s *summary) table(w io.Writer) {
	fmt.Fprintf(w, "\nseed %d, %s\n\n", tally.Seed(), time.Since(s.begun).Round(time.Second))
	slices.SortStableFunc(s.rows, func(a, b row) int { return strings.Compare(a.part, b.part) })
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| Part\t| Tried\t| What\t|")
	fmt.Fprintln(tw, "|---\t|---:\t|---\t|")
	for _, r := range s.rows {
		fmt.Fprintf(tw, "| %s\t| %d\t| %s\t|\n", r.part, r.tried, r.what)
	}
	tw.Flush()
	fmt.Fprintf(w, "\nViolations: %d\n", len(s.failed))
	for _, f := range s.failed {
		fmt.Fprintf(w, "  %s\n", strings.TrimSpace(f))
	}
}

// part is a package's name without its path.
func part(pkg string) string { return pkg[strings.LastIndexByte(pkg, '/')+1:] }
