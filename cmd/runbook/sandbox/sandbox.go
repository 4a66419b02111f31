// Package sandbox has the kernel hold a process to looking.
//
// Landlock refuses what makes, writes, cuts short, renames or removes a file.
// It has nothing to say on modes, owners, times, extended attributes and
// mounts, nor on the machine's clock and name, so a seccomp filter refuses the
// system calls for these. Reading, executing and connecting stay as they are:
// asking systemd over D-Bus, or etcd over the network, is looking too.
//
// Both hold for all threads of the process and for its children, and can't be
// taken back. In a Landlock domain the kernel also hides /proc/PID/fd, exe,
// cwd and maps of processes outside of it.
package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Off is the environment variable that switches the sandbox off where it is
// not empty: for containers that end processes for asking.
const Off = "RUNBOOK_NO_LANDLOCK"

// changes is all that Landlock can refuse which changes a file system.
const changes landlock.AccessFSSet = ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRefer |
	ll.AccessFSRemoveDir | ll.AccessFSRemoveFile |
	ll.AccessFSMakeChar | ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock |
	ll.AccessFSMakeFifo | ll.AccessFSMakeBlock | ll.AccessFSMakeSym | ll.AccessFSIoctlDev

// truncateABI is the first version of Landlock that knows of truncation.
const truncateABI = 3

// files is what it takes to make and replace files in a directory.
const files landlock.AccessFSSet = ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSRemoveFile

// LookOnly restricts this process to looking, as far as the kernel can. Files
// can still be made below the directories except, and the modes of open files
// changed if there are any. The error says what nobody holds the process to; it
// is then as restricted as it can be, and goes on.
func LookOnly(except ...string) error {
	if os.Getenv(Off) != "" {
		return fmt.Errorf("%s is set", Off)
	}
	return errors.Join(restrictFiles(except), filterCalls(len(except) > 0))
}

// restrictFiles leaves nothing to write to but the directories except, and
// /dev/null, which starting a child process takes.
func restrictFiles(except []string) error {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		return errors.New("the kernel has no Landlock, or it is not switched on")
	}
	null := landlock.PathAccess(ll.AccessFSWriteFile, os.DevNull).IgnoreIfMissing()
	written := landlock.PathAccess(files, except...).IgnoreIfMissing() // missing, it is an error later
	if err := landlock.MustConfig(changes).BestEffort().RestrictPaths(null, written); err != nil {
		return fmt.Errorf("restricting the process with Landlock: %w", err)
	}
	if abi < truncateABI {
		return fmt.Errorf("the kernel's Landlock is of version %d, which does not know of truncation", abi)
	}
	return nil
}
