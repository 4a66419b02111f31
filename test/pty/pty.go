// Package pty runs a command on a real pseudo-terminal and shows what a
// person in front of it would see.
package pty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"runbook/test/screen"
)

// A Terminal is a command's controlling terminal, seen from the other end.
type Terminal struct {
	Screen *screen.Screen
	raw    strings.Builder
	master *os.File
	cmd    *exec.Cmd
}

// Open returns both ends of a new pseudo-terminal. A command's standard files
// are the slave.
func Open(width, height int) (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	slave, err = open(master, width, height)
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}

func open(master *os.File, width, height int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name the terminal: %w", err)
	}
	if err := SetSize(master, width, height); err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
}

// SetSize makes the terminal another size.
func SetSize(master *os.File, width, height int) error {
	size := &unix.Winsize{Col: uint16(width), Row: uint16(height)}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, size); err != nil {
		return fmt.Errorf("set the terminal's size: %w", err)
	}
	return nil
}

// Start starts a command on a terminal of its own.
func Start(cmd *exec.Cmd, width, height int) (*Terminal, error) {
	master, slave, err := Open(width, height)
	if err != nil {
		return nil, err
	}
	defer func() { _ = slave.Close() }() // the command has its own
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, master.Close())
	}
	return &Terminal{Screen: screen.New(width, height), master: master, cmd: cmd}, nil
}

// Read waits for more to be shown, and reports whether there was any: there is
// none when all that had the terminal have ended.
func (t *Terminal) Read() bool {
	buf := make([]byte, 4096)
	n, err := t.master.Read(buf)
	t.raw.Write(buf[:n])
	_, _ = t.Screen.Write([]byte(strings.ReplaceAll(string(buf[:n]), "\a", ""))) // it can't fail
	return err == nil
}

// Raw is all that was written to the terminal, codes included.
func (t *Terminal) Raw() string { return t.raw.String() }

// Type types a line.
func (t *Terminal) Type(line string) error {
	_, err := io.WriteString(t.master, line+"\n")
	return err
}

// Wait reads to the end, and waits for the command's. Its error is the
// command's.
func (t *Terminal) Wait() error {
	for t.Read() {
	}
	return errors.Join(t.cmd.Wait(), t.master.Close())
}
