// Package program builds the product's binary and runs it, for tests that are
// to see what a user sees.
package program

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// What the binary exits with, as docs/operations.md has it.
const (
	Done       = 0
	Failed     = 1
	Changes    = 2
	Stopped    = 3
	Waits      = 4
	RolledBack = 5
	Locked     = 6
	Killed     = 128 + int(syscall.SIGKILL)
)

// Path is where Build puts the binary. It stays there for the next process: go
// build leaves one that is up to date alone.
var Path = filepath.Join(os.TempDir(), fmt.Sprintf("runbook-%d", os.Getuid()), "runbook")

// Build builds the binary, once in a process, and returns its path.
var Build = sync.OnceValues(func() (string, error) {
	// The package is named by its path, so this works wherever a test is.
	cmd := exec.Command("go", "build", "-o", Path, "runbook/cmd/runbook")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building runbook: %w\n%s", err, out)
	}
	return Path, nil
})

// Ended is what a command printed and exited with. A code is as a shell has
// it: 128 and the signal's number for a process that was killed.
type Ended struct {
	Stdout, Stderr string
	Code           int
}

func (e Ended) String() string { return fmt.Sprintf("exit code %d\n%s%s", e.Code, e.Stdout, e.Stderr) }

// Run runs a command to its end, whatever that is, and returns an error where
// it couldn't be run. What the command has been given as output is used.
func Run(cmd *exec.Cmd) (Ended, error) {
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Ended{}, err
	}
	return Ended{Stdout: stdout.String(), Stderr: stderr.String(), Code: Code(cmd.ProcessState)}, nil
}

// Code is what a process exited with.
func Code(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}
