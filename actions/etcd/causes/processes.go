package causes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"runbook/actions/etcd/unseen"
)

// process is one of this host's.
type process struct {
	pid     int // 0 where only its unit is known
	program string
	unit    string // that systemd runs it in; empty if none
}

func (p process) String() string {
	switch {
	case p.pid == 0:
		return "Something in the unit " + p.unit
	case p.unit != "":
		return fmt.Sprintf("%s (process %d, unit %s)", p.program, p.pid, p.unit)
	}
	return fmt.Sprintf("%s (process %d)", p.program, p.pid)
}

// processesOf are the arguments of each process of a program.
func processesOf(program string) [][]string {
	var found [][]string
	for _, dir := range unseen.Glob("/proc/[0-9]*") {
		if comm(dir) != program {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil { // else it has ended
			found = append(found, strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"))
		}
	}
	return found
}

func comm(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "" // it has ended
	}
	return strings.TrimSpace(string(text))
}

// ownerOf finds the process that holds a socket. A process that is held to
// looking may not see what others have open; the control group that made the
// socket tells too.
func ownerOf(at listener) (process, bool) {
	dirs := unseen.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if holds(dir, at.inode) {
			return processAt(dir), true
		}
	}
	var found []process
	for _, dir := range dirs {
		if at.cgroup != 0 && controlGroup(dir) == at.cgroup {
			found = append(found, processAt(dir))
		}
	}
	switch {
	case len(found) == 0:
		return process{}, false
	case len(found) == 1:
		return found[0], true
	}
	return process{unit: found[0].unit}, found[0].unit != ""
}

func holds(dir string, inode uint32) bool {
	socket := fmt.Sprintf("socket:[%d]", inode)
	for _, fd := range unseen.Glob(filepath.Join(dir, "fd", "*")) {
		if at, err := os.Readlink(fd); err == nil && at == socket {
			return true
		}
	}
	return false
}

func processAt(dir string) process {
	pid, err := strconv.Atoi(filepath.Base(dir))
	if err != nil {
		pid = 0 // it is a number
	}
	return process{pid: pid, program: comm(dir), unit: unitIn(controlGroups(dir))}
}

// controlGroups are the lines of a process's control groups.
func controlGroups(dir string) []string {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return nil // it has ended
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// unitIn is the service in the path of a control group that systemd made.
func unitIn(groups []string) string {
	for _, line := range groups {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "name=systemd" {
			continue
		}
		for part := range strings.SplitSeq(parts[2], "/") {
			if strings.HasSuffix(part, ".service") && !strings.HasPrefix(part, "user@") {
				return part
			}
		}
	}
	return ""
}

// unified are where the second version of control groups is mounted.
var unified = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// controlGroup is the ID of a process's control group: its directory's inode.
func controlGroup(dir string) uint64 {
	for _, line := range controlGroups(dir) {
		path, ok := strings.CutPrefix(line, "0::")
		if !ok {
			continue
		}
		for _, root := range unified {
			if id := inodeOf(filepath.Join(root, path)); id != 0 {
				return id
			}
		}
	}
	return 0
}
