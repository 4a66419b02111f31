package systemdhost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// insideEnv is set for a test binary that runs inside a host.
const insideEnv = "RUNBOOK_TEST_IN_SYSTEMDHOST"

// Inside reports whether this process was started by Main inside a host.
func Inside() bool { return os.Getenv(insideEnv) != "" }

// Main is a TestMain that runs all of a package's tests inside a host of their
// own, as root, where they may do to the system as they please:
//
//	func TestMain(m *testing.M) { systemdhost.Main(m) }
//
// The module's directory and Go's caches are shared with the machine. /tmp,
// /var/lib and /var/backups are empty and on disk. A machine that can't boot
// hosts fails the tests rather than skip them.
func Main(m *testing.M) {
	MainIn(m, Options{Name: "host", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

// MainIn is Main in a host of one's choice.
func MainIn(m *testing.M, o Options) {
	if Inside() || listing() {
		os.Exit(m.Run())
	}
	code, err := rerun(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// listing reports whether the tests are only to be listed.
func listing() bool {
	if !flag.Parsed() {
		flag.Parse()
	}
	list := flag.Lookup("test.list")
	return list != nil && list.Value.String() != ""
}

// rerun runs this very test binary inside a new host and returns its exit code.
func rerun(o Options) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o.Bind = append(o.Bind, neededHere()...)
	h, err := Boot(ctx, o)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	cmd, err := h.again(ctx)
	if err != nil {
		return 1, err
	}
	return exitCode(cmd.Run())
}

// again returns a command that is this process over, inside the host.
func (h *Host) again(ctx context.Context) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	cmd := h.Command(ctx, "env", append([]string{"--chdir=" + wd, exe}, os.Args[1:]...)...)
	cmd.Env = append(machineless(os.Environ()), insideEnv+"=1", "PWD="+wd, "TMPDIR=/tmp")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd, nil
}

// machineless drops the variables that lead to the machine's own services.
func machineless(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		for _, prefix := range []string{"DBUS_", "XDG_", "NOTIFY_SOCKET=", "LISTEN_", "INVOCATION_ID=", "JOURNAL_STREAM="} {
			if strings.HasPrefix(v, prefix) {
				return true
			}
		}
		return false
	})
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run the tests inside the host: %w", err)
	}
	return 0, nil
}

// neededHere lists the directories that a test binary expects where they are:
// its own and its package's module, Go's caches, and those of its output files.
func neededHere() []string {
	exe, _ := os.Executable()
	dirs := []string{filepath.Dir(exe), moduleDir(), os.Getenv("GOCOVERDIR"), goCache(), goModCache()}
	for _, arg := range os.Args[1:] {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-test.") && filepath.IsAbs(value) {
			dirs = append(dirs, value, filepath.Dir(value))
		}
	}
	return bindable(dirs)
}

// bindable keeps the directories that exist and aren't below another: a bind
// mount brings what is below along.
func bindable(dirs []string) []string {
	dirs = slices.DeleteFunc(dirs, func(d string) bool {
		info, err := os.Stat(d)
		return d == "" || d == "/" || err != nil || !info.IsDir()
	})
	slices.Sort(dirs)
	var kept []string
	for _, d := range slices.Compact(dirs) {
		below := func(k string) bool { return strings.HasPrefix(d, k+"/") }
		if !slices.ContainsFunc(kept, below) {
			kept = append(kept, d)
		}
	}
	return kept
}

// moduleDir is the directory with the go.mod that the working directory is
// under, or the working directory.
func moduleDir() string {
	wd, err := os.Getwd()
	if err != nil {
		return ""
	}
	for dir := wd; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return wd
}

func goCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "go-build")
}

func goModCache() string {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	gopath := os.Getenv("GOPATH")
	if gopath == "" {
		gopath = filepath.Join(os.Getenv("HOME"), "go")
	}
	return filepath.Join(filepath.SplitList(gopath)[0], "pkg", "mod")
}
