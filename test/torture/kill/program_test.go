package kill

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a program of a step in doubt still does, it does before the rollback
// undoes anything: whatever of the step there is to undo.
func TestRollbackWaitsForAProgram(t *testing.T) {
	for name, c := range map[string]struct{ block, undone string }{
		"with an undo":           {`undo = ["sh", "-c", "echo undo slow >>${var.dir}/ledger"]`, "undo slow\n"},
		"without one":            {``, ""},
		"with a rollback block":  {"rollback \"command\" {\n argv = [\"sh\", \"-c\", \"echo undo slow >>${var.dir}/ledger\"]\n }", "undo slow\n"},
		"with nothing to undo":   {"rollback \"none\" {\n reason = \"Nobody cares.\"\n }", ""},
		"with an unlike to undo": {"rollback \"move\" {\n from = \"${var.dir}/slow\"\n to = \"${var.dir}/undone\"\n }", ""},
	} {
		want := "first\nslow\n" + c.undone + "undo first\n"
		t.Run(name, func(t *testing.T) { rollsBackAProgram(t, c.block, want, nil) })
		t.Run(name+", passed over by hand", func(t *testing.T) {
			rollsBackAProgram(t, c.block, want, []string{"resume", "--skip", "slow", "--reason", "it takes too long"})
		})
	}
}

// slow is a runbook whose second step waits for a file.
const slow = `runbook "slow" {}
variable "dir" { type = string }
step "command" "first" {
  argv = ["sh", "-c", "echo first >>${var.dir}/ledger"]
  undo = ["sh", "-c", "echo undo first >>${var.dir}/ledger"]
}
step "command" "slow" {
  argv = ["sh", "-c", "cd ${var.dir} && touch started && until test -e go; do sleep 0.02; done && echo slow >>ledger && touch slow"]
  BLOCK
}
`

// rollsBackAProgram kills a run while its program runs, goes on with it in another
// way, if any, and rolls it back.
func rollsBackAProgram(t *testing.T, block, want string, goOn []string) {
	t.Helper()
	h := newHost(t)
	dir := t.TempDir()
	book := filepath.Join(dir, "slow.hcl")
	h.keepsIn(dir, book, "dir="+dir)
	h.write(book, strings.Replace(slow, "BLOCK", block, 1))

	run, _ := h.start("run", book, "--yes")
	h.await("the program to start", func() bool { return exists(dir + "/started") })
	if err := run.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // it was killed
	if goOn != nil {
		if code, out := h.exec(h.binary, goOn...); code != 0 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
	}

	back, said := h.start("rollback", "--yes")
	ended := make(chan error, 1)
	go func() { ended <- back.Wait() }()
	h.await("the rollback to wait, or to end", func() bool {
		return strings.Contains(said.String(), "the command still runs") || len(ended) > 0
	})
	h.write(dir+"/go", "")
	if err := <-ended; err != nil {
		t.Errorf("rollback: %v\n%s", err, said)
	}
	h.await("the program to end", func() bool { return exists(dir+"/slow") || exists(dir+"/undone") })
	ledger, err := os.ReadFile(dir + "/ledger")
	if err != nil || string(ledger) != want {
		t.Errorf("%v: the ledger is\n%swant\n%s\n%s", err, ledger, want, said)
	}
}

// start starts the binary, whose output grows in said.
func (h *host) start(args ...string) (cmd *exec.Cmd, said *output) {
	h.Helper()
	said = new(output)
	cmd = exec.CommandContext(h.ctx, h.binary, args...)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	return cmd, said
}

// await waits until something is so, and doesn't do so for ever.
func (h *host) await(what string, so func() bool) {
	h.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("waited in vain for %s", what)
		}
	}
}

// output can be read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
