// Package child runs what can't be trusted in processes of their own, the same
// binary again: a damaged file makes etcd's and bbolt's code panic in goroutines
// of their own, or end with a signal, and in a child either is a finding like
// any other.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is this very binary, even if it was replaced on disk, with the
// arguments that make it a child. A Ctrl-C goes to the terminal's whole
// foreground group: it is for the parent to heed, and were it to end the child,
// a file would look damaged.
func Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Tie has the child end with its parent, however that ends: the child calls
// EndWithParent.
func Tie(cmd *exec.Cmd) error {
	_, err := cmd.StdinPipe() // the parent never writes to it, and its end closes it
	return err
}

// EndWithParent ends the process when its parent ends.
func EndWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}

// Limit bounds the process's memory, in bytes, and if cpu isn't 0 its processor
// time, whatever a damaged file makes it do. The limit is on private memory:
// a mapped file doesn't count, and the address space says little of a Go
// program.
func Limit(memory uint64, cpu time.Duration) error {
	debug.SetMemoryLimit(int64(memory / 2))
	data := unix.Rlimit{Cur: memory, Max: memory}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &data); err != nil {
		return fmt.Errorf("limiting the memory: %w", err)
	}
	if cpu == 0 {
		return nil
	}
	seconds := unix.Rlimit{Cur: uint64(cpu / time.Second), Max: uint64(cpu / time.Second)}
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &seconds); err != nil {
		return fmt.Errorf("limiting the processor time: %w", err)
	}
	return nil
}

// LastWords is the line in which a child said why it ended: the Go runtime's,
// or else its first.
func LastWords(stderr string, waitErr error) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for _, line := range lines {
		for _, start := range []string{"panic: ", "fatal error: ", "unexpected fault address", "runtime: "} {
			if strings.HasPrefix(line, start) {
				return strings.TrimSpace(strings.TrimPrefix(line, "panic: "))
			}
		}
	}
	if lines[0] != "" {
		return lines[0]
	}
	return waitErr.Error()
}

// FromOutside reports whether somebody ended the child: an operator, or the
// kernel for want of memory. That tells nothing about a file; what a damaged
// file does to a child is a panic or a signal of its own making.
func FromOutside(waitErr error) bool {
	var exit *exec.ExitError
	if !errors.As(waitErr, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}
