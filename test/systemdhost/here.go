package systemdhost

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Here is the machine that this process runs on, to be used by tests inside a
// host in place of a Host.
type Here struct{}

// Command returns a command that runs here as Host.Command's would.
func (Here) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = "/", plainEnv()
	killWithChildren(cmd)
	return cmd
}

// WriteFile writes a file and the directories that it needs.
func (Here) WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // the file may have been there
}

// Dial connects to an address.
func (Here) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Dial connects to an address of the host's own network. The address is
// numeric: names are this machine's matter.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is of no use to anybody else once it is in the host's
		// network. Left locked, it ends with the goroutine.
		runtime.LockOSThread()
		conn, err := dialIn(ctx, h.leader, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func dialIn(ctx context.Context, pid int, network, address string) (net.Conn, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }() // opened for reading only
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the host's network: %w", err)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
