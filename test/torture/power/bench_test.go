package power

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine/run"
	"runbook/test/program"
)

// bench is where runs are recorded and go on: a disk at root with the state
// directory and the work on it, and the binary beside it.
type bench struct {
	binary  string
	runbook string   // the file
	args    []string // for run
	root    string
	began   time.Time // what was there before the runs has an earlier time
}

const (
	stateDir = "/state"
	workDir  = "/work"
)

func newBench(t *testing.T, runbook string) *bench {
	t.Helper()
	binary, err := program.Build()
	must(t, "build", err)
	file, err := filepath.Abs(filepath.Join("testdata", runbook))
	must(t, "runbook", err)
	b := &bench{binary: binary, runbook: file, root: filepath.Join(t.TempDir(), "disk")}
	must(t, "disk", os.Mkdir(b.root, 0o755))
	t.Cleanup(func() { _ = unix.Unmount(b.root, unix.MNT_DETACH) }) // it ends with the thread anyway
	b.args = []string{"--var", "dir=" + b.root + workDir}
	return b
}

func (b *bench) store() run.Store { return run.Store{Dir: b.root + stateDir} }

// within is how long a command may take on a busy machine.
const within = 2 * time.Minute

// told is what the product sees of a file's time of birth: nothing. A tree
// can't be laid out with the times of birth that it had; the numbers of its
// inodes do.
var told = []string{"-e", "inject=statx:poke_exit=@arg5=ff170000"}

// command is a run of the binary under strace.
func (b *bench) command(ctx context.Context, strace []string, args ...string) *exec.Cmd {
	args = append(append([]string{b.binary}, args...), "--state-dir", b.root+stateDir)
	all := append(append([]string{"-f", "--seccomp-bpf", "-qqq", "-e", "signal=none"}, strace...), told...)
	cmd := exec.CommandContext(ctx, "strace", append(all, args...)...)
	cmd.Dir = filepath.Dir(b.root)
	cmd.Env = append(os.Environ(), "RUNBOOK_LOCK=", "RUNBOOK_LOG=")
	return cmd
}

// goOn runs the binary, and returns its exit code and what it printed.
func (b *bench) goOn(t testing.TB, args ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := b.command(ctx, []string{"-o", os.DevNull, "-e", "trace=statx"}, args...)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), string(out)
	}
	must(t, "runbook "+strings.Join(args, " "), errors.Join(err, ctx.Err()))
	return 0, string(out)
}

// record runs the binary, which has to succeed, and returns the calls that it
// made, and the file that was its screen.
func (b *bench) record(t testing.TB, args ...string) (calls []call, screen string) {
	t.Helper()
	dir := t.TempDir()
	trace, screen := filepath.Join(dir, "trace"), filepath.Join(dir, "screen")
	out, err := os.Create(screen)
	must(t, "screen", err)
	defer out.Close()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := b.command(ctx, []string{"-y", "-xx", "-s", "2097152", "-o", trace, "-e", "trace=statx," + traced}, append(args, "--json")...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(screen)
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, stderr.String(), text)
	}
	calls, err = readTrace(trace)
	must(t, "trace", err)
	return calls, screen
}
