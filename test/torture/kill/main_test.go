// Package kill runs the real binary and kills it, everywhere.
package kill

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"runbook/test/systemdhost"
)

// atOnce is how many runs there are at a time. One mostly waits: for systemd, for
// a program, for the tracer.
const atOnce = 4

func TestMain(m *testing.M) {
	_ = flag.Lookup("test.parallel").Value.Set(strconv.Itoa(atOnce)) // it is a number
	systemdhost.MainIn(m, systemdhost.Options{Name: "kill", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// A host is the machine that the tests run on, with the binary to kill and a
// runbook to carry out.
type host struct {
	*testing.T
	ctx       context.Context
	binary    string
	env       []string // beside this process's own
	dir, book string
}

func newHost(t *testing.T) *host {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return &host{T: t, ctx: t.Context(), binary: binary}
}

// in is the host for a subtest.
func (h *host) in(t *testing.T) *host {
	own := *h
	own.T, own.ctx = t, t.Context()
	return &own
}

// keepsIn has the binary keep its state in dir, with a lock of its own, so that
// runs don't stand in each other's way.
func (h *host) keepsIn(dir, book string, variables ...string) {
	h.dir, h.book = dir, book
	h.env = []string{"RUNBOOK_STATE_DIR=" + dir + "/state", "RUNBOOK_LOCK=" + dir + "/lock"}
	for _, v := range variables {
		h.env = append(h.env, "RUNBOOK_VAR_"+v)
	}
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

// sh runs a shell script, which has to succeed, and returns what it printed.
func (h *host) sh(script string) string {
	h.Helper()
	code, out := h.exec("sh", "-ec", script)
	if code != 0 {
		h.Fatalf("%s: exit code %d\n%s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// atEnd runs a shell script after the test, whose own context has ended by then.
func (h *host) atEnd(script string) {
	h.Cleanup(func() { h.ctx = context.Background(); h.sh(script) })
}

// exec runs a program and returns its exit code, and all that it printed.
func (h *host) exec(name string, args ...string) (code int, out string) {
	h.Helper()
	cmd := exec.CommandContext(h.ctx, name, args...)
	cmd.Env = append(os.Environ(), h.env...)
	text, err := cmd.CombinedOutput()
	return exitCode(err), string(text)
}

const killed = 128 + int(syscall.SIGKILL)

// exitCode is as a shell has it: 128 and the signal's number for a process
// that was killed.
func exitCode(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if err != nil {
			return -1
		}
		return 0
	}
	if st := exit.Sys().(syscall.WaitStatus); st.Signaled() {
		return 128 + int(st.Signal())
	}
	return exit.ExitCode()
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) write(path, text string) {
	h.Helper()
	h.must(os.WriteFile(path, []byte(text), 0o644))
}

func (h *host) read(path string) string {
	h.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		h.Fatal(err)
	}
	return string(text)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
