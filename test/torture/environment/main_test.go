// Package environment has the world around a run of the real binary change:
// systemd re-executes itself, units flap, etcd hangs or is another, the time
// zone is another one, the terminal is gone.
package environment

import (
	"context"
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
	systemdhost.MainIn(m, systemdhost.Options{Name: "environment", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// patience is how long to wait for what is bound to come.
const patience = time.Minute

// scene is a runbook with a state directory of its own.
type scene struct {
	*testing.T
	dir, book, binary string
}

func newScene(t *testing.T, book string) *scene {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	s := &scene{T: t, dir: t.TempDir(), binary: binary}
	s.book = filepath.Join(s.dir, "test.hcl")
	must(t, os.WriteFile(s.book, []byte("runbook \"test\" {}\n"+strings.ReplaceAll(book, "DIR", s.dir)), 0o600))
	return s
}

func (s *scene) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	s.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+filepath.Join(s.dir, "state"), "RUNBOOK_LOCK="+filepath.Join(s.dir, "lock"))
	return cmd
}

// runbook runs the binary and wants an exit code.
func (s *scene) runbook(code int, args ...string) program.Ended {
	s.Helper()
	return s.finish(code, s.command(args...))
}

func (s *scene) finish(code int, cmd *exec.Cmd) program.Ended {
	s.Helper()
	e, err := program.Run(cmd)
	must(s.T, err)
	if e.Code != code {
		s.Fatalf("%v: want exit code %d: %s", cmd.Args[1:], code, e)
	}
	return e
}

// running is the binary at work.
type running struct {
	*scene
	cmd *exec.Cmd
	out *os.File
}

func (s *scene) start(args ...string) *running {
	s.Helper()
	out, err := os.CreateTemp(s.dir, "out-")
	must(s.T, err)
	s.Cleanup(func() { _ = out.Close() })
	r := &running{scene: s, cmd: s.command(args...), out: out}
	r.cmd.Stdout, r.cmd.Stderr = out, out
	must(s.T, r.cmd.Start())
	return r
}

// shows waits until it has printed a text.
func (r *running) shows(text string) {
	r.Helper()
	await(r.T, "grep -qF '"+text+"' "+r.out.Name())
}

// ends waits for the end of it and wants an exit code.
func (r *running) ends(code int) string {
	r.Helper()
	_ = r.cmd.Wait() // the code tells
	out, err := os.ReadFile(r.out.Name())
	must(r.T, err)
	if got := program.Code(r.cmd.ProcessState); got != code {
		r.Fatalf("exit code %d, want %d\n%s", got, code, out)
	}
	return string(out)
}

func (s *scene) contains(text string, parts ...string) {
	s.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), p) {
			s.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

// sh runs a shell script, which has to succeed, and returns what it printed.
func sh(t *testing.T, script string) string {
	t.Helper()
	// What is to be undone is undone when the test's own context has ended.
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// await waits until a shell script succeeds.
func await(t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for exec.Command("sh", "-ec", script).Run() != nil {
		select {
		case <-ctx.Done():
			t.Fatalf("after %v this still isn't so: %s", patience, script)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
