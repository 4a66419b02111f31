// Package security lets somebody without privileges work against a run of the
// real binary, and searches what a run leaves for what it must not.
package security

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/test/program"
	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == tellerName {
		teller(os.Args[1:])
	}
	if os.Getenv(exchangeEnv) != "" {
		exchange(strings.Split(os.Getenv(exchangeEnv), ":"))
	}
	systemdhost.MainIn(m, systemdhost.Options{Name: "security", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// patience is how long to wait for what is bound to come.
const patience = time.Minute

// mallory is a user without privileges.
const mallory = 4711

// scene is a directory with a runbook and a state directory of its own.
type scene struct {
	*testing.T
	dir, book, binary string
	env               []string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // mallory is to get there
	// In memory: what is synced here nobody has to wait for.
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size=1g"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return &scene{T: t, dir: dir, book: filepath.Join(dir, "test.hcl"), binary: binary}
}

// write makes the scene's runbook of its steps.
func (s *scene) write(steps string) { s.writeHeaded("", steps) }

// writeHeaded is write with something in the block that heads the runbook.
func (s *scene) writeHeaded(head, steps string) {
	s.Helper()
	must(s.T, os.WriteFile(s.book, []byte("runbook \"test\" {"+head+"}\n"+strings.ReplaceAll(steps, "DIR", s.dir)), 0o600))
}

func (s *scene) state() string { return filepath.Join(s.dir, "state") }

func (s *scene) command(name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	s.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), append([]string{"RUNBOOK_STATE_DIR=" + s.state(), "RUNBOOK_LOCK=" + filepath.Join(s.dir, "lock")}, s.env...)...)
	return cmd
}

// try runs the binary, whatever it exits with.
func (s *scene) try(args ...string) program.Ended {
	s.Helper()
	e, err := program.Run(s.command(s.binary, args...))
	must(s.T, err)
	return e
}

// runbook runs the binary and wants an exit code.
func (s *scene) runbook(code int, args ...string) program.Ended {
	s.Helper()
	e := s.try(args...)
	if e.Code != code {
		s.Fatalf("%v: want exit code %d: %s", args, code, e)
	}
	return e
}

// sh runs a shell script, which has to succeed, and returns what it printed.
func sh(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %v this still isn't so: %s", patience, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
