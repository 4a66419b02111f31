// Command lab keeps a control plane up to be played with.
//
//	lab up              boot one that stays until "lab down"
//	lab shell [CMD...]  enter it, or run a command in it
//	lab down            remove it
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"runbook/test/kubehost"
)

// statePath is there while a lab is up. Its keeper, the process that the host
// hangs on, holds a lock on it.
const statePath = "/run/runbook-lab.json"

// state is what others need to know of a lab.
type state struct {
	Keeper int
	Enter  []string // the command that runs another in the host
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say up, shell or down")
	}
	if err := kubehost.Available(); err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(args[1:])
	case "keep":
		return keep(args[1:])
	case "shell":
		return shell(args[1:])
	case "down":
		return down()
	}
	return fmt.Errorf("no command %q: say up, shell or down", args[0])
}

// up starts a keeper that outlives this process, and waits until the lab is up.
func up(args []string) error {
	cmd := exec.Command("/proc/self/exe", append([]string{"keep"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var complaint strings.Builder
	errs, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_, _ = io.Copy(&complaint, errs) // what there is of it
		return errors.New(strings.TrimPrefix(strings.TrimSpace(complaint.String()), "lab: "))
	}
	fmt.Print(line)
	return cmd.Process.Release()
}

// keep holds a lab until it is told to end. Its argument is the product's
// program.
func keep(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f, err := claim()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // its content is written below
	h, err := kubehost.Boot(ctx, kubehost.Options{Runbook: strings.Join(args, "")})
	if err != nil {
		return errors.Join(err, os.Remove(statePath))
	}
	err = json.NewEncoder(f).Encode(state{os.Getpid(), h.Command(ctx, "env").Args})
	if err == nil {
		fmt.Println("The lab is up. Enter it with make lab-shell, end it with make lab-down.")
		<-ctx.Done()
	}
	return errors.Join(err, h.Close(), os.Remove(statePath))
}

// claim makes the file of the lab's state and locks it.
func claim() (*os.File, error) {
	f, err := os.OpenFile(statePath, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		_ = f.Close() // nothing was written
		return nil, errors.New("a lab is up already: enter it with make lab-shell or end it with make lab-down")
	}
	return f, f.Truncate(0)
}

var errNone = errors.New("no lab is up: start one with make lab")

// find returns the state of the lab that is up. The file is its keeper's to
// close.
func find() (*os.File, state, error) {
	var s state
	f, err := os.Open(statePath)
	if err != nil {
		return nil, s, errNone
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		_ = f.Close()            // opened for reading only
		_ = os.Remove(statePath) // its keeper was killed, and the host with it
		return nil, s, errNone
	}
	if err := json.NewDecoder(f).Decode(&s); err != nil {
		_ = f.Close() // opened for reading only
		return nil, s, errors.New("the lab isn't up yet")
	}
	return f, s, nil
}

// shell becomes a shell in the lab, or the command that it is given.
func shell(args []string) error {
	f, s, err := find()
	if err != nil {
		return err
	}
	_ = f.Close() // opened for reading only
	if len(args) == 0 {
		args = []string{"bash", "--login"}
	}
	nsenter, err := exec.LookPath(s.Enter[0])
	if err != nil {
		return err
	}
	argv := append(s.Enter, append([]string{"--chdir=/root"}, args...)...)
	return syscall.Exec(nsenter, argv, []string{
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM"), "KUBECONFIG=" + kubehost.AdminConfig,
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	})
}

// down ends the lab and waits until nothing is left of it.
func down() error {
	f, s, err := find()
	if errors.Is(err, errNone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // opened for reading only
	if err := syscall.Kill(s.Keeper, syscall.SIGTERM); err != nil {
		return err
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}
