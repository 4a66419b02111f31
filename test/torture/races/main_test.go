// Package races has several processes of the real binary work on one machine at
// once, and on what dead ones have left.
package races

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/test/program"
	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) {
	systemdhost.MainIn(m, systemdhost.Options{Name: "races", Disk: []string{"/tmp", "/var/lib"}})
}

// patience is how long to wait for what is bound to come.
const patience = time.Minute

// scene is a directory with a runbook and a state directory of its own, and a
// ledger in which each effect of a step is a line.
type scene struct {
	*testing.T
	dir, book, binary string
}

func newScene(t *testing.T, steps string) *scene {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	s := &scene{T: t, dir: t.TempDir(), binary: binary}
	s.book = s.path("test.hcl")
	must(t, os.WriteFile(s.book, []byte("runbook \"test\" {}\n"+strings.ReplaceAll(steps, "DIR", s.dir)), 0o600))
	return s
}

// waits is a step that enters itself in the ledger and then waits for a file.
const waits = `
step "command" "waits" {
  argv  = ["sh", "-c", "echo waits >>DIR/ledger; until test -e DIR/go; do sleep 0.02; done"]
  probe = ["false"]
}
`

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) touch(name string) {
	s.Helper()
	must(s.T, os.WriteFile(s.path(name), nil, 0o600))
}

func (s *scene) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	s.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+s.path("state"), "RUNBOOK_LOCK="+s.path("lock"))
	return cmd
}

// runbook runs the binary and wants an exit code.
func (s *scene) runbook(code int, args ...string) program.Ended {
	s.Helper()
	e, err := program.Run(s.command(s.binary, args...))
	must(s.T, err)
	if e.Code != code {
		s.Fatalf("%v: want exit code %d: %s", args, code, e)
	}
	return e
}

// contender is one of several processes that are started at once.
type contender struct {
	cmd  *exec.Cmd
	done chan program.Ended
	args []string
}

func (s *scene) start(args ...string) *contender {
	s.Helper()
	c := &contender{cmd: s.command(s.binary, args...), done: make(chan program.Ended, 1), args: args}
	var out, said strings.Builder
	c.cmd.Stdout, c.cmd.Stderr = &out, &said
	must(s.T, c.cmd.Start())
	go func() {
		_ = c.cmd.Wait() // the state tells
		c.done <- program.Ended{Stdout: out.String(), Stderr: said.String(), Code: program.Code(c.cmd.ProcessState)}
	}()
	return c
}

func (c *contender) end(t *testing.T) program.Ended {
	t.Helper()
	select {
	case e := <-c.done:
		return e
	case <-time.After(patience):
		t.Fatalf("%v hasn't ended", c.args)
	}
	return program.Ended{}
}

// ledger is how often each effect was had.
func (s *scene) ledger() map[string]int {
	s.Helper()
	text, err := os.ReadFile(s.path("ledger"))
	if !os.IsNotExist(err) {
		must(s.T, err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(text)) {
		count[strings.TrimSpace(line)]++
	}
	return count
}

// run is one of `list --json`.
type run struct {
	ID, Status string
	Busy       bool
}

func (s *scene) list() []run {
	s.Helper()
	var list struct{ Runs []run }
	must(s.T, json.Unmarshal([]byte(s.runbook(program.Done, "list", "--json").Stdout), &list))
	return list.Runs
}

func (s *scene) contains(text string, parts ...string) {
	s.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), p) {
			s.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// await waits until something is so.
func (s *scene) await(what string, so func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("after %v this still isn't so: %s", patience, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
