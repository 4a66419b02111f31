package diagnose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"runbook/actions/etcd/child"
	"runbook/engine"
)

// childArgument is the hidden first argument that makes the binary a child.
const childArgument = "__diagnose-etcd"

// The tasks of a child.
const (
	taskDB   = "db"
	taskWAL  = "wal"
	taskSnap = "snap"
)

// The limits of a child: of its memory beside what grows with the file, and
// of its time. childTime is a variable for tests.
const childMemory = 1 << 30

var childTime = 10 * time.Minute

// crashed says that a child ended before its answer: the file is at fault, or
// the reading is.
type crashed struct{ reason string }

func (c *crashed) Error() string { return c.reason }

// Unreadable reports whether an error of a reading is the file's fault. Where
// it isn't, nothing is known of the file.
func Unreadable(err error) bool {
	var end *crashed
	return errors.As(err, &end)
}

// inChild runs a task on path in a process of its own and decodes its answer
// into out. Its error is a *crashed where the child ended by itself.
func inChild(ctx context.Context, task, path string, out any) error {
	return inChildWith(ctx, nil, task, path, out)
}

// inChildWith is inChild with more in the child's environment.
func inChildWith(ctx context.Context, environ []string, task, path string, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, childTime, fmt.Errorf("reading took longer than %v", childTime))
	defer cancel()
	cmd := child.Command(ctx, childArgument, task, path)
	cmd.Env = append(cmd.Env, environ...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := child.Tie(cmd)
	if err == nil {
		err = cmd.Run()
	}
	if err := verdict(ctx, path, err, stderr.String()); err != nil {
		return err
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		return &crashed{"its answer can't be understood: " + err.Error()}
	}
	return nil
}

// verdict tells a child that a file brought down from one that was ended, or
// never began.
func verdict(ctx context.Context, path string, err error, stderr string) error {
	const unsaid = "This says nothing about the file. "
	var exit *exec.ExitError
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return context.Cause(ctx)
	case ctx.Err() != nil:
		return engine.Errorf(path, "it can't be told what is in it: %w", context.Cause(ctx)).
			WithHint(unsaid + "Is the disk slow, or the host busy? Then try again.")
	case err == nil:
		return nil
	case child.FromOutside(err):
		return engine.Errorf(path, "it can't be told what is in it: its reader was ended from outside: %w", err).
			WithHint(unsaid + "Was the host out of memory (dmesg)? Then try again.")
	case !errors.As(err, &exit):
		return engine.Errorf(path, "it can't be told what is in it: its reader can't be run: %w", err).
			WithHint(unsaid + "Has the host room for another process, and memory? Then try again.")
	}
	return &crashed{child.LastWords(stderr, err)}
}

// ChildMain does a child's work where args, the process's arguments without
// its name, ask for it, and reports whether they did.
func ChildMain(args []string) bool {
	if len(args) != 3 || args[0] != childArgument {
		return false
	}
	child.EndWithParent()
	if err := carryOut(args[1], args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func carryOut(task, path string, stdout io.Writer) error {
	if err := limit(path); err != nil {
		return err
	}
	var answer any
	var err error
	switch task {
	case taskDB:
		answer, err = readDB(path)
	case taskWAL:
		answer, err = readWAL(path)
	case taskSnap:
		answer, err = readSnaps(path)
	case taskLoss:
		answer, err = findLoss(path)
	case taskTips:
		answer, err = readTips(path)
	case taskKin:
		answer, err = findKin(path)
	default:
		err = fmt.Errorf("unknown task %q", task)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(answer)
}

// limit bounds the child's memory and processor time, whatever the file makes
// it do.
func limit(path string) error {
	most := uint64(childMemory)
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
		most += uint64(st.Size())
	}
	return child.Limit(most, childTime)
}
