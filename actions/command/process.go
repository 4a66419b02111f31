package command

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// bootID tells one start of the machine from another.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// startOf is when a process was started, in the kernel's count; empty if there
// is no such process. A number that was given to another process since has
// another start.
func startOf(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The second field, the program's name, may hold anything, so the fields
	// are counted from its end: the start is the 22nd of all.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// running reports whether the attempt's program is still there.
func (at *attempt) running() bool {
	return at != nil && at.Ended == nil && at.PID > 0 && at.Boot == bootID() && startOf(at.PID) == at.Start
}

// survived returns an error where the program outlived its watcher. The kernel
// ends it with the watcher, unless it has changed its user meanwhile.
func (at *attempt) survived() error {
	if !at.running() {
		return nil
	}
	return engine.Errorf(fmt.Sprintf("process %d", at.PID), "it is the command that was begun at %s, it still runs, and whoever watched it was killed", at.Begun.Format("15:04:05")).
		WithHint("Wait for its end, or end it with: kill %d. Then resume.", at.PID)
}

// signal has the watcher pass a signal on. It is called while the watcher has
// the lock, so its number can't be another's.
func (at *attempt) signal(s unix.Signal) {
	if at != nil && at.Boot == bootID() {
		_ = unix.Kill(at.Watcher, s) // it may be gone: the lock tells
	}
}

func (at *attempt) undead(cause error) error {
	if at == nil {
		return engine.Errorf("command", "its watcher doesn't end: %w", cause)
	}
	return engine.Errorf(fmt.Sprintf("process %d", at.PID), "it was killed and doesn't end: %w", cause).
		WithHint("It may wait for a disk or a network file system that doesn't answer: see the state D in ps.")
}
