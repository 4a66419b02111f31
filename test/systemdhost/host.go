// Package systemdhost boots throw-away hosts with a real systemd as PID 1, so
// that tests meet the machine that the product is made for.
//
// A host lies over this machine's own root file system: it has the same
// programs and files, and nothing that happens in it reaches the machine. Its
// network is its own and has a loopback interface only.
//
// It needs root and systemd-nspawn. Whether the machine itself runs systemd
// doesn't matter.
package systemdhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Options say how a host differs from a plain one.
type Options struct {
	// Name is the host's name, "host" if empty. Hosts may share a name.
	Name string
	// Disk lists directories of the host that lie on the machine's disk,
	// empty at first. Everywhere else a rename or an fsync meets an overlay
	// over memory. Each is a mount of its own, so a rename between two fails
	// with EXDEV.
	Disk []string
	// Bind lists files and directories of the machine that the host shares,
	// writable and at the same path; or "there:here" for another one.
	Bind []string
	// Share lists more of them, which the host can only read.
	Share []string
	// Containers lets the host run containers: its root may do what this
	// process may.
	Containers bool
}

// A Host is one running host. Close ends it; so does the end of this process.
type Host struct {
	dir     string // on the machine's disk: stage, disk directories, console
	lock    *os.File
	cgroups []string
	sup     *supervisor
	leader  int // the host's PID 1, as seen from here
}

// bootTimeout is how long a host may take to boot. It takes seconds; a machine
// that is busy building needs more.
const bootTimeout = 90 * time.Second

// Boot starts a host and waits until its systemd has carried out its start
// and answers. ctx bounds the boot only.
func Boot(ctx context.Context, o Options) (*Host, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "host"
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	h, err := start(o)
	if err != nil {
		return nil, fmt.Errorf("boot host %s: %w", o.Name, err)
	}
	err = h.awaitBoot(ctx)
	if err == nil && o.Containers {
		err = h.openForContainers(ctx)
	}
	if err != nil {
		console := h.console()
		return nil, errors.Join(fmt.Errorf("boot host %s: %w\n%s", o.Name, err, console), h.Close())
	}
	return h, nil
}

// Available returns an error that says what to do if this machine can't boot
// hosts.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("a throw-away host needs root: run this as root, for example with sudo")
	}
	for program, pkg := range map[string]string{
		"systemd-nspawn": "systemd-container", "dbus-daemon": "dbus", "unshare": "util-linux", "nsenter": "util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("a throw-away host needs %s: apt-get install %s (or run test/setup)", program, pkg)
		}
	}
	return nil
}

func start(o Options) (h *Host, err error) {
	removeStale()
	h = &Host{}
	if h.dir, h.lock, err = newDir(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.remove())
		}
	}()
	options, err := h.mounts(o)
	if err != nil {
		return nil, err
	}
	if h.cgroups, err = makeCgroups(h.dir); err != nil {
		return nil, err
	}
	if o.Containers {
		options = append(options, containerOptions()...)
	}
	h.sup, err = supervise(h.dir, o.Name, h.cgroups, options)
	return h, err
}

// mounts returns nspawn's options for what the host shares with the machine.
func (h *Host) mounts(o Options) ([]string, error) {
	var opts []string
	for i, inside := range o.Disk {
		outside := filepath.Join(h.dir, "disk", strconv.Itoa(i))
		if err := os.MkdirAll(outside, 0o755); err != nil {
			return nil, err
		}
		mode := fs.FileMode(0o755)
		if filepath.Base(inside) == "tmp" {
			mode = 0o777 | fs.ModeSticky
		}
		if err := os.Chmod(outside, mode); err != nil {
			return nil, err
		}
		opts = append(opts, "--bind="+outside+":"+inside)
	}
	for _, b := range o.Bind {
		opts = append(opts, "--bind="+b)
	}
	for _, s := range o.Share {
		opts = append(opts, "--bind-ro="+s)
	}
	return opts, nil
}

// Root is the host's root directory as seen from outside. An absolute symbolic
// link in it leads to the machine's files: use Command where one may be met.
func (h *Host) Root() string { return fmt.Sprintf("/proc/%d/root", h.leader) }

// Command returns a command that runs inside the host, in its root directory,
// as root and with a plain environment. When ctx ends, the command and all
// that it has started are killed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{
		"--target", strconv.Itoa(h.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"--", name,
	}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = plainEnv()
	killWithChildren(cmd)
	return cmd
}

func plainEnv() []string {
	return []string{
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

// Output runs a command inside the host and returns what it printed. Its error
// holds what it printed to its standard error.
func (h *Host) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := h.Command(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		line := strings.Join(append([]string{name}, args...), " ")
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", line, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// Run runs a command inside the host; its error holds what it complained.
func (h *Host) Run(ctx context.Context, name string, args ...string) error {
	_, err := h.Output(ctx, name, args...)
	return err
}

// WriteFile writes a file inside the host, and the directories that it needs.
func (h *Host) WriteFile(path string, data []byte, mode fs.FileMode) error {
	cmd := h.Command(context.Background(), "install", "-D",
		"-m", fmt.Sprintf("%04o", mode.Perm()), "/dev/stdin", path)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write %s in the host: %w: %s", path, err, bytes.TrimSpace(out))
	}
	return nil
}

// Close ends the host as a power cut would and removes everything of it.
func (h *Host) Close() error {
	if h.sup != nil {
		h.sup.kill()
	}
	return h.remove()
}

// remove takes away what the host leaves on the machine, its processes and
// mounts being gone.
func (h *Host) remove() error {
	removeCgroups(h.cgroups)
	err := os.RemoveAll(h.dir)
	return errors.Join(err, h.lock.Close())
}
