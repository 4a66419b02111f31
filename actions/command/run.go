package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// run has a watcher run a program, and returns the attempt once it has ended.
func (l *locked) run(ctx context.Context, o order, r engine.Reporter) (*attempt, error) {
	o.Secrets = l.rec.secrets
	data, err := json.Marshal(o)
	if err != nil {
		return nil, engine.Errorf("command "+o.Argv[0], "encoding: %w", err)
	}
	var complaint bytes.Buffer
	cmd := exec.Command("/proc/self/exe", childArgument)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), &complaint
	cmd.ExtraFiles = []*os.File{l.file} // its lockFD
	cmd.Env, cmd.Dir = []string{"PATH=" + plainPath}, "/"
	// Ctrl-C and the end of the terminal are runbook's to hear.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, engine.Errorf("command "+o.Argv[0], "starting its watcher: %w", err)
	}
	var left atomic.Bool
	defer context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		time.AfterFunc(grace+5*time.Second, func() { left.Store(true); _ = out.Close() })
	})()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.Progress(engine.Progress{Doing: lines.Text()})
	}
	if left.Load() { // a program that not even SIGKILL ends
		return l.ended(ctx, o, "")
	}
	_ = cmd.Wait() // the record tells
	return l.ended(ctx, o, strings.TrimSpace(complaint.String()))
}

// ended reads the record that the watcher has left.
func (l *locked) ended(ctx context.Context, o order, complaint string) (*attempt, error) {
	at, err := read(o.Record, l.rec.secrets)
	switch {
	case err == nil && at.Ended != nil:
		return at, nil
	case ctx.Err() != nil && at.running():
		return nil, at.undead(context.Cause(ctx))
	case ctx.Err() != nil && errors.Is(err, fs.ErrNotExist):
		return nil, engine.Errorf("command "+o.Argv[0], "it wasn't begun: %w", context.Cause(ctx))
	case errors.Is(err, fs.ErrNotExist):
		return nil, engine.Errorf("command "+o.Argv[0], "its watcher didn't begin it: %s", complaint)
	case err != nil:
		return nil, engine.Errorf(o.Record, "the command was begun, and how it ended can't be read: %w", err).
			WithHint("Resume the run: it finds out, and doesn't repeat what was done.")
	}
	return nil, wasCutOff(o.Argv[0], ": "+complaint)
}

// wasCutOff says that nobody saw a program's end.
func wasCutOff(program, complaint string) error {
	return engine.Errorf("command "+program, "it was begun, and its watcher was killed before it ended%s", complaint).
		WithHint("Find out whether it has done its work before you resume; the kernel's log tells whether memory ran out.")
}

const plainPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// path is the PATH that the program gets.
func (a *command) path() string {
	if path, ok := a.Environment["PATH"]; ok {
		return path
	}
	return plainPath
}

// env is the whole environment of the program.
func (a *command) env() []string {
	home := "/"
	if u, err := user.Current(); err == nil {
		home = u.HomeDir
	}
	env := []string{"PATH=" + plainPath, "HOME=" + home, "LANG=C.UTF-8"}
	for name, value := range a.Environment {
		env = append(env, name+"="+value) // of two with one name the last counts
	}
	return env
}

func (a *command) order(argv []string, record string) (order, error) {
	program, err := find(argv[0], a.path(), statNow)
	return order{
		Program: program, Argv: argv, Env: a.env(), Dir: a.Directory,
		Timeout: time.Duration(a.Timeout) * time.Second, Record: record,
	}, err
}

// find looks a program up in path, a list of directories.
func find(name, path string, look func(string) (engine.PathFact, error)) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = nil
		for _, dir := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, candidate := range candidates {
		if !filepath.IsAbs(candidate) {
			continue
		}
		fact, err := look(candidate)
		if err != nil {
			return "", err
		}
		if fact.Exists && fact.Type == engine.TypeFile && fact.Mode&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", engine.Errorf(name, "there is no such program").
		WithHint("Looked for an executable file: %s.", strings.Join(candidates, ", ")).WithAttribute("argv")
}

// statNow is a fact of the host as it is, with symbolic links followed.
func statNow(path string) (engine.PathFact, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return engine.PathFact{}, nil // what can't be seen can't be run
	}
	return engine.PathFact{Exists: true, Type: engine.TypeFile, Mode: uint32(info.Mode().Perm())}, nil
}

// missing reports whether the program should have created what isn't there.
func (a *command) missing() (bool, error) {
	if a.Creates == nil {
		return false, nil
	}
	_, err := os.Lstat(*a.Creates)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return true, nil
	}
	if err != nil {
		return false, &engine.Error{Where: *a.Creates, Err: err}
	}
	return false, nil
}

// nothingToDo reports whether the program need not be started. last is an
// attempt whose end nobody saw or that failed, or nil.
func (a *command) nothingToDo(ctx context.Context, last *attempt) (bool, error) {
	if err := last.survived(); err != nil {
		return false, err
	}
	if missing, err := a.missing(); err != nil || a.Creates != nil && !missing {
		return err == nil, err
	}
	if last != nil && len(a.Probe) > 0 {
		if done, err := a.ask(ctx, "probe", a.Probe); err != nil || done {
			return done, err
		}
	}
	if len(a.Unless) > 0 {
		return a.ask(ctx, "unless", a.Unless)
	}
	return false, nil
}

// ask runs a program that only looks, and reports whether it exits with 0.
func (a *command) ask(ctx context.Context, attribute string, argv []string) (bool, error) {
	o, err := a.order(argv, "")
	if err != nil {
		return false, err
	}
	// The kernel ends it with the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.Program, argv[1:]...)
	cmd.Args, cmd.Env, cmd.Dir, cmd.WaitDelay = argv, o.Env, o.Dir, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() && ctx.Err() == nil {
		return false, nil
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return false, engine.Errorf(attribute+" "+argv[0], "it doesn't tell whether there is something to do: %w", errors.Join(err, ctx.Err())).
			WithHint("Run it by hand and see.").WithAttribute(attribute)
	}
	return true, nil
}
