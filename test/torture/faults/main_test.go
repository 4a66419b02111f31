// Package faults tries what full, failing and read-only disks, and screens that
// nobody reads, do to runs of the real binary.
package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) {
	systemdhost.MainIn(m, systemdhost.Options{Name: "faults", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// build builds the binary once for all tests. The host that they run in goes
// away with it.
var build = sync.OnceValues(func() (string, error) {
	const path = "/tmp/runbook"
	cmd := exec.Command("go", "build", "-o", path, "./cmd/runbook")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// What the binary exits with, as docs/operations.md has it.
const (
	done    = 0
	failed  = 1
	stopped = 3
	waiting = 4
)

// said is what a command printed and exited with.
type said struct {
	out, err string
	code     int
}

func (s said) String() string { return fmt.Sprintf("exit code %d\n%s%s", s.code, s.out, s.err) }

// finish runs a command to its end, whatever that is.
func finish(t *testing.T, cmd *exec.Cmd) said {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{out: out.String(), err: errs.String(), code: codeOf(cmd.ProcessState)}
}

// codeOf is as a shell has it: 128 and the signal's number for a process that
// was killed.
func codeOf(st *os.ProcessState) int {
	if ws := st.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sh runs a shell script, which has to succeed, and returns what it printed.
func sh(t *testing.T, script string) string {
	t.Helper()
	// What is put back after a test is so after its own context.
	out, err := exec.CommandContext(context.Background(), "sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}
