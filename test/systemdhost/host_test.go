package systemdhost

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

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

func TestHost(t *testing.T) {
	h := boot(t, Options{Name: "cp1", Disk: []string{"/var/lib"}})
	if got := output(t, h, "cat", "/proc/1/comm"); got != "systemd" {
		t.Errorf("PID 1 is %q", got)
	}
	if got := output(t, h, "hostname"); got != "cp1" {
		t.Errorf("hostname is %q", got)
	}
	t.Log(output(t, h, "systemctl", "list-units", "--no-pager"))
	t.Log(output(t, h, "systemctl", "list-timers", "--all", "--no-pager"))
	t.Log(output(t, h, "findmnt"))
	t.Log(output(t, h, "cat", "/proc/1/cgroup"))
	output(t, h, "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.DBus.Peer", "Ping")
}

var _ = context.Background
var _ = os.Args
var _ = exec.Command
