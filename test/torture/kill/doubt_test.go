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
// done its work. Resumed, the run asks, as often as it takes.
func TestResumeAsksWhereNobodyCanKnow(t *testing.T) {
	h := newHost(t)
	h.oneProgram(false)
	dir := h.dir
	run, _ := h.start("run", h.book, "--yes")
	h.await("the program to start", func() bool { return exists(dir + "/started") })
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // it was killed
	h.sh("kill -9 " + strings.TrimSpace(h.read(dir+"/watcher")))
	for range 2 {
		code, out := h.exec(h.binary, "resume")
		// The watcher may have been waited for until it was gone.
		if code != 3 || !strings.Contains(out, "Nobody but you can know") && !strings.Contains(out, "its watcher was killed") {
			t.Errorf("exit code %d\n%s", code, out)
		}
	}
	if code, out := h.exec(h.binary, "resume", "--skip", "one", "--reason", "it was done"); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	h.equal("ledger", h.read(dir+"/ledger"), "one\n")
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
