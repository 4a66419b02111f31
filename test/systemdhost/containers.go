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

// openForContainers lets the host's root write where nspawn lets it only read,
// and passes mounts on to containers.
func (h *Host) openForContainers(ctx context.Context) error {
	const script = `
		mount -o remount,rw,bind /proc/sys
		mount -o remount,rw /sys || mount -o remount,rw,bind /sys
		for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
			if mountpoint -q "$dir"; then mount -o remount,rw "$dir" || mount -o remount,rw,bind "$dir"; fi
		done
		mount --make-rshared /`
	if err := h.Run(ctx, "sh", "-ec", script); err != nil {
		return fmt.Errorf("open the host for containers: %w", err)
	}
	return nil
}
