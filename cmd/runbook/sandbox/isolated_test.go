package sandbox_test

import "syscall"

// isolated gives a child a host name and mounts of its own, which don't spread.
// Its user is root there, so that nothing but the sandbox keeps it from changing things.
var isolated = func() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS}
	if syscall.Getuid() != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: syscall.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: syscall.Getgid(), Size: 1}}
	}
	return attr
}()
