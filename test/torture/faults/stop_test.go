package faults

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"runbook/test/program"
)

// lasting are the calls that make something last or give it its name. strace
// counts those of a thread together.
const lasting = "fsync,fdatasync,syncfs,renameat2"

// stoppedAt runs a command and stops it at the n-th of these calls of a thread,
// has do change the world meanwhile, and lets the command go on. It reports
// whether it came to that.
func stoppedAt(t *testing.T, n int, do func(), command func(name string, args ...string) *exec.Cmd, args ...string) (program.Ended, bool) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	must(t, syscall.Mkfifo(log, 0o600))
	cmd := command("strace", append([]string{"-f", "-b", "execve", "-qq", "-o", log,
		"-e", "trace=" + lasting, "-e", "inject=" + lasting + ":signal=STOP:when=" + strconv.Itoa(n)}, args...)...)
	stops := make(chan int)
	go readStops(log, stops)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ended := make(chan program.Ended, 1)
	go func() { ended <- finish(t, cmd) }()
	met := false
	for {
		select {
		case pid, open := <-stops:
			if !open {
				stops = nil
				continue
			}
			if !met {
				do()
			}
			met = true
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && err != syscall.ESRCH {
				t.Fatal(err)
			}
		case s := <-ended:
			return s, met
		case <-ctx.Done():
			t.Fatal("it doesn't end")
		}
	}
}

var stopLine = regexp.MustCompile(`^(\d+) +--- stopped by SIGSTOP ---`)

// readStops tells which thread stops, as strace writes it.
func readStops(log string, stops chan<- int) {
	defer close(stops)
	f, err := os.Open(log)
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := stopLine.FindStringSubmatch(lines.Text()); m != nil {
			pid, err := strconv.Atoi(m[1])
			if err == nil {
				stops <- pid
			}
		}
	}
}
