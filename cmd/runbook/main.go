// Command runbook carries a written recovery procedure out, safely, on a
// machine that is already in trouble.
package main

import (
	"context"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/actions"
)

// version is set by the linker.
var version = "dev"

// A run works on the main goroutine. Keeping it on one thread keeps the order
// of its system calls visible from outside: fault injection counts them per
// thread.
func init() { runtime.LockOSThread() }

func main() {
	settle()
	if actions.ChildMain(os.Args[1:]) {
		return
	}
	os.Exit(int(execute()))
}

// settle makes this process, and all that it starts, independent of the shell
// that it was started from. Where it dies, its memory isn't kept: secrets may be
// in it.
func settle() {
	unix.Umask(0o022)
	ownFiles()
	// Of a limit of 0 the kernel still hands the memory on to a program that
	// collects such; of 1 it doesn't.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) // who has no more than 0 is content with that
}

// ownFiles keeps what this process was started with open, beside the standard
// three, from what it starts: only the process itself may want it.
func ownFiles() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	entries, _ := os.ReadDir("/proc/self/fd") // an old kernel; without /proc, too, there is no way to know
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func execute() exitCode {
	ctx, cancel := context.WithCancel(context.Background())
	stop, stopNow := context.WithCancel(context.Background())
	defer cancel()
	defer stopNow()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Output that nobody reads any more must not end a run half-way.
	signal.Ignore(syscall.SIGPIPE)
	go heed(signals, stopNow, cancel)
	app := newApp(ctx, stop)
	return app.main(os.Args[1:])
}

// heed turns the first signal into a request to stop after the step in hand,
// and a later Ctrl-C or SIGTERM into one to cut it short. A terminal that goes
// away may say so more than once, and nobody has asked for haste.
func heed(signals <-chan os.Signal, stop, cancel func()) {
	stop = sync.OnceFunc(stop)
	for first := true; ; first = false {
		if s := <-signals; !first && s != syscall.SIGHUP {
			cancel()
		}
		stop()
	}
}
