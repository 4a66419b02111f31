package systemdhost

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed boot.sh
var bootScript string

// A supervisor is the process that all of a host hangs on: unshare, whose
// child is PID 1 of a PID namespace around nspawn.
type supervisor struct {
	pid  int
	done chan struct{} // closed when nothing of the host runs any more
}

// supervise starts a host's supervisor. The kernel kills it when the thread
// that started it ends, so that thread is kept until then.
func supervise(dir, name string, cgroups, mounts []string) (*supervisor, error) {
	cmd, err := supervisorCommand(dir, name, cgroups, mounts)
	if err != nil {
		return nil, err
	}
	s := &supervisor{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(s.done)
		err := cmd.Start()
		if err == nil {
			s.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // it ends by being killed
		}
	}()
	return s, <-started
}

func supervisorCommand(dir, name string, cgroups, mounts []string) (*exec.Cmd, error) {
	stage := filepath.Join(dir, "stage")
	if err := os.Mkdir(stage, 0o755); err != nil {
		return nil, err
	}
	console, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		return nil, err
	}
	argv := []string{
		"unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", bootScript, "boot.sh", stage, name, strings.Join(cgroups, ":"), "--",
	}
	argv = append(append(scope(dir), argv...), mounts...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(plainEnv(), "SYSTEMD_NSPAWN_TMPFS_TMP=0")
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd, nil
}

// kill ends the host and waits until nothing of it runs. It kills the PID
// namespace's PID 1 rather than unshare, because unshare then outlives every
// process of the host.
func (s *supervisor) kill() {
	children := children(s.pid)
	if len(children) == 0 {
		children = []int{s.pid}
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
	<-s.done
}

// awaitBoot waits until the host's systemd has carried out its start.
func (h *Host) awaitBoot(ctx context.Context) error {
	if err := h.poll(ctx, h.findLeader); err != nil {
		return fmt.Errorf("nspawn starts no systemd: %w", err)
	}
	if err := h.poll(ctx, h.answers); err != nil {
		return fmt.Errorf("systemd doesn't answer: %w", err)
	}
	// It prints "degraded" and fails if any unit failed. What counts is that
	// the target that was asked for is reached.
	state, _ := h.Output(ctx, "systemctl", "is-system-running", "--wait")
	if err := h.Run(ctx, "systemctl", "is-active", "--quiet", "throwaway.target"); err != nil {
		failed, _ := h.Output(ctx, "systemctl", "--failed", "--no-legend")
		return fmt.Errorf("systemd is %s: %w\n%s", bytes.TrimSpace(state), err, failed)
	}
	return nil
}

// poll asks for a condition until it holds, the host ends or ctx does.
func (h *Host) poll(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-h.sup.done:
			return errors.New("the host ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// findLeader looks for the host's PID 1: nspawn's child that is the first
// process of the PID namespace inside the supervisor's.
func (h *Host) findLeader() bool {
	for _, unshare := range append([]int{h.sup.pid}, children(h.sup.pid)...) {
		for _, nspawn := range children(unshare) {
			for _, pid := range children(nspawn) {
				if isFirst(pid, nspawn) {
					h.leader = pid
					return true
				}
			}
		}
	}
	return false
}

// isFirst reports whether pid is PID 1 of a namespace inside outer's.
func isFirst(pid, outer int) bool {
	ids, outerIDs := namespaceIDs(pid), namespaceIDs(outer)
	return len(outerIDs) > 0 && len(ids) == len(outerIDs)+1 && ids[len(ids)-1] == "1"
}

// namespaceIDs returns a process's id in each of the namespaces it is in, the
// innermost last.
func namespaceIDs(pid int) []string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return strings.Fields(ids)
		}
	}
	return nil
}

// answers reports whether systemd listens. It does so before it starts units.
func (h *Host) answers() bool {
	info, err := os.Stat(h.Root() + "/run/systemd/private")
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// children returns the processes that pid has started.
func children(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && parent(path) == pid {
			found = append(found, child)
		}
	}
	return found
}

// parent reads a process's parent from its stat file. The second field, the
// program's name, may hold anything, so the fields are counted from its end.
func parent(stat string) int {
	text, err := os.ReadFile(stat)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// console returns what the host printed while booting.
func (h *Host) console() string {
	text, err := os.ReadFile(filepath.Join(h.dir, "console"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// killWithChildren makes the end of cmd's context reach all that cmd started:
// nsenter's child lives on when only nsenter is killed.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
