package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/cmd/runbook/sandbox"
	"runbook/engine/durable"
	"runbook/test/torture/tally"
)

// The test binary is its own child: what it gives up it can't have back.
const childVar = "SANDBOX_TEST_DIR"

func TestMain(m *testing.M) {
	// As in the product, whose main goroutine stays on its thread.
	if dir := os.Getenv(childVar); dir != "" {
		runtime.LockOSThread()
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// attempts are changes, one for each way in which a host can be changed.
var attempts = map[string]func(dir string) error{
	"create":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600) },
	"write":    func(dir string) error { return open(dir, unix.O_WRONLY) },
	"append":   func(dir string) error { return open(dir, unix.O_WRONLY|unix.O_APPEND) },
	"truncate": func(dir string) error { return os.Truncate(filepath.Join(dir, "file"), 0) },
	"O_TRUNC":  func(dir string) error { return open(dir, unix.O_RDONLY|unix.O_TRUNC) },
	"tmpfile":  func(dir string) error { return openAt(dir, unix.O_TMPFILE|unix.O_RDWR) },
	"mkdir":    func(dir string) error { return os.Mkdir(filepath.Join(dir, "new"), 0o700) },
	"remove":   func(dir string) error { return unix.Unlink(filepath.Join(dir, "file")) },
	"rmdir":    func(dir string) error { return unix.Rmdir(filepath.Join(dir, "dir")) },
	"rename":   func(dir string) error { return os.Rename(filepath.Join(dir, "file"), filepath.Join(dir, "new")) },
	"move": func(dir string) error {
		return os.Rename(filepath.Join(dir, "file"), filepath.Join(dir, "dir", "file"))
	},
	"link":    func(dir string) error { return os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "new")) },
	"symlink": func(dir string) error { return os.Symlink("file", filepath.Join(dir, "new")) },
	// By a name of its own: whoever writes to it waits for a reader.
	"mkfifo":   func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600) },
	"chmod":    func(dir string) error { return os.Chmod(filepath.Join(dir, "file"), 0o777) },
	"chown":    func(dir string) error { return os.Lchown(filepath.Join(dir, "file"), os.Getuid(), os.Getgid()) },
	"touch":    func(dir string) error { return os.Chtimes(filepath.Join(dir, "file"), time.Time{}, time.Unix(1, 0)) },
	"setxattr": func(dir string) error { return unix.Setxattr(filepath.Join(dir, "file"), "user.a", []byte("b"), 0) },
	"mount":    func(dir string) error { return unix.Mount(dir, dir, "", unix.MS_BIND, "") },
	"hostname": func(string) error { return unix.Sethostname([]byte("x")) },
	"child": func(dir string) error {
		if exec.Command("/bin/sh", "-c", "echo x >"+filepath.Join(dir, "new")).Run() != nil {
			return fs.ErrPermission
		}
		return nil
	},
	"other thread": func(dir string) (err error) {
		var all sync.WaitGroup
		all.Go(func() {
			runtime.LockOSThread()
			err = os.WriteFile(filepath.Join(dir, "new"), nil, 0o600)
		})
		all.Wait()
		return err
	},
}

func open(dir string, flags int) error { return openAt(filepath.Join(dir, "file"), flags) }

func openAt(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// exceptVar names a directory that the child may make files in.
const exceptVar = "SANDBOX_TEST_EXCEPT"

// child restricts itself and reports each attempt that was not refused.
func child(dir string) int {
	failed := 0
	report := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		failed = 1
	}
	var except []string
	if made := os.Getenv(exceptVar); made != "" {
		except = append(except, made)
	}
	if err := sandbox.LookOnly(except...); err != nil {
		report("lacking: %v", err)
	}
	if len(except) > 0 {
		if err := durable.WriteFile(filepath.Join(except[0], "made"), []byte("text"), 0o640); err != nil {
			report("making a file: %v", err)
		}
	}
	for name, attempt := range attempts {
		if err := attempt(dir); !errors.Is(err, fs.ErrPermission) {
			report("%s: %v", name, err)
		}
	}
	if err := exec.Command("/bin/cat", filepath.Join(dir, "file")).Run(); err != nil {
		report("looking: %v", err)
	}
	return failed
}

func TestNothingButLooking(t *testing.T) {
	dir := scene(t)
	before := tree(t, dir)
	if out, err := inChild(dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if !t.Failed() {
		tally.Count(t, "ways to change something, each refused to a process that looks", len(attempts))
	}
}

// One directory may be excepted: what is kept there is whole, with its mode,
// and elsewhere nothing changes.
func TestExcept(t *testing.T) {
	dir, except := scene(t), t.TempDir()
	t.Setenv(exceptVar, except)
	before := tree(t, dir)
	if out, err := inChild(dir); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if info, err := os.Stat(filepath.Join(except, "made")); err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
}

// A test that can't fail holds nothing: without the sandbox the same attempts
// succeed.
func TestAttemptsAreReal(t *testing.T) {
	t.Setenv(sandbox.Off, "1")
	out, err := inChild(scene(t))
	if err == nil || !strings.Contains(out, "lacking: "+sandbox.Off+" is set") {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "create: <nil>") && !strings.Contains(out, "mkdir: <nil>") {
		t.Errorf("nothing could be made:\n%s", out)
	}
}

func scene(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func inChild(dir string) (string, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVar+"="+dir)
	// The attempt on the host's name must not reach this one.
	cmd.SysProcAttr = isolated
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil {
			lines = append(lines, fmt.Sprintf("%s %s %d %s", path, info.Mode(), info.Size(), info.ModTime()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
