package command

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// applyEnv makes this test binary a run that applies one command.
const applyEnv = "RUNBOOK_TEST_APPLY"

func TestMain(m *testing.M) {
	if ChildMain(os.Args[1:]) {
		return
	}
	if text := os.Getenv(applyEnv); text != "" {
		os.Exit(applyMain(text))
	}
	os.Exit(m.Run())
}

func applyMain(text string) int {
	var s step
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return 2
	}
	if _, err := s.Command.Apply(context.Background(), s.Change, quiet{}); err != nil {
		return 1
	}
	return 0
}

// step is a planned command in a directory of its own.
type step struct {
	Command command
	Change  engine.Change
	dir     string
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}

// world is the host as it is.
type world struct{ engine.World }

func (world) Run() engine.RunInfo {
	return engine.RunInfo{ID: "20260102-030405-abcd", Step: "s"}
}

func (world) Stat(_ context.Context, path string) (engine.PathFact, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return engine.PathFact{Path: path}, nil
	}
	if err != nil {
		return engine.PathFact{}, err
	}
	f := engine.PathFact{Path: path, Exists: true, Type: engine.TypeFile, Mode: uint32(info.Mode().Perm())}
	if info.IsDir() {
		f.Type = engine.TypeDirectory
	}
	return f, nil
}

// planned plans a shell script that runs in a directory of its own.
func planned(t *testing.T, script string, set func(*command)) *step {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("RUNBOOK_STATE_DIR", filepath.Join(dir, "state"))
	s := &step{dir: dir, Command: command{
		Argv: []string{"sh", "-c", script}, Directory: dir, Timeout: 30, Expected: []int{0},
	}}
	if set != nil {
		set(&s.Command)
	}
	s.Change = s.plan(t)
	return s
}

func (s *step) plan(t *testing.T) engine.Change {
	t.Helper()
	c, err := s.Command.Plan(t.Context(), world{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *step) apply(t *testing.T) engine.Result {
	t.Helper()
	res, err := s.Command.Apply(t.Context(), s.Change, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (s *step) fails(t *testing.T, want string) {
	t.Helper()
	_, err := s.Command.Apply(t.Context(), s.Change, quiet{})
	if err == nil || !strings.Contains(err.Error(), want) || engine.HintOf(err) == "" {
		t.Fatalf("got %v (hint %q), want %q", err, engine.HintOf(err), want)
	}
}

// process applies the step in a process of its own.
func (s *step) process(t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), applyEnv+"="+string(text))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may have ended
	return cmd
}

func (s *step) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func (s *step) write(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// await waits until the program has written that it started, and is recorded.
func (s *step) await(t *testing.T) *attempt {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	rec, err := recorded(t.Context(), s.Change)
	if err != nil {
		t.Fatal(err)
	}
	for t.Context().Err() == nil {
		at, err := rec.latest(do)
		if err != nil {
			t.Fatal(err)
		}
		if at != nil && at.PID > 0 && s.read(t, "started") != "" {
			return at
		}
		<-tick.C
	}
	t.Fatal("it doesn't start")
	return nil
}

func kill9(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// waits is a script that tells that it started and waits for a file "go".
const waits = `echo $$ >>started; until test -e go; do sleep 0.02; done; echo finished; echo end >>ends`

func TestRunIsKilledWhileTheProgramRuns(t *testing.T) {
	s := planned(t, waits, nil)
	p := s.process(t)
	s.await(t)
	kill9(t, p.Process.Pid)
	if c := s.plan(t); c.Unpredictable != "" || c.SameAs(s.Change) {
		t.Errorf("while it runs, the plan is %+v", c)
	}
	time.AfterFunc(100*time.Millisecond, func() { s.write(t, "go") })
	res := s.apply(t)
	if res["stdout"] != "finished\n" || res["exit_code"] != 0 {
		t.Errorf("results: %v", res)
	}
	s.apply(t)
	if starts, ends := s.read(t, "started"), s.read(t, "ends"); strings.Count(starts, "\n") != 1 || ends != "end\n" {
		t.Errorf("it was started as %q and ended as %q", starts, ends)
	}
	if c := s.plan(t); !c.Empty() || c.Results["stdout"] != "finished\n" {
		t.Errorf("afterwards the plan is %+v", c)
	}
}

// A power cut leaves what killing both leaves, but that the machine has booted
// since.
func cutOff(t *testing.T, set func(*command)) *step {
	t.Helper()
	s := planned(t, waits, set)
	p := s.process(t)
	at := s.await(t)
	kill9(t, p.Process.Pid)
	kill9(t, at.Watcher)
	for (startOf(at.PID) == at.Start || s.rec(t).watched()) && t.Context().Err() == nil {
		time.Sleep(time.Millisecond) // the kernel kills it with its watcher
	}
	s.write(t, "go")
	return s
}

func TestWatcherIsCutOff(t *testing.T) {
	s := cutOff(t, nil)
	if c := s.plan(t); c.Unpredictable == "" || c.Items[0].Before != "begun, no end recorded" {
		t.Errorf("the plan is %+v", c)
	}
	s.apply(t) // the operator was asked
	if starts := s.read(t, "started"); strings.Count(starts, "\n") != 2 {
		t.Errorf("it was started as %q", starts)
	}
}

func TestProbeTellsThatItIsDone(t *testing.T) {
	s := cutOff(t, func(c *command) { c.Probe = []string{"test", "-e", "started"} })
	if s.Change.Unpredictable != "" {
		t.Errorf("with a probe it is unpredictable: %s", s.Change.Unpredictable)
	}
	if res := s.apply(t); res["ran"] != true || res["exit_code"] != nil {
		t.Errorf("results: %v", res)
	}
	if ends := s.read(t, "ends"); ends != "" {
		t.Errorf("it was run again: %q", ends)
	}
}

func TestProbeTellsThatItIsNotDone(t *testing.T) {
	s := cutOff(t, func(c *command) { c.Probe = []string{"test", "-e", "ends"} })
	s.apply(t)
	if ends := s.read(t, "ends"); ends != "end\n" {
		t.Errorf("it ended as %q", ends)
	}
}

func TestWatcherDiesUnderARun(t *testing.T) {
	s := planned(t, waits, nil)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Command.Apply(t.Context(), s.Change, quiet{})
		failed <- err
	}()
	kill9(t, s.await(t).Watcher)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "its watcher was killed") {
		t.Errorf("got %v", err)
	}
}

func TestSurvivorIsNotDoubled(t *testing.T) {
	s := planned(t, "echo again >>ends", nil)
	rec := s.rec(t)
	if err := os.MkdirAll(rec.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	at := &attempt{path: rec.path(do, 1), Boot: bootID(), PID: os.Getpid(), Start: startOf(os.Getpid())}
	if err := at.save(); err != nil {
		t.Fatal(err)
	}
	s.fails(t, "it still runs")
	if ends := s.read(t, "ends"); ends != "" {
		t.Errorf("a second one was started: %q", ends)
	}
}

func TestFailureIsToldOnce(t *testing.T) {
	s := planned(t, "echo x >>starts; test -e go || { echo no go >&2; exit 3; }", nil)
	s.fails(t, "exit code 3; it last said:\nno go")
	s.write(t, "go")
	s.apply(t)
	if starts := s.read(t, "starts"); starts != "x\nx\n" {
		t.Errorf("it was started %q", starts)
	}
}

// A failure that nobody was told, because the run was killed, is told rather
// than repeated.
func TestFailureIsToldAfterACrash(t *testing.T) {
	s := planned(t, waits+"; exit 3", nil)
	p := s.process(t)
	s.await(t)
	kill9(t, p.Process.Pid)
	s.write(t, "go")
	s.fails(t, "exit code 3")
	if ends := s.read(t, "ends"); ends != "end\n" {
		t.Errorf("it ended as %q", ends)
	}
}

func TestCancelEndsTheGroup(t *testing.T) {
	for name, takenOver := range map[string]bool{"its own": false, "taken over": true} {
		t.Run(name, func(t *testing.T) {
			s := planned(t, `sleep 1000 & echo $! >child; echo $$ >started; wait`, nil)
			if takenOver {
				p := s.process(t)
				s.await(t)
				kill9(t, p.Process.Pid)
			}
			ctx, cancel := context.WithCancel(t.Context())
			failed := make(chan error, 1)
			go func() {
				_, err := s.Command.Apply(ctx, s.Change, quiet{})
				failed <- err
			}()
			s.await(t)
			cancel()
			if err := <-failed; err == nil || !strings.Contains(err.Error(), "ended") {
				t.Errorf("got %v", err)
			}
			child := strings.TrimSpace(s.read(t, "child"))
			if state, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
				t.Errorf("its child lives on: %s", state)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	s := planned(t, "echo begin; sleep 1000", func(c *command) { c.Timeout = 1 })
	s.fails(t, "not done within timeout_seconds, 1s; it last said:\nbegin")
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("SECRET", "of the operator's shell")
	word := "some input"
	s := planned(t, "env | sort; pwd; cat", func(c *command) {
		c.Environment, c.Stdin = map[string]string{"LANG": "de_DE", "A": "1 2"}, &word
	})
	out := s.apply(t)["stdout"].(string)
	var names []string
	for line := range strings.Lines(out) {
		name, _, set := strings.Cut(line, "=")
		if set && name != "OLDPWD" && name != "PWD" && name != "_" && name != "SHLVL" { // the shell's own
			names = append(names, name)
		}
	}
	if strings.Join(names, " ") != "A HOME LANG PATH" || !strings.Contains(out, "LANG=de_DE\n") || !strings.HasSuffix(out, s.dir+"\nsome input") {
		t.Errorf("it saw:\n%s", out)
	}
}

func TestOutputIsBounded(t *testing.T) {
	s := planned(t, "head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last; echo error >&2", nil)
	res := s.apply(t)
	out := res["stdout"].(string)
	if len(out) != tailSize || !strings.HasSuffix(out, "x\nlast\n") || res["stderr"] != "error\n" {
		t.Errorf("%d bytes, the end is %q; stderr %q", len(out), out[len(out)-20:], res["stderr"])
	}
}

func TestBackgroundDoesNotHoldItUp(t *testing.T) {
	s := planned(t, "sleep 1000 & echo $! >child", nil)
	s.apply(t)
	if err := exec.Command("kill", strings.TrimSpace(s.read(t, "child"))).Run(); err != nil {
		t.Errorf("what it left running was ended: %v", err)
	}
	s.apply(t) // what it left doesn't hold the lock
}

func TestProgressHasNoControlCharacters(t *testing.T) {
	var got strings.Builder
	r := &relay{to: &got}
	for _, part := range []string{"a\x1b[2Jb\r", "c\n\nlonger", " line\n", strings.Repeat("x", 2*lineSize), "\nunfinished"} {
		_, _ = r.Write([]byte(part)) // it never fails
	}
	if want := "a [2Jb c\nlonger line\n" + strings.Repeat("x", lineSize) + "\n"; got.String() != want {
		t.Errorf("got %q", got.String())
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"plain-1.2": "plain-1.2", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "two\nlines": `$"two\nlines"`,
	} {
		if got := quote(word); got != want {
			t.Errorf("%q is written %s", word, got)
		}
	}
}
