package systemdhost

import (
	"context"
	"fmt"
)

// containerOptions are nspawn's for a host that runs containers.
func containerOptions() []string {
	return []string{
		"--capability=all", "--system-call-filter=@keyring bpf", // as runc asks for
		"--bind=/dev/kmsg", // as kubelet does
	}
}

// openForContainers lets the host's root make cgroups, which nspawn lets it
// only look at, and passes mounts on to containers. What the kernel has once
// for all, below /proc/sys and /sys, stays the machine's.
func (h *Host) openForContainers(ctx context.Context) error {
	const script = `
		for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
			if mountpoint -q "$dir"; then mount -o remount,rw "$dir" || mount -o remount,rw,bind "$dir"; fi
		done
		mount --make-rshared /`
	if err := h.Run(ctx, "sh", "-ec", script); err != nil {
		return fmt.Errorf("open the host for containers: %w", err)
	}
	return nil
}
