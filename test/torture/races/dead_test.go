package races

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// killed is a run whose processes were all killed at once, in the middle of a
// step, as a power cut does. It returns the record of its program.
func killed(t *testing.T) (*scene, string) {
	t.Helper()
	s := newScene(t, waits+`
step "command" "then" { argv = ["sh", "-c", "echo then >>DIR/ledger"] }`)
	c := s.start("run", s.book, "--yes")
	s.await("the program runs", func() bool { return s.ledger()["waits"] > 0 })
	records, err := filepath.Glob(s.path("state/commands/*/*/do-1.json"))
	must(t, err)
	if len(records) != 1 {
		t.Fatalf("the records are %v, want one", records)
	}
	s.await("its process is recorded", func() bool { return s.record(records[0]).PID > 0 })
	at := s.record(records[0])
	must(t, c.cmd.Process.Kill())
	must(t, syscall.Kill(at.Watcher, syscall.SIGKILL))
	if e := c.end(t); e.Code != program.Killed {
		t.Fatalf("the run ended otherwise: %s", e)
	}
	s.await("its program has ended", func() bool { return syscall.Kill(at.PID, 0) != nil })
	return s, records[0]
}

// attempt is what the record of a program says of it.
type attempt struct {
	Begun   string `json:"begun"`
	Boot    string `json:"boot"`
	Watcher int    `json:"watcher"`
	PID     int    `json:"pid"`
	Start   string `json:"start"`
}

func (s *scene) record(path string) (at attempt) {
	s.Helper()
	text, err := os.ReadFile(path)
	must(s.T, err)
	must(s.T, json.Unmarshal(text, &at))
	return at
}

// A dead owner's lock is nobody's, at once: the file still names it.
func TestKilledOwnerIsInNobodysWay(t *testing.T) {
	n := rounds(5)
	for range n {
		s, _ := killed(t)
		lock, err := os.ReadFile(s.path("lock"))
		if must(t, err); !strings.Contains(string(lock), `"pid"`) {
			t.Fatalf("the lock says %q", lock)
		}
		if r := s.list()[0]; r.Busy || r.Status != "interrupted" {
			t.Errorf("the run is %+v", r)
		}
		e := s.runbook(program.Failed, "run", s.book, "--yes")
		s.contains(e.Stderr, "it was begun on this machine and has not ended")
		winner := s.race("resume", times(crowd, "resume")...)
		s.touch("go")
		if e := winner.end(t); e.Code != program.Done {
			t.Errorf("the one that won: %s", e)
		}
		if got := s.ledger(); got["waits"] != 2 || got["then"] != 1 { // once before the kill
			t.Errorf("the ledger has %v", got)
		}
	}
	tally.Count(t, "runs taken up by one of several after their owner was killed", n)
}

// inNamespaces runs a shell script with process numbers, and a /proc, of its
// own, in which it may choose the next number.
func (s *scene) inNamespaces(code int, script string) string {
	s.Helper()
	cmd := s.command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-ec", strings.NewReplacer("DIR", s.dir, "RUNBOOK", s.binary).Replace(script))
	e, err := program.Run(cmd)
	must(s.T, err)
	if e.Code != code {
		s.Fatalf("want exit code %d: %s\n%s", code, e, script)
	}
	return e.Stdout + e.Stderr
}

// number has the shell's function `numbered PID COMMAND…` start a process in the
// background that has a certain number.
const number = `
numbered() {
	local pid=$1; shift
	for try in $(seq 200); do
		echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
		"$@" >/dev/null 2>&1 &
		test $! = $pid && return
		kill -9 $!; wait $! 2>/dev/null || true
	done
	echo "no process got the number $pid"; exit 9
}
`

// boot mounts a fake over the kernel's name for the time since it has started.
func boot(id string) string {
	return "echo " + id + " >DIR/fake_boot_id; mount --bind DIR/fake_boot_id /proc/sys/kernel/random/boot_id\n"
}

// A number that another process has by now is no sign of life of the one that
// had it, and that other process is left alone.
func TestReusedProcessNumber(t *testing.T) {
	s, record := killed(t)
	at := s.record(record)
	s.touch("go")
	out := s.inNamespaces(program.Done, number+boot(at.Boot)+fmt.Sprintf(`
numbered %d sleep 300
numbered %d sleep 300
RUNBOOK resume
kill -0 %d
kill -0 %d
echo both live
`, at.PID, at.Watcher, at.PID, at.Watcher))
	s.contains(out, "Finished", "both live")
	if got := s.ledger(); got["waits"] != 2 || got["then"] != 1 {
		t.Errorf("the ledger has %v", got)
	}
	tally.Count(t, "process numbers of the dead that others had by then", 2)
}

// After a restart of the machine, not even a process of the same number that was
// started at the same time since the start is the one that was recorded. The
// restart is a fake: another boot_id, mounted over the kernel's.
func TestAnotherBoot(t *testing.T) {
	s, record := killed(t)
	at := s.record(record)
	s.touch("go")
	disguise := number + fmt.Sprintf(`
numbered %d sleep 300
start=$(cut -d' ' -f22 /proc/%d/stat)
sed -i 's/"start":"[0-9]*"/"start":"'$start'"/' %s
`, at.PID, at.PID, record)
	// The control: in the same boot, that would be the program itself.
	out := s.inNamespaces(program.Stopped, disguise+boot(at.Boot)+"RUNBOOK resume")
	s.contains(out, "it still runs, and whoever watched it was killed", fmt.Sprintf("process %d", at.PID))
	out = s.inNamespaces(program.Done, disguise+boot("11111111-2222-3333-4444-555555555555")+"RUNBOOK resume")
	s.contains(out, "Finished")
	if got := s.ledger(); got["waits"] != 2 || got["then"] != 1 {
		t.Errorf("the ledger has %v", got)
	}
	tally.Count(t, "restarts of the machine, faked by another boot_id, after which nothing of before was taken for alive", 1)
}
