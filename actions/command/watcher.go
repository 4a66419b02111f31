package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// childArgument makes this binary a watcher.
const childArgument = "watch-command"

// lockFD is where a watcher finds the record's lock.
const lockFD = 3

// grace is what a program has between SIGTERM and SIGKILL.
const grace = 10 * time.Second

// order is what a watcher is told on its standard input. A torn order, of
// somebody who was killed while giving it, is never begun.
type order struct {
	Program string        `json:"program"`
	Argv    []string      `json:"argv"`
	Env     []string      `json:"env"`
	Dir     string        `json:"dir"`
	Stdin   string        `json:"stdin"`
	Timeout time.Duration `json:"timeout"`
	Record  string        `json:"record"`
	// Secrets are not to be in the record, nor in what is told of the output.
	Secrets engine.Secrets `json:"secrets,omitempty"`
}

// ChildMain does a watcher's work where args (os.Args[1:]) ask for it, and
// reports whether they did; the process then has to exit. Every binary that
// uses this package, tests included, calls it first thing in main.
func ChildMain(args []string) bool {
	if len(args) != 1 || args[0] != childArgument {
		return false
	}
	if err := watch(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// watch starts a program and records its end, whatever becomes of who asked
// for it.
func watch(in io.Reader, out io.Writer) error {
	// The kernel ends the program with the thread that has started it.
	runtime.LockOSThread()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	// Not ignored, which the program would inherit: who reads the progress may
	// be gone.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	unix.CloseOnExec(lockFD) // what the program leaves behind must not hold it
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("the order is incomplete: %w", err)
	}
	at := &attempt{path: o.Record, Begun: time.Now().UTC(), Boot: bootID(), Watcher: os.Getpid()}
	if err := at.save(); err != nil {
		return err
	}
	at.Ended = carryOut(o, at, stop, out)
	return at.save()
}

// carryOut runs the program to its end.
func carryOut(o order, at *attempt, stop <-chan os.Signal, out io.Writer) *end {
	stdout, stderr := &relay{to: out, secrets: o.Secrets}, &relay{to: out, secrets: o.Secrets}
	cmd := &exec.Cmd{
		Path: o.Program, Args: o.Argv, Env: o.Env, Dir: o.Dir, Stdin: strings.NewReader(o.Stdin),
		Stdout: stdout, Stderr: stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL},
		WaitDelay:   time.Second, // for output that something in the background holds open
	}
	if err := cmd.Start(); err != nil {
		return &end{At: time.Now().UTC(), Error: o.Secrets.Hide(err.Error())}
	}
	at.PID, at.Start = cmd.Process.Pid, startOf(cmd.Process.Pid)
	recording := at.save()
	why := ""
	if recording == nil {
		why = supervise(cmd, o.Timeout, stop)
	} else { // somebody who comes later couldn't find it
		why = "its process couldn't be recorded: " + recording.Error()
		kill(cmd.Process.Pid, waiting(cmd))
	}
	e := &end{At: time.Now().UTC(), Code: cmd.ProcessState.ExitCode(), Stopped: why, Stdout: stdout.text(), Stderr: stderr.text()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = unix.SignalName(ws.Signal())
	}
	return e
}

// supervise waits for the program's end, and brings it about where it has to.
// It returns why it had to.
func supervise(cmd *exec.Cmd, timeout time.Duration, stop <-chan os.Signal) string {
	done := waiting(cmd)
	late := time.NewTimer(timeout)
	defer late.Stop()
	var why string
	select {
	case <-done:
		return ""
	case <-late.C:
		why = fmt.Sprintf("it was not done within timeout_seconds, %s", timeout)
	case <-stop:
		why = "it was ended on request"
	}
	kill(cmd.Process.Pid, done)
	return why
}

func waiting(cmd *exec.Cmd) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the state tells how it ended
	}()
	return done
}

// kill ends a process group, by request first.
func kill(group int, done <-chan struct{}) {
	_ = unix.Kill(-group, unix.SIGTERM) // it may have ended
	select {
	case <-done:
	case <-time.After(grace):
	}
	_ = unix.Kill(-group, unix.SIGKILL) // what is left of it, if anything
	<-done
}

// failure describes an attempt that didn't succeed.
func (at *attempt) failure(program string) error {
	where, e := "command "+program, at.Ended
	said := lastLines(e.Stderr)
	if said == "" {
		said = lastLines(e.Stdout)
	}
	if said != "" {
		said = "; it last said:\n" + said
	}
	switch {
	case e.Error != "":
		return engine.Errorf(where, "it couldn't be started: %w", errors.New(e.Error)).
			WithHint("Is it there, executable, and made for this machine?").WithAttribute("argv")
	case e.Stopped != "":
		return engine.Errorf(where, "%s%s", e.Stopped, said).WithHint("What it wrote is in %s.", at.path)
	case e.Signal != "":
		return engine.Errorf(where, "it was killed by %s%s", e.Signal, said).
			WithHint("The kernel's log tells whether memory ran out. What it wrote is in %s.", at.path)
	}
	return engine.Errorf(where, "it ended with exit code %d%s", e.Code, said).WithHint("What it wrote is in %s.", at.path)
}
