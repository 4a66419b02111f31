// Package faults tries what full, failing and read-only disks, and screens that
// nobody reads, do to runs of the real binary.
package faults

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) {
	systemdhost.MainIn(m, systemdhost.Options{Name: "faults", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// finish runs a command to its end, whatever that is.
func finish(t *testing.T, cmd *exec.Cmd) program.Ended {
	t.Helper()
	ended, err := program.Run(cmd)
	must(t, err)
	return ended
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
