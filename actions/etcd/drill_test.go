package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// rehearsal is a drill of f's snapshot in a scratch directory of its own.
func (f fixture) rehearsal(t *testing.T) attrs {
	t.Helper()
	return attrs{"snapshot": f.snapshot, "data_dir": f.data, "scratch": t.TempDir()}
}

// leftNothing fails the test where the drill's directory isn't empty again.
func leftNothing(t *testing.T, a attrs) {
	t.Helper()
	entries, err := os.ReadDir(a["scratch"].(string))
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("the drill left %v", entries)
	}
}

func TestDrill(t *testing.T) {
	f := newFixture(t)
	before := tree(t, f.dir)
	a := f.rehearsal(t)
	res, err := call(t, "etcd_snapshot_drill", a)
	must(t, err)
	want := mustInspect(t, f.snapshot)
	if res["saved"] != true || res["keys"] != want.Keys || res["revision"] != want.Revision || res["content_hash"] != want.ContentHash {
		t.Errorf("found %v, the snapshot has %+v", res, want)
	}
	seconds := res["seconds"].(map[string]float64)
	for _, part := range []string{partVerify, partRestore, partBoot, partCompare, partCount} {
		if _, timed := seconds[part]; !timed {
			t.Errorf("the part %s has no time: %v", part, seconds)
		}
	}
	if total := res["total_seconds"].(float64); total <= 0 {
		t.Errorf("it took %v s", total)
	}
	if got := tree(t, f.dir); got != before {
		t.Errorf("the drill changed what is beside it:\n%s\nwas:\n%s", got, before)
	}
	leftNothing(t, a)
}

// A snapshot that can't save anybody is a finding, or fails the step.
func TestDrillOfADamagedSnapshot(t *testing.T) {
	f := newFixture(t)
	data, err := os.ReadFile(f.snapshot)
	must(t, err)
	for name, bad := range map[string][]byte{
		"torn":    data[:len(data)/2],
		"one bit": flipped(data),
		"text":    []byte("no snapshot"),
		"empty":   {},
	} {
		t.Run(name, func(t *testing.T) {
			a := f.rehearsal(t)
			a["snapshot"] = filepath.Join(t.TempDir(), "bad.db")
			must(t, os.WriteFile(a["snapshot"].(string), bad, 0o600))
			a["must_save"] = false
			res, err := call(t, "etcd_snapshot_drill", a)
			must(t, err)
			if res["saved"] != false || res["failed"] != partVerify || !strings.Contains(res["reason"].(string), "can't be used") {
				t.Errorf("found %v", res)
			}
			leftNothing(t, a)
			a["must_save"] = true
			if _, err := call(t, "etcd_snapshot_drill", a); err == nil || !strings.Contains(err.Error(), "can't be used") {
				t.Errorf("the step ends with %v", err)
			}
		})
	}
}

func flipped(data []byte) []byte {
	data = slices.Clone(data)
	data[bytes.LastIndex(data, []byte("value 7"))] ^= 1
	return data
}

// An etcd that wants passwords can be rehearsed without them.
func TestDrillOfASnapshotWithPasswords(t *testing.T) {
	dir := t.TempDir()
	s := start(t, filepath.Join(dir, "etcd"), "m1", "")
	s.put(0, 20)
	a := attrs{"snapshot": filepath.Join(dir, "backup.db"), "scratch": t.TempDir()}
	_, err := s.client.UserAdd(t.Context(), "root", "secret")
	must(t, err)
	_, err = s.client.UserGrantRole(t.Context(), "root", "root")
	must(t, err)
	_, err = s.client.AuthEnable(t.Context())
	must(t, err)
	s.stop()
	// What a stopped member has is what a snapshot of it has.
	data, err := os.ReadFile(filepath.Join(dir, "etcd", "member", "snap", "db"))
	must(t, err)
	must(t, os.WriteFile(a["snapshot"].(string), data, 0o600))
	res, err := call(t, "etcd_snapshot_drill", a)
	must(t, err)
	if res["saved"] != true || res["keys"] != int64(20) {
		t.Errorf("found %v", res)
	}
}

// How a child ended tells something about the snapshot, or about the host.
func TestDrillVerdict(t *testing.T) {
	for script, finding := range map[string]bool{
		"echo 'panic: no such page' >&2; exit 2": true,
		"kill -SEGV $$":                          true,
		"kill -KILL $$":                          false,
		"kill -TERM $$":                          false,
		"echo 'fatal error: runtime: out of memory' >&2; exit 2": false,
		"echo 'runtime: cannot allocate memory' >&2; exit 2":     false,
		"exit 0": false,
	} {
		w := drillWatch{snapshot: "/s.db", part: partBoot}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Stderr = &w.stderr
		found, err := w.verdict(t.Context(), cmd.Run())
		if (err == nil) != finding || finding && (found.Saved || found.Failed != partBoot || found.Reason == "") {
			t.Errorf("%s: %+v, %v", script, found, err)
		}
		if err != nil && engine.HintOf(err) == "" {
			t.Errorf("%s: no hint", script)
		}
	}
}

// A part's error is a finding unless the host is to blame.
func TestDrillFinding(t *testing.T) {
	full := engine.Errorf("/x", "writing: %w", unix.ENOSPC)
	for name, c := range map[string]struct {
		part string
		err  error
		want bool
	}{
		"damage":             {partVerify, unusable("/s.db", "torn"), true},
		"no inspection":      {partVerify, errors.New("its inspection was ended"), false},
		"a full disk":        {partRestore, full, false},
		"another key":        {partCompare, errors.New("1 missing"), true},
		"a child that ended": {partRestore, &exec.ExitError{}, false},
		"etcd that gives up": {partBoot, errors.New("etcd doesn't start"), true},
	} {
		if got := drillFinding(c.part, c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What was there while planning may be gone by the time of the drill.
func TestDrillOfASnapshotThatVanishes(t *testing.T) {
	f := newFixture(t)
	a := f.rehearsal(t)
	req := request(t, "etcd_snapshot_drill", a)
	c := plan(t, req)
	must(t, os.Remove(f.snapshot))
	_, err := testHost.Apply(t.Context(), req, c, quiet{})
	if err == nil || !strings.Contains(err.Error(), "it would not have saved you") || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("got %v", err)
	}
	if engine.HintOf(err) == "" {
		t.Error("no hint")
	}
	leftNothing(t, a)
}

// onPart calls fn with the drill's child when it begins a part.
type onPart struct {
	t    *testing.T
	part string
	fn   func(pid int)
}

func (o onPart) Progress(p engine.Progress) {
	if p.Doing == drillDoing[o.part] {
		o.fn(childOf(o.t))
	}
}

// childOf is the drill's child of this process.
func childOf(t *testing.T) int {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	must(t, err)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		must(t, err)
		for _, pid := range strings.Fields(string(text)) {
			args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if bytes.Contains(args, []byte(drillArgument)) {
				n, err := strconv.Atoi(pid)
				must(t, err)
				return n
			}
		}
	}
	t.Fatal("the drill has no child")
	return 0
}

// Whatever becomes of the child, nothing is left, and it isn't held against
// the snapshot.
func TestDrillWhoseChildIsKilled(t *testing.T) {
	f := newFixture(t)
	for _, part := range []string{partVerify, partRestore, partBoot, partCompare, partCount} {
		a := f.rehearsal(t)
		req := request(t, "etcd_snapshot_drill", a)
		kill := onPart{t, part, func(pid int) { must(t, unix.Kill(pid, unix.SIGKILL)) }}
		_, err := testHost.Apply(t.Context(), req, plan(t, req), kill)
		if err == nil || !strings.Contains(err.Error(), "says nothing") && !strings.Contains(engine.HintOf(err), "says nothing") {
			t.Errorf("killed at %s: %v", part, err)
		}
		leftNothing(t, a)
	}
}

func TestDrillCancelled(t *testing.T) {
	f := newFixture(t)
	a := f.rehearsal(t)
	req := request(t, "etcd_snapshot_drill", a)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := testHost.Apply(ctx, req, plan(t, req), onPart{t, partRestore, func(int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	leftNothing(t, a)
}

// The child takes what nobody else wants, no more than it was allowed, and
// listens to nobody but the drill.
func TestDrillIsBounded(t *testing.T) {
	f := newFixture(t)
	a := f.rehearsal(t)
	req := request(t, "etcd_snapshot_drill", a)
	looked := false
	look := onPart{t, partCompare, func(pid int) {
		looked = true
		bounded(t, pid)
		listensToNobody(t, pid)
		// It keeps the directory locked, should its parent end before it.
		if at, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", pid)); err != nil || at != filepath.Join(a["scratch"].(string), scratchName) {
			t.Errorf("it doesn't hold the drill's directory, but %q: %v", at, err)
		}
	}}
	if _, err := testHost.Apply(t.Context(), req, plan(t, req), look); err != nil {
		t.Fatal(err)
	}
	if !looked {
		t.Error("the drill compared nothing")
	}
}

func bounded(t *testing.T, pid int) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	must(t, err)
	for _, thread := range threads {
		stat, err := os.ReadFile(filepath.Join(thread, "stat"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has ended
		}
		must(t, err)
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
		if nice := fields[17]; nice != "19" {
			t.Errorf("thread %s has the nice value %s", thread, nice)
		}
		tid, err := strconv.Atoi(filepath.Base(thread))
		must(t, err)
		class, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(tid), 0)
		if errno == 0 && class>>13 != 3 {
			t.Errorf("thread %s has the class %d for disks", thread, class>>13)
		}
	}
	var limit unix.Rlimit
	must(t, unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &limit))
	if limit.Max > 2<<30 {
		t.Errorf("it may take %d bytes", limit.Max)
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	must(t, err)
	if string(score) != "1000\n" {
		t.Errorf("its score for running out of memory is %s", score)
	}
}

// listensToNobody fails the test where the process listens on a port.
func listensToNobody(t *testing.T, pid int) {
	t.Helper()
	sockets := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, fd := range fds {
		if at, err := os.Readlink(fd); err == nil {
			sockets[strings.TrimSuffix(strings.TrimPrefix(at, "socket:["), "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		must(t, err)
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 9 && sockets[f[9]] {
				t.Errorf("it has a socket on the network: %s", line)
			}
		}
	}
}

// TestDrillKilled kills the drill with SIGKILL at the beginning of each of its
// parts. The next one leaves nothing of either.
func TestDrillKilled(t *testing.T) {
	f := newFixture(t)
	for _, part := range []string{partVerify, partRestore, partBoot, partCompare, partCount} {
		for next, call := range map[string]func(engine.StepRequest, engine.Change) error{
			"applied": func(r engine.StepRequest, c engine.Change) error {
				_, err := testHost.Apply(t.Context(), r, c, quiet{})
				return err
			},
			"undone": func(r engine.StepRequest, c engine.Change) error {
				return testHost.Undo(t.Context(), r, c, quiet{})
			},
		} {
			a := f.rehearsal(t)
			req := request(t, "etcd_snapshot_drill", a)
			c := plan(t, req)
			killedAt(t, part, req, c)
			if _, err := os.Stat(filepath.Join(a["scratch"].(string), scratchName, scratchPID)); err != nil {
				t.Errorf("killed at %s, it has left nothing to clear: %v", part, err)
			}
			if err := call(req, c); err != nil {
				t.Errorf("killed at %s, then %s: %v", part, next, err)
			}
			leftNothing(t, a)
		}
	}
}

// killedAt runs a drill in a process that ends by SIGKILL when a part begins.
func killedAt(t *testing.T, part string, req engine.StepRequest, c engine.Change) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", killArgument, "apply-until-"+part, writeStep(t, req, c))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("it wasn't killed at %s: %v\n%s", part, err, out)
	}
}

// killSelf ends this process when the part begins.
type killSelf struct{ part string }

func (k killSelf) Progress(p engine.Progress) {
	if k.part != "" && p.Doing == drillDoing[k.part] {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
}

// A drill that is at work has the directory to itself.
func TestDrillsOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s, err := openScratch(t.Context(), dir)
	must(t, err)
	if other, err := lockScratch(filepath.Join(dir, scratchName)); err != nil || other != nil {
		t.Errorf("a second one gets %v, %v", other, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = openScratch(ctx, dir)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("the second one is told: %v", err)
	}
	must(t, clearScratch(ctx, dir))
	if _, err := os.Stat(s.path); err != nil {
		t.Error("clearing took the directory of one at work: ", err)
	}
	must(t, s.remove())
}

func TestDrillRefusesScratch(t *testing.T) {
	f := newFixture(t)
	foreign := t.TempDir()
	must(t, os.Symlink(t.TempDir(), filepath.Join(foreign, scratchName)))
	other := t.TempDir()
	must(t, os.Mkdir(filepath.Join(other, scratchName), 0o755))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(f.data, link))
	for name, c := range map[string]struct {
		scratch, data, message string
	}{
		"the data directory":     {f.data, "", "too near"},
		"in it":                  {filepath.Join(f.data, "member", "snap"), "", "too near"},
		"a link to it":           {link, "", "too near"},
		"above it":               {f.dir, "", "too near"},
		"above a named one":      {foreign, filepath.Join(foreign, "a", "b", "c", "d", "e"), "too near"},
		"absent":                 {filepath.Join(foreign, "no"), "", "no such directory"},
		"another's, as a link":   {foreign, "", "not a directory that a drill has made"},
		"another's, by its mode": {other, "", "not a directory that a drill has made"},
	} {
		t.Run(name, func(t *testing.T) {
			a := attrs{"snapshot": f.snapshot, "scratch": c.scratch}
			if c.data != "" {
				a["data_dir"] = c.data
			}
			_, err := call(t, "etcd_snapshot_drill", a)
			var e *engine.Error
			if !errors.As(err, &e) || e.Attribute != "scratch" || e.Hint == "" || !strings.Contains(e.Error(), c.message) {
				t.Errorf("got %v", err)
			}
		})
	}
}
