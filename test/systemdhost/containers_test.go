package systemdhost

import (
	"os"
	"path/filepath"
	"testing"
)

// A host for containers can do what a container runtime does, in cgroups that
// go away with it.
func TestContainers(t *testing.T) {
	h, err := Boot(t.Context(), Options{Containers: true})
	if err != nil {
		t.Fatal(err)
	}
	output(t, h, "sh", "-ec", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	if err := h.Run(t.Context(), "sh", "-c", "echo 10 >/proc/sys/kernel/panic"); err == nil {
		t.Error("it changed the machine's kernel")
	}
	output(t, h, "unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
	output(t, h, "sh", "-ec", `for dir in /sys/fs/cgroup/*/cgroup.procs; do
		pod=${dir%/*}/pod
		mkdir -p $pod
		! [ -e $pod/cpuset.cpus ] || for f in cpus mems; do cat $pod/../cpuset.$f >$pod/cpuset.$f; done
		sleep infinity >/dev/null 2>&1 &
		echo $! >$pod/cgroup.procs
	done`)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if left := existing(h.cgroups); len(left) > 0 {
		t.Errorf("its cgroups are left: %s", left)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/pod"); len(left) > 0 {
		t.Errorf("it made cgroups of the machine: %s", left)
	}
}

// What a host shares it can't change.
func TestShare(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("here"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := boot(t, Options{Share: []string{path + ":/usr/bin/program"}})
	if got := output(t, h, "cat", "/usr/bin/program"); got != "here" {
		t.Errorf("got %q", got)
	}
	if err := h.Run(t.Context(), "sh", "-c", "echo there >/usr/bin/program"); err == nil {
		t.Error("the host changed it")
	}
}
