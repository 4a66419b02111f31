package systemdhost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crashEnv makes this test binary boot a host, say where, and wait to be
// killed.
const crashEnv = "RUNBOOK_TEST_CRASH"

// mainEnv makes this test binary run its tests inside a host.
const mainEnv = "RUNBOOK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		Main(m)
	}
	if os.Getenv(crashEnv) != "" {
		bootAndWait()
	}
	os.Exit(m.Run())
}

func bootAndWait() {
	h, err := Boot(context.Background(), Options{Name: "crash"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(h.dir, h.leader)
	_, _ = io.Copy(io.Discard, os.Stdin) // ends only by a kill
}

func boot(t *testing.T, o Options) *Host {
	t.Helper()
	h, err := Boot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func output(t *testing.T, h *Host, name string, args ...string) string {
	t.Helper()
	out, err := h.Output(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestHostIsAMachineOfItsOwn(t *testing.T) {
	t.Parallel()
	h := boot(t, Options{Name: "cp1"})
	for _, c := range []struct{ what, command, want string }{
		{"PID 1", "cat /proc/1/comm", "systemd"},
		{"its name", "hostname", "cp1"},
		{"failed units", "systemctl --failed --no-legend", ""},
		{"running timers", "systemctl list-timers --no-legend", ""},
		{"network interfaces", "ls /sys/class/net", "lo"},
		{"loopback", "cat /sys/class/net/lo/operstate", "unknown"},
		{"its journal", "journalctl --quiet --lines=1 --output=cat --unit=no-such.service", ""},
	} {
		if got := output(t, h, "sh", "-c", c.command); got != c.want {
			t.Errorf("%s: %s prints %q, want %q", c.what, c.command, got, c.want)
		}
	}
	output(t, h, "busctl", "--quiet", "call", "org.freedesktop.systemd1",
		"/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping")
}

func TestNothingReachesTheMachine(t *testing.T) {
	t.Parallel()
	h := boot(t, Options{Disk: []string{"/var/lib"}})
	for _, path := range []string{"/etc/runbook-test", "/var/lib/runbook-test/file", "/usr/runbook-test"} {
		if err := h.WriteFile(path, []byte("text"), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := output(t, h, "stat", "--format=%a %s", path); got != "640 4" {
			t.Errorf("%s has mode and size %s", path, got)
		}
		if _, err := os.Stat(filepath.Join(h.Root(), path)); err != nil {
			t.Errorf("not seen through Root: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is on the machine: %v", path, err)
		}
	}
	// The machine's own package database is hidden by an empty directory.
	if got := output(t, h, "stat", "--file-system", "--format=%T", "/var/lib"); got == "tmpfs" {
		t.Error("/var/lib is in memory")
	}
}

func TestBindIsShared(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := boot(t, Options{Bind: []string{dir + ":/opt/shared"}})
	output(t, h, "touch", "/opt/shared/from-inside")
	if _, err := os.Stat(filepath.Join(dir, "from-inside")); err != nil {
		t.Error(err)
	}
}

// Two hosts have their services in cgroups of their own: stopping a unit of
// one leaves the other's alone.
func TestHostsAreApart(t *testing.T) {
	t.Parallel()
	hosts := make([]*Host, 2)
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() { hosts[i] = boot(t, Options{Name: "twin"}) })
	}
	wg.Wait()
	for _, h := range hosts {
		output(t, h, "systemd-run", "--quiet", "--unit=sleeper", "sleep", "infinity")
	}
	output(t, hosts[0], "systemctl", "stop", "sleeper.service")
	if got := output(t, hosts[1], "systemctl", "is-active", "sleeper.service"); got != "active" {
		t.Errorf("the other host's service is %s", got)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	h := boot(t, Options{})
	t.Run("exit code", func(t *testing.T) {
		var exit *exec.ExitError
		err := h.Command(t.Context(), "sh", "-c", "exit 7").Run()
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("got %v, want exit status 7", err)
		}
	})
	t.Run("error", func(t *testing.T) {
		err := h.Run(t.Context(), "ls", "/no/such")
		if err == nil || !strings.Contains(err.Error(), "ls /no/such: exit status 2: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancel reaches what it started", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := h.Command(ctx, "sh", "-c", "echo up; sleep infinity & wait")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = bufio.NewReader(out).ReadString('\n') // Wait tells what went wrong
		cancel()
		// The pipe ends when nobody holds its other end any more.
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("a cancelled command succeeded")
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	h, err := Boot(t.Context(), Options{Disk: []string{"/var/lib"}})
	if err != nil {
		t.Fatal(err)
	}
	output(t, h, "systemd-run", "--quiet", "sleep", "infinity")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, h.dir, h.leader, h.sup.pid)
	if _, err := os.Stat(h.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory is left: %v", err)
	}
	if left := existing(h.cgroups); len(left) > 0 {
		t.Errorf("its cgroups are left: %s", left)
	}
}

// A tester that is killed takes its host along. What is on disk goes at the
// next boot.
func TestKilledTesterLeavesNothing(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashEnv+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }() // the reader is dead by then
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var leader int
	if _, err := fmt.Fscan(stdout, &dir, &leader); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	assertGone(t, dir, leader)
	awaitUnmounted(t, dir)
	groups := cgroupsNamed(filepath.Base(dir))
	boot(t, Options{})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory outlives the next boot: %v", err)
	}
	if left := existing(groups); len(left) > 0 {
		t.Errorf("its cgroups outlive the next boot: %s", left)
	}
}

// assertGone waits for processes to end, and looks for mounts.
func assertGone(t *testing.T, dir string, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d still runs", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(dir)) {
		t.Errorf("mounts are left in %s", dir)
	}
}

// zombie reports whether a process has ended and only waits to be reaped. One
// whose tester was killed waits for the machine's PID 1 to do so.
func zombie(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && bytes.Contains(status, []byte("State:\tZ"))
}

// awaitUnmounted waits until no process sees a mount in dir.
func awaitUnmounted(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for seenBy := mountSeenBy(dir); seenBy != ""; seenBy = mountSeenBy(dir) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has mounts in %s", seenBy, dir)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func mountSeenBy(dir string) string {
	infos, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, path := range infos {
		// A process that has ended meanwhile sees nothing.
		if mounts, _ := os.ReadFile(path); bytes.Contains(mounts, []byte(dir)) {
			return path
		}
	}
	return ""
}

func TestUnavailableSaysWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Available()
	if err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("got %v", err)
	}
}

// A failure inside is a failure outside, and is seen there.
func TestMainTellsOfFailures(t *testing.T) {
	if Inside() {
		t.Fatal("this fails inside of the host")
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestMainTellsOfFailures$")
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	if !bytes.Contains(out, []byte("this fails inside of the host")) {
		t.Errorf("got %s", out)
	}
}
