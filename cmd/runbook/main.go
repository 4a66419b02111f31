// Command runbook carries a written recovery procedure out, safely, on a
// machine that is already in trouble.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"runbook/actions"
)

// version is set by the linker.
var version = "dev"

// A run works on the main goroutine. Keeping it on one thread keeps the order
// of its system calls visible from outside: fault injection counts them per
// thread.
func init() { runtime.LockOSThread() }

func main() {
	if actions.ChildMain(os.Args[1:]) {
		return
	}
	os.Exit(int(execute()))
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
	go func() {
		<-signals // the first finishes the step in hand
		stopNow()
		<-signals // the second cuts it short
		cancel()
	}()
	app := newApp(ctx, stop)
	return app.main(os.Args[1:])
}
