package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"runbook/test/etcdhost"
	"runbook/test/systemdhost"
)

// A story is told in chapters that run commands on a host.
type story struct {
	out      io.Writer
	chapters int
	host     *systemdhost.Host
	etcd     *etcdhost.Etcd
	before   etcdhost.Digest // what etcd held before the disaster
	began    time.Time
	broken   time.Time // when etcd failed
}

// chapter begins a chapter.
func (s *story) chapter(title, text string) {
	s.chapters++
	title = fmt.Sprintf("%d. %s", s.chapters, title)
	fmt.Fprintf(s.out, "\n%s\n%s\n%s\n", title, strings.Repeat("─", utf8.RuneCountInString(title)), text)
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.out, "\n"+format+"\n", args...)
}

// run shows a command line, runs it on the host and shows what it prints.
func (s *story) run(ctx context.Context, line string) error {
	return s.fails(ctx, 0, line)
}

// runAll is run for several command lines.
func (s *story) runAll(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if err := s.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// fails is run for a command that has to end with an exit code.
func (s *story) fails(ctx context.Context, code int, line string) error {
	fmt.Fprintf(s.out, "\n  cp1# %s\n", line)
	cmd := s.host.Command(ctx, "sh", "-c", "cd /root && "+line)
	out := &indented{to: s.out, start: true}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: it was stopped: %w", line, ctx.Err())
	}
	got, err := codeOf(err)
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	if got != code {
		return fmt.Errorf("%s: it ended with exit code %d, not %d", line, got, code)
	}
	return nil
}

// codeOf is a command's exit code as a shell has it.
func codeOf(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// indented sets what is written apart from the story.
type indented struct {
	to    io.Writer
	start bool // at the start of a line
}

func (w *indented) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if w.start {
			line = "  " + line
		}
		w.start = strings.HasSuffix(line, "\n")
		if _, err := io.WriteString(w.to, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
