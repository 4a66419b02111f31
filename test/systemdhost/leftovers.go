package systemdhost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dirPattern names the hosts' directories on the machine's disk. /var/tmp is
// on a disk where /tmp may be in memory.
const (
	dirParent  = "/var/tmp"
	dirPattern = "runbook-host-*"
)

// newDir makes a host's directory and locks it. The kernel drops the lock when
// this process ends, however it does: an unlocked directory is a leftover.
func newDir() (string, *os.File, error) {
	dir, err := os.MkdirTemp(dirParent, dirPattern)
	if err != nil {
		return "", nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return dir, lock, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // opened for reading only
		return nil, err
	}
	return f, nil
}

// removeStale removes what hosts have left whose process was killed. Their
// mounts and processes went with it. An empty directory is left alone: it may
// be another process's that is about to lock it.
func removeStale() {
	dirs, _ := filepath.Glob(filepath.Join(dirParent, dirPattern))
	for _, dir := range dirs {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
			continue
		}
		lock, err := lockDir(dir)
		if err != nil {
			continue
		}
		removeCgroups(cgroupsNamed(filepath.Base(dir)))
		_ = os.RemoveAll(dir) // the next boot tries again
		_ = lock.Close()
	}
}

// Leftovers names what the machine has of the host: its directory, its cgroups
// and processes that see its mounts. Nothing after Close.
func (h *Host) Leftovers() []string {
	left := existing(append([]string{h.dir}, h.cgroups...))
	infos, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, path := range infos {
		// A process that has ended meanwhile sees nothing.
		if mounts, _ := os.ReadFile(path); bytes.Contains(mounts, []byte(h.dir)) {
			left = append(left, path)
		}
	}
	return left
}

func existing(paths []string) (found []string) {
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil {
			found = append(found, p)
		}
	}
	return found
}

// onSystemd reports whether the machine itself runs systemd.
func onSystemd() bool {
	info, err := os.Stat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// scope returns the command that puts a host under a unit of the machine's
// systemd, which owns all cgroups there; nothing on other machines.
func scope(dir string) []string {
	if !onSystemd() {
		return nil
	}
	return []string{
		"systemd-run", "--quiet", "--scope", "--collect", "--property=Delegate=yes",
		"--unit=" + filepath.Base(dir), "--",
	}
}

// makeCgroups makes the cgroups that a host lives in on a machine without
// systemd. nspawn calls its payload alike in every host, so hosts would share
// one cgroup and see each other's services in it.
func makeCgroups(dir string) ([]string, error) {
	if onSystemd() {
		return nil, nil
	}
	groups := cgroupsNamed(filepath.Base(dir))
	for _, g := range groups {
		if err := makeCgroup(g); err != nil {
			return groups, err
		}
	}
	return groups, nil
}

// makeCgroup makes a cgroup that takes processes. A new cpuset has no CPUs and
// takes none, so it gets those of the one above it.
func makeCgroup(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		above, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not a cpuset, or one of version 2, which inherits
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, name), above, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes cgroups and the empty ones below them.
func removeCgroups(groups []string) {
	for _, g := range groups {
		var dirs []string
		_ = filepath.WalkDir(g, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			_ = syscall.Rmdir(d) // the kernel's files in it don't count
		}
	}
}

// cgroupsNamed returns the paths for a cgroup called name below this process's
// own, one in each hierarchy.
func cgroupsNamed(name string) []string {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts := cgroupMounts()
	var groups []string
	for line := range strings.Lines(strings.TrimSpace(string(own))) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if m, ok := mountOf(mounts, controllers); ok {
			groups = append(groups, filepath.Join(m.point, strings.TrimPrefix(path, m.root), name))
		}
	}
	return groups
}

// A cgroupMount is one mounted hierarchy: the part of it that is mounted, where,
// and its controllers; none for version 2.
type cgroupMount struct {
	root, point string
	controllers []string
	unified     bool
}

func cgroupMounts() []cgroupMount {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var mounts []cgroupMount
	for line := range strings.Lines(string(info)) {
		before, after, _ := strings.Cut(line, " - ")
		f, tail := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(tail) < 3 || !strings.HasPrefix(tail[0], "cgroup") {
			continue
		}
		mounts = append(mounts, cgroupMount{
			root: f[3], point: f[4],
			controllers: strings.Split(tail[2], ","), unified: tail[0] == "cgroup2",
		})
	}
	return mounts
}

func mountOf(mounts []cgroupMount, controllers string) (cgroupMount, bool) {
	for _, m := range mounts {
		if controllers == "" && m.unified {
			return m, true
		}
		first, _, _ := strings.Cut(controllers, ",")
		if controllers != "" && !m.unified && slices.Contains(m.controllers, first) {
			return m, true
		}
	}
	return cgroupMount{}, false
}
