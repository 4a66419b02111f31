package security

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// calls are the system calls that go by a name, or change what they are given.
const calls = "openat,?openat2,newfstatat,statx,readlinkat,renameat2,?rename,mkdirat,?mkdir,unlinkat,?unlink,?rmdir," +
	"fchownat,fchown,?lchown,?chown,fchmodat,fchmod,?chmod,?fchmodat2,linkat,symlinkat,mknodat,utimensat,getdents64," +
	"setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,llistxattr,listxattr,lgetxattr,getxattr," +
	"copy_file_range,ftruncate,fallocate,fsync,fdatasync,syncfs,fcntl"

// Whatever the owner of a directory does to it, between any two system calls of
// a step that works there: root is not led out of it.
func TestNobodyLeadsAStepAway(t *testing.T) {
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newScene(t).standUp(d)
		})
	}
}

func (s *scene) standUp(d deed) {
	s.write(d.steps)
	if d.drill {
		s.writeHeaded(" drill = true ", d.steps)
	}
	run := s.run(d)
	lay := func() *ground {
		g := s.newGround()
		if d.lay != nil {
			d.lay(g)
		}
		g.untouched = g.victim()
		return g
	}
	g := lay()
	points := g.points(program.Done, run...)
	back := g.points(program.Done, "rollback", "--yes")
	if len(points) < 5 {
		s.Fatalf("only %d calls on mallory's ground", len(points))
	}
	s.Logf("%d calls of the run, %d of its rollback", len(points), len(back))
	tried := 0
	for i, a := range d.possible() {
		for n, p := range points {
			if !due(len(points), n, i) || !s.takes(a, "run", p) {
				continue
			}
			g := lay()
			if g.attackedAt(p, a, run...) {
				g.check(fmt.Sprintf("run, %v, %s", p, a.name), a)
				if tried++; tried%2 == 0 || len(points) <= few {
					g.goOn(a)
				}
			}
		}
		for n, p := range back {
			if !due(len(back), n, i) || !s.takes(a, "rollback", p) {
				continue
			}
			g := lay()
			g.runbook(program.Done, run...)
			if g.attackedAt(p, a, "rollback", "--yes") {
				g.check(fmt.Sprintf("rollback, %v, %s", p, a.name), a)
				tried++
			}
		}
	}
	tally.Count(s.T, "moments at which the owner of a directory turned it against a step", tried)
}

// few and many are numbers of calls.
const few, many = 40, 150

// due chooses from what would take hours. Of few calls each meets every other
// attack, on the call after it it is the turn of the others. Of more each meets
// one, all of them in turn, and of many every other call does: most of them only
// look at the same directories again.
func due(calls, call, attack int) bool {
	switch {
	case calls <= few:
		return (call+attack)%2 == 0
	case calls <= many:
		return (call+attack)%len(attacks) == 0
	}
	return call%2 == 0 && (call/2+attack)%len(attacks) == 0
}

// takes makes the quick selection.
func (s *scene) takes(a attack, series string, p point) bool {
	return tally.Takes(fmt.Sprint(s.Name(), a.name, series, p), 40)
}

// goOn resumes and rolls back where everything stays as the attack has left it.
func (g *ground) goOn(a attack) {
	g.Helper()
	for _, args := range [][]string{{"resume"}, {"rollback", "--yes"}} {
		if e := g.try(args...); strings.Contains(e.Stderr, "panic") {
			g.Errorf("%v: %s", args, e)
		}
		g.check(fmt.Sprintf("%v after: %s", args, a.name), a)
	}
}

// traced is a call in strace's log: the thread, the call and what follows.
var traced = regexp.MustCompile(`(?m)^(\d+) +(\w+)\((.*)$`)

// point is behind a call that is made for the nth time. strace counts the calls
// of each kind, and each thread's, by themselves.
type point struct {
	call string
	nth  int
}

func (p point) String() string { return p.call + " number " + strconv.Itoa(p.nth) }

// points runs the binary undisturbed, and returns which of its calls are on
// mallory's ground once the run has begun, or is taken up: what is planned before
// that is planned again.
func (g *ground) points(code int, args ...string) []point {
	g.Helper()
	log := filepath.Join(g.TempDir(), "trace")
	e, err := program.Run(g.strace(log, append([]string{"-y", "-s", "500", "-e", "trace=" + calls, g.binary}, args...)...))
	must(g.T, err)
	if e.Code != code {
		g.Fatalf("%v: %s", args, e)
	}
	text, err := os.ReadFile(log)
	must(g.T, err)
	first, nth, begun := "", map[string]int{}, false
	var points []point
	for _, m := range traced.FindAllStringSubmatch(string(text), -1) {
		if first == "" {
			first = m[1]
		}
		if m[1] != first {
			continue
		}
		begun = begun || m[2] == "fsync" && strings.Contains(m[3], "journal.jsonl")
		if nth[m[2]]++; begun && strings.Contains(m[3], g.path("u")) {
			points = append(points, point{m[2], nth[m[2]]})
		}
	}
	return points
}

func (g *ground) strace(log string, args ...string) *exec.Cmd {
	return g.command("strace", append([]string{"-f", "-qq", "-b", "execve", "--seccomp-bpf", "-o", log}, args...)...)
}

// attackedAt has the binary stand still behind a call while the attack is made,
// and then go on to its end. It reports whether it came so far.
func (g *ground) attackedAt(p point, a attack, args ...string) bool {
	g.Helper()
	log := filepath.Join(g.TempDir(), "trace")
	inject := fmt.Sprintf("inject=%s:signal=STOP:when=%d", p.call, p.nth)
	cmd := g.strace(log, append([]string{"-e", "trace=" + p.call, "-e", inject, g.binary}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	done := make(chan program.Ended, 1)
	go func() {
		e, err := program.Run(cmd)
		if err != nil {
			e.Stderr = err.Error()
		}
		done <- e
	}()
	attacked := false
	for stops := 0; ; {
		var e *program.Ended
		await(g.T, "the run stands still, or has ended", func() bool {
			select {
			case ended := <-done:
				e = &ended
				return true
			default:
				now := standing(log)
				more := now > stops
				stops = max(stops, now)
				return more
			}
		})
		if e != nil {
			if strings.Contains(e.Stderr, "panic") {
				g.Errorf("%v: %s", args, e)
			}
			return attacked
		}
		if !attacked {
			must(g.T, a.do(g))
			attacked = true
		}
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGCONT); err != unix.ESRCH { // it may have ended otherwise
			must(g.T, err)
		}
	}
}

var stopped = regexp.MustCompile(`(?m)^\d+ +--- stopped by SIGSTOP ---$`)

// standing tells from strace's log how often a thread was stopped.
func standing(log string) int {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0
	}
	return len(stopped.FindAll(text, -1))
}
