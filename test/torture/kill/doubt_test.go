package kill

import (
	"os"
	"strings"
	"testing"

	"runbook/test/torture/tally"
)

// one is a runbook of a program whose effect nothing but its watcher tells.
const one = `runbook "one" {}
variable "dir" { type = string }
step "command" "one" {
  argv = ["sh", "-c", "cd ${var.dir} && echo $PPID >watcher && echo one >>ledger && touch started && until test -e go; do sleep 0.02; done"]
}
`

// Killed at any of its calls, a run of a program goes on without a question:
// its watcher has seen the program's end, or it wasn't begun.
func TestProgramRunsOnce(t *testing.T) {
	h := newHost(t)
	h.oneProgram(true)
	all, _ := h.points(0, "run", h.book, "--yes")
	for _, p := range all {
		if p.call != "clone" && p.call != "waitid" && p.call != "read" && !tally.Takes(p.String(), 8) {
			continue
		}
		h.oneProgram(true)
		was, code, out := h.killedAt(p, "run", h.book, "--yes")
		if !was && code != 0 {
			t.Fatalf("not killed at %s, but exit code %d\n%s", p, code, out)
		}
		h.goOn()
		h.orderly(h.look())
		h.equal("ledger", h.read(h.dir+"/ledger"), "one\n")
		if t.Failed() {
			t.Fatalf("killed at %s", p)
		}
		h.heldIf(was, "kill points of a run of one program, then resumed")
	}
}

// Where the watcher is killed as well, nobody can know whether the program has
// done its work. Resumed, the run asks, as often as it takes, and again where it
// was told to carry the program out again and that was killed too.
func TestResumeAsksWhereNobodyCanKnow(t *testing.T) {
	h := newHost(t)
	h.oneProgram(false)
	for _, args := range [][]string{{"run", h.book, "--yes"}, {"resume", "--from", "one", "--reason", "it wasn't done"}} {
		h.killedWithItsWatcher(args...)
		for range 2 {
			code, out := h.exec(h.binary, "resume")
			// The watcher may have been waited for until it was gone.
			if code != 3 || !strings.Contains(out, "Nobody but you can know") && !strings.Contains(out, "its watcher was killed") {
				t.Errorf("exit code %d\n%s", code, out)
			}
		}
	}
	if code, out := h.exec(h.binary, "resume", "--skip", "one", "--reason", "it was done"); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	h.equal("ledger", h.read(h.dir+"/ledger"), "one\none\n")
}

// killedWithItsWatcher kills a run while its program runs, and that one's watcher.
func (h *host) killedWithItsWatcher(args ...string) {
	h.Helper()
	_ = os.Remove(h.dir + "/started") // of the program that ran before
	cmd, _ := h.start(args...)
	h.await("the program to start", func() bool { return exists(h.dir + "/started") })
	if err := cmd.Process.Kill(); err != nil {
		h.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	h.sh("kill -9 " + strings.TrimSpace(h.read(h.dir+"/watcher")))
}

// oneProgram lays one's runbook out in a new directory, with or without what its
// program waits for.
func (h *host) oneProgram(ready bool) {
	h.Helper()
	dir, err := os.MkdirTemp(h.TempDir(), "one")
	h.must(err)
	h.keepsIn(dir, dir+"/one.hcl", "dir="+dir)
	h.write(h.book, one)
	if ready {
		h.write(dir+"/go", "")
	}
}
