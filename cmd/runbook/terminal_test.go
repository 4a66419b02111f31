package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/test/pty"
	"runbook/test/screen"
)

// asRunbook makes this test's binary behave as runbook does.
const asRunbook = "RUNBOOK_TEST_AS_RUNBOOK"

// terminal is a run of the real binary whose output goes to a terminal.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	screen *screen.Screen
	raw    strings.Builder
	master *os.File
}

const waits = `
runbook "waits" { time_budget = "5m" }
variable "dir" { type = string }
step "move" "one" {
  from = "${var.dir}/a"
  to   = "${var.dir}/b"
}
step "etcd_health" "two" {
  description = "Wait for something that will not come, and say so in a line that is long."
  endpoints   = ["http://127.0.0.1:1"]
  retry {
    attempts = 100000
    delay    = "10ms"
  }
}
`

// onTerminal starts a run that waits until it is stopped.
func onTerminal(t *testing.T, width, height int, env ...string) *terminal {
	t.Helper()
	dir := t.TempDir()
	book := filepath.Join(dir, "waits.hcl")
	for path, text := range map[string]string{book: waits, filepath.Join(dir, "a"): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	master, slave := openTerminal(t, width, height)
	defer slave.Close()
	x := &terminal{t: t, screen: screen.New(width, height), master: master}
	x.cmd = exec.Command(os.Args[0], "run", book, "--yes", "--var", "dir="+dir)
	x.cmd.Env = append(os.Environ(), asRunbook+"=1", "TERM=xterm", "RUNBOOK_STATE_DIR="+dir, "RUNBOOK_LOCK="+filepath.Join(dir, "machine.lock"))
	x.cmd.Env = append(x.cmd.Env, env...)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() })
	return x
}

func openTerminal(t *testing.T, width, height int) (master, slave *os.File) {
	t.Helper()
	master, slave, err := pty.Open(width, height)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	return master, slave
}

func setSize(t *testing.T, master *os.File, width, height int) {
	t.Helper()
	if err := pty.SetSize(master, width, height); err != nil {
		t.Fatal(err)
	}
}

// until reads what is shown until a pattern is in it.
func (x *terminal) until(pattern string) {
	x.t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = x.cmd.Process.Kill() })
	defer late.Stop()
	for wanted := regexp.MustCompile(pattern); !wanted.MatchString(x.screen.String()); {
		if !x.read() {
			x.t.Fatalf("it ended, and never showed %q:\n%s", pattern, x.screen)
		}
	}
}

func (x *terminal) read() bool {
	buf := make([]byte, 4096)
	n, err := x.master.Read(buf)
	x.raw.Write(buf[:n])
	_, _ = x.screen.Write([]byte(strings.ReplaceAll(string(buf[:n]), "\a", "")))
	return err == nil
}

// resize changes the terminal's size while nothing is being drawn.
func (x *terminal) resize(width, height int) {
	x.t.Helper()
	pid := x.cmd.Process.Pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		x.t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, nil, unix.WUNTRACED, nil); err != nil {
		x.t.Fatal(err)
	}
	for {
		n, err := unix.IoctlGetInt(int(x.master.Fd()), unix.TIOCINQ)
		if err != nil {
			x.t.Fatal(err)
		}
		if n == 0 {
			break
		}
		x.read()
	}
	x.screen.Resize(width, height)
	setSize(x.t, x.master, width, height)
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		x.t.Fatal(err)
	}
}

// end presses Ctrl-C and reads the rest.
func (x *terminal) end() {
	x.t.Helper()
	if _, err := io.WriteString(x.master, "\x03"); err != nil {
		x.t.Fatal(err)
	}
	for x.read() {
	}
	if err := x.cmd.Wait(); x.cmd.ProcessState.ExitCode() != int(exitStopped) {
		x.t.Fatalf("%v\n%s", err, x.screen)
	}
}

// The status keeps to the bottom of a terminal of any size, also of one that
// changes, and leaves nothing behind.
func TestTerminal(t *testing.T) {
	x := onTerminal(t, 80, 24)
	x.until(`\[2/2\] two 0:`)
	x.until("of 5:00")
	x.until("http://127.0.0.1:1: etcd is not healthy")
	x.resize(40, 12)
	x.until(`0:(0[3-9]|[1-5].) of 5:00`)
	x.end()
	text := x.screen.String()
	if strings.Count(text, "[2/2]") != 1 || strings.Contains(text, "try ") || !strings.Contains(text, "has stopped.") {
		t.Errorf("it left behind:\n%s", text)
	}
	if x.screen.Column() != 0 || len(x.screen.Unknown()) > 0 {
		t.Error(x.screen.Column(), x.screen.Unknown())
	}
}

// A terminal that can't do it, or isn't wanted to, gets plain lines.
func TestPlainTerminals(t *testing.T) {
	x := onTerminal(t, 80, 24, "TERM=dumb")
	x.until("not yet: ")
	x.end()
	if strings.Contains(x.raw.String(), "\x1b") {
		t.Errorf("codes on a dumb terminal: %q", x.raw.String())
	}
	x = onTerminal(t, 20, 10, "NO_COLOR=1")
	x.until(`\[2/2\] two 0:`)
	x.end()
	if strings.Contains(x.raw.String(), "m\x1b") || strings.Contains(x.raw.String(), "\x1b[1m") {
		t.Errorf("colours with NO_COLOR: %q", x.raw.String())
	}
}

// The terminal goes away, as with an SSH session that drops: the run stops in an
// orderly way, and knows it.
func TestTerminalGoesAway(t *testing.T) {
	x := onTerminal(t, 80, 24)
	x.until(`\[2/2\] two 0:`)
	if err := x.master.Close(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = x.cmd.Process.Kill() })
	defer late.Stop()
	if err := x.cmd.Wait(); x.cmd.ProcessState.ExitCode() != int(exitStopped) {
		t.Fatalf("%v", err)
	}
	list := exec.Command(os.Args[0], "list")
	list.Env = x.cmd.Env
	out, err := list.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "1 of 2") || !strings.Contains(string(out), "stopped") {
		t.Errorf("%v\n%s", err, out)
	}
}
