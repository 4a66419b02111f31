// Package input gives the real binary what nobody would write on purpose:
// runbooks, files and arguments that are wrong, endless, huge or made to deceive.
package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// How much memory and time of a processor the binary may take for whatever it is
// given. The kernel holds it to that.
const (
	mostMemory = 512 << 20
	mostCPU    = 60 * time.Second
	// patience is against hanging without taking any time.
	patience = 10 * time.Minute
)

// boundEnv makes the test binary run what is named in its arguments within the
// bounds, and write to the third descriptor how much memory that took at most.
const boundEnv = "RUNBOOK_TEST_BOUND"

func TestMain(m *testing.M) {
	if os.Getenv(boundEnv) != "" {
		os.Exit(within(os.Args[1:]))
	}
	code := m.Run()
	_ = os.RemoveAll(builtIn) // what can't be removed is in the directory for such things
	os.Exit(code)
}

// within returns the exit code, or that of a shell for what a signal has ended.
func within(argv []string) int {
	memory := unix.Rlimit{Cur: mostMemory, Max: mostMemory}
	cpu := unix.Rlimit{Cur: uint64(mostCPU.Seconds()), Max: uint64(mostCPU.Seconds())}
	err := errors.Join(unix.Setrlimit(unix.RLIMIT_DATA, &memory), unix.Setrlimit(unix.RLIMIT_CPU, &cpu), os.Unsetenv(boundEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // whose end the death signal is bound to
	err = cmd.Run()
	state := cmd.ProcessState
	if state == nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	fmt.Fprint(os.NewFile(3, "peak"), state.SysUsage().(*syscall.Rusage).Maxrss<<10)
	if status := state.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

var builtIn = filepath.Join(os.TempDir(), "runbook-torture-input-"+strconv.Itoa(os.Getpid()))

// build builds the binary once for all tests.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(builtIn, "runbook")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/runbook")
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building runbook: %w\n%s", err, out)
	}
	return path, os.Chmod(builtIn, 0o755)
})

// result is what became of a process.
type result struct {
	code           int
	stdout, stderr string
	peak           int64 // of its memory, in bytes
}

// run runs the binary in dir, within the bounds. Ended by a signal, it has a
// code that none of its own is.
func run(t *testing.T, dir string, env []string, who *syscall.Credential, args ...string) result {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if who != nil {
		self = forAll(t, self)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{binary}, args...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		boundEnv + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb", "TZ=UTC",
		"RUNBOOK_STATE_DIR=" + filepath.Join(dir, "state"), "RUNBOOK_LOCK=" + filepath.Join(dir, "lock"),
	}, env...)
	if who != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	peak, err := os.CreateTemp(t.TempDir(), "peak")
	if err != nil {
		t.Fatal(err)
	}
	defer peak.Close()
	cmd.ExtraFiles = []*os.File{peak}
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("runbook %q hangs: %v", args, ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	r := result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
	if _, err := fmt.Fscan(io.NewSectionReader(peak, 0, 64), &r.peak); err != nil {
		t.Fatal(err)
	}
	return r
}

// forAll is the test binary where every user can run it: the directory that go
// test makes is closed to others.
func forAll(t *testing.T, self string) string {
	t.Helper()
	path := filepath.Join(builtIn, "bound")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	text, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(path, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// raw finds what a terminal would obey in a text.
func raw(text string) string {
	if i := strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
	}); i >= 0 {
		return fmt.Sprintf("%q", text[max(0, i-40):min(len(text), i+40)])
	}
	return ""
}
