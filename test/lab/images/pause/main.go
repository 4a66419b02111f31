// Command pause holds a pod's namespaces until it is told to end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	// As PID 1 of a pod whose containers share it, it reaps what they leave.
	signal.Ignore(syscall.SIGCHLD)
	<-end
}
