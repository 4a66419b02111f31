package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// killArgument makes the test binary apply or undo a step in a process of its
// own, which strace kills.
const killArgument = "__apply-or-undo"

// killMain is that process. All its changes are made on the main thread,
// where strace counts them.
func killMain(args []string) bool {
	if len(args) != 3 || args[0] != killArgument {
		return false
	}
	runtime.LockOSThread()
	var step struct {
		Request engine.StepRequest
		Change  engine.Change
	}
	data, err := os.ReadFile(args[2])
	if err == nil {
		err = json.Unmarshal(data, &step)
	}
	part, stops := strings.CutPrefix(args[1], "apply-until-")
	if err == nil && (stops || args[1] == "apply") {
		_, err = testHost.Apply(mainContext, step.Request, step.Change, killSelf{part})
	} else if err == nil {
		err = testHost.Undo(mainContext, step.Request, step.Change, quiet{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// killCalls are the system calls at which to kill.
var killCalls = []string{"fsync", "renameat2", "unlinkat"}

// killAt runs apply or undo and kills it when its main thread makes a call for
// the nth time. It reports whether there was an nth time.
func killAt(t *testing.T, what, step, call string, n int) bool {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), binary, killArgument, what, step)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strings.Contains(string(out), ":") {
		t.Fatalf("%s killed at %s %d: %v\n%s", what, call, n, err, out)
	}
	return true
}

// TestRestoreKilled kills Apply at each of its changes, and then Undo at each
// of its own, and lets each be called again.
func TestRestoreKilled(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	before := tree(t, f.data)
	req := request(t, "etcd_snapshot_restore", f.attrs())
	c := plan(t, req)
	step := writeStep(t, req, c)
	for _, call := range killCalls {
		n := 1
		for ; killAt(t, "apply", step, call, n); n++ {
			if again := plan(t, req); !again.Empty() && !again.SameAs(c) {
				t.Fatalf("killed at %s %d, planned again: %+v", call, n, again.Items)
			}
			apply(t, req, c)
			if tree(t, f.data+".before-run1") != before {
				t.Fatalf("killed at %s %d: the old data changed", call, n)
			}
			undo(t, req, c)
			if tree(t, f.data) != before {
				t.Fatalf("killed at %s %d: undo didn't put the old data back", call, n)
			}
			leftovers(t, f, f.data+".undone-run1")
		}
		t.Logf("Apply was killed at %d calls of %s", n-1, call)
		undo(t, req, c)
		leftovers(t, f, f.data+".undone-run1")
	}
	killUndo(t, f, req, c, step)
}

// writeStep writes what killMain is to do.
func writeStep(t *testing.T, req engine.StepRequest, c engine.Change) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "step.json")
	data, err := json.Marshal(map[string]any{"Request": req, "Change": c})
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
	return path
}

func killUndo(t *testing.T, f fixture, req engine.StepRequest, c engine.Change, step string) {
	before := ""
	for _, call := range killCalls {
		killed := true
		for n := 1; killed; n++ {
			apply(t, req, c)
			if kept := tree(t, f.data+".before-run1"); before == "" {
				before = kept
			}
			killed = killAt(t, "undo", step, call, n)
			undo(t, req, c)
			if tree(t, f.data) != before {
				t.Fatalf("undo killed at %s %d: it didn't put the old data back", call, n)
			}
			leftovers(t, f, f.data+".undone-run1")
			if !killed {
				t.Logf("Undo was killed at %d calls of %s", n-1, call)
			}
		}
	}
}

// TestRestoreMountPoint restores into a data directory that can't be renamed.
func TestRestoreMountPoint(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(data, 0o700))
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=512m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(data, 0)) })
	s := start(t, data, "m1", "")
	s.put(0, 20)
	snap := filepath.Join(dir, "b.db")
	_, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snap})
	must(t, err)
	s.stop()
	before := tree(t, filepath.Join(data, "member"))
	req := request(t, "etcd_snapshot_restore", attrs{
		"snapshot": snap, "data_dir": data, "name": "m1", "initial_advertise_peer_urls": []string{testPeerURL},
	})
	c := plan(t, req)
	apply(t, req, c)
	apply(t, req, c)
	if again := plan(t, req); !again.Empty() {
		t.Errorf("Plan after Apply: %+v", again.Items)
	}
	start(t, data, "m1", "").stop()
	undo(t, req, c)
	if tree(t, filepath.Join(data, "member")) != before {
		t.Error("undo didn't put the old data back")
	}
}
