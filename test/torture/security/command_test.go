package security

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// tellerName is as what this binary tells all that it was given.
const tellerName = "teller"

// teller writes all that a program can be given behind its back to the file that
// its first argument names. The third is what it exits with.
func teller(args []string) {
	var b strings.Builder
	env := os.Environ()
	slices.Sort(env)
	fmt.Fprintf(&b, "environment\n%s\nfiles\n", strings.Join(env, "\n"))
	for fd := 3; fd < 256; fd++ {
		// Go's runtime may have such for itself by now.
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			fmt.Fprintln(&b, fd, to)
		}
	}
	stat, _ := os.ReadFile("/proc/self/stat") // it would be missed
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	fmt.Fprintf(&b, "terminal %s\numask %04o\n", fields[4], unix.Umask(0))
	var core unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &core)
	fmt.Fprintf(&b, "core %d %d\nargument %s\n", core.Cur, core.Max, args[1])
	if os.WriteFile(args[0], []byte(b.String()), 0o600) != nil {
		os.Exit(2)
	}
	code, _ := strconv.Atoi(args[2])
	os.Exit(code)
}

// A program gets what the documentation says, and nothing else: no shell reads
// its arguments, and nothing of the operator's session reaches it.
func TestProgramsGetNothingElse(t *testing.T) {
	s := newScene(t)
	self, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(self, s.path(tellerName)))
	s.write(`
step "command" "it" {
  argv        = ["DIR/teller", "DIR/argv.out", "$(touch DIR/owned) ; * $HOME", "0"]
  unless      = ["DIR/teller", "DIR/unless.out", "a  b", "1"]
  undo        = ["DIR/teller", "DIR/undo.out", "` + "`id`" + `", "0"]
  environment = { GIVEN = "yes" }
}
step "command" "fails_once" {
  argv  = ["sh", "-c", "test -e DIR/go || kill -9 $PPID"]
  probe = ["DIR/teller", "DIR/probe.out", "x", "1"]
}`)
	secret, err := os.CreateTemp(s.dir, "operators-file-")
	must(t, err)
	// A terminal of its own, an environment full of things, open files, another umask.
	run := func(code int, args ...string) {
		t.Helper()
		line := fmt.Sprintf("umask 0; ulimit -c unlimited; exec 7<%s 8>>%s; exec %s %s", secret.Name(), secret.Name(), s.binary, strings.Join(args, " "))
		cmd := s.command("script", "-qec", line, "/dev/null")
		cmd.Env = append(cmd.Env, "PASSWORD=operators", "LD_PRELOAD_X=/evil.so", "SSH_AUTH_SOCK=/tmp/agent", "BASH_ENV=/evil", "GIVEN=no")
		cmd.ExtraFiles = []*os.File{secret}
		e, err := program.Run(cmd)
		must(t, err)
		if e.Code != code {
			t.Fatalf("%v: exit code %d, want %d: %s", args, e.Code, code, e)
		}
	}
	run(program.Stopped, "run", s.book, "--yes")
	must(t, os.WriteFile(s.path("go"), nil, 0o600))
	run(program.Done, "resume")
	run(program.Done, "rollback", "--yes")
	for name, argument := range map[string]string{
		"argv": "$(touch " + s.dir + "/owned) ; * $HOME", "unless": "a  b", "undo": "`id`", "probe": "x",
	} {
		environment := "HOME=/root\nLANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
		if name != "probe" {
			environment = "GIVEN=yes\n" + environment
		}
		want := "environment\n" + environment + "files\nterminal 0\numask 0022\ncore 1 1\nargument " + argument + "\n"
		got, err := os.ReadFile(s.path(name + ".out"))
		if must(t, err); string(got) != want {
			t.Errorf("%s got\n%s\nwant\n%s", name, got, want)
		}
	}
	if exists(s.path("owned")) {
		t.Error("a shell has read an argument")
	}
	tally.Count(t, "programs that looked for what else reached them", 4)
}

// The process's memory isn't written to a disk where it dies, and neither is
// that of its children.
func TestNoCore(t *testing.T) {
	s := newScene(t)
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	must(t, err)
	// The control: here, something that dies leaves a core.
	control := s.dumping("sleep 60 & kill -ABRT $!; wait $!; echo $?")
	if out, err := control.CombinedOutput(); err != nil || !strings.Contains(string(out), "core dumped") && !s.cored() {
		t.Fatalf("nothing is dumped here, so this test would tell nothing (core_pattern %q): %v\n%s", pattern, err, out)
	}
	s.clearCores()
	s.write(`
step "command" "it" { argv = ["sh", "-c", "echo begun >DIR/begun; exec sleep 60"] }`)
	for _, victim := range []string{"runbook", "watcher", "program"} {
		must(t, os.RemoveAll(s.state()))
		must(t, os.RemoveAll(s.path("begun")))
		cmd := s.dumping("exec " + s.binary + " run " + s.book + " --yes")
		cmd.Env = append(cmd.Env, "GOTRACEBACK=crash")
		must(t, cmd.Start())
		await(t, "the program runs", func() bool { return exists(s.path("begun")) })
		pids := map[string]int{"runbook": cmd.Process.Pid}
		pids["watcher"] = child(t, pids["runbook"])
		pids["program"] = child(t, pids["watcher"])
		must(t, unix.Kill(pids[victim], unix.SIGABRT))
		await(t, victim+" has died", func() bool { return ended(pids[victim]) })
		for _, pid := range pids {
			if pid != cmd.Process.Pid {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
			}
		}
		_ = cmd.Wait() // it was killed, or its program was
		if st := cmd.ProcessState.Sys().(syscall.WaitStatus); st.CoreDump() || s.cored() {
			t.Errorf("%s: a core was dumped (%v)", victim, cmd.ProcessState)
		}
	}
	tally.Count(t, "processes of a run that died and left no core", 3)
}

// dumping is a shell whose children leave a core in the scene's directory.
func (s *scene) dumping(script string) *exec.Cmd {
	cmd := s.command("bash", "-c", "ulimit -c unlimited; cd "+s.dir+"; "+script)
	return cmd
}

func (s *scene) cored() bool {
	s.Helper()
	cores, err := filepath.Glob(s.path("*core*"))
	must(s.T, err)
	return len(cores) > 0
}

func (s *scene) clearCores() {
	s.Helper()
	cores, err := filepath.Glob(s.path("*core*"))
	must(s.T, err)
	for _, c := range cores {
		must(s.T, os.Remove(c))
	}
}

// child is the only child of a process.
func child(t *testing.T, pid int) int {
	t.Helper()
	out := sh(t, fmt.Sprintf("cat /proc/%d/task/*/children", pid))
	fields := strings.Fields(out)
	if len(fields) != 1 {
		t.Fatalf("process %d has the children %q, want one", pid, out)
	}
	var n int
	_, err := fmt.Sscan(fields[0], &n)
	must(t, err)
	return n
}

// ended reports whether a process is gone, or a zombie.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || regexp.MustCompile(`\) [ZX] `).Match(stat)
}
