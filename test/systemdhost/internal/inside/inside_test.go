// Package inside has the tests of what tests see inside a host.
package inside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) { systemdhost.Main(m) }

func TestSystemdIsFirst(t *testing.T) {
	comm, err := os.ReadFile("/proc/1/comm")
	if err != nil || strings.TrimSpace(string(comm)) != "systemd" {
		t.Fatalf("PID 1 is %q, %v", comm, err)
	}
	if out, err := exec.Command("systemctl", "is-active", "throwaway.target").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestWorkingDirectoryIsThePackage(t *testing.T) {
	if _, err := os.Stat("inside_test.go"); err != nil {
		t.Fatal(err)
	}
}

func TestDiskIsNoMemory(t *testing.T) {
	const tmpfs = 0x01021994
	for _, dir := range []string{t.TempDir(), "/var/lib", "/var/backups"} {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		if fs.Type == tmpfs {
			t.Errorf("%s is in memory", dir)
		}
	}
}

func TestServiceRuns(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	out, err := exec.Command("systemd-run", "--wait", "--quiet", "touch", marker).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error(err)
	}
}
