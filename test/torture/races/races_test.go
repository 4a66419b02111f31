package races

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// rounds is how often a race is run: many times in `make torture`.
func rounds(many int) int {
	if tally.Full() {
		return many
	}
	return 1
}

// crowd is how many start at once.
const crowd = 6

// race starts processes at once, of which all but one have to end with exit code
// 6 while the one goes on, and say who that is and since when. It returns the one.
func (s *scene) race(doing string, commands ...[]string) *contender {
	s.Helper()
	var all []*contender
	for _, args := range commands {
		all = append(all, s.start(args...))
	}
	s.await("one has begun", func() bool { return s.ledger()["waits"] > 0 })
	var winner *contender
	for range len(all) - 1 {
		s.await("the others have given up", func() bool {
			for _, c := range all {
				if len(c.done) > 0 {
					return true
				}
			}
			return false
		})
		for i, c := range all {
			if len(c.done) > 0 {
				s.beaten(doing, c, all)
				all = append(all[:i:i], all[i+1:]...)
				break
			}
		}
	}
	winner = all[0]
	if len(winner.done) > 0 {
		s.Fatalf("nobody has won: %s", <-winner.done)
	}
	return winner
}

// beaten checks what one says that came second.
func (s *scene) beaten(doing string, c *contender, all []*contender) {
	s.Helper()
	e := <-c.done
	if e.Code != program.Locked {
		s.Errorf("%v came second, and ended with %s", c.args, e)
		return
	}
	for _, other := range all {
		if strings.Contains(e.Stderr, fmt.Sprintf("by process %d (runbook %s", other.cmd.Process.Pid, doing)) {
			s.contains(e.Stderr, "locked since", "Wait for it to end")
			return
		}
	}
	// It may have looked in the instant before the first one wrote its name.
	s.contains(e.Stderr, "another runbook process has just taken the lock")
}

// once fails unless each effect was had once.
func (s *scene) once(effects ...string) {
	s.Helper()
	got := s.ledger()
	for _, e := range effects {
		if got[e] != 1 {
			s.Errorf("%s was done %d times", e, got[e])
		}
		delete(got, e)
	}
	if len(got) > 0 {
		s.Errorf("beside that, there was %v", got)
	}
}

func times(n int, args ...string) (all [][]string) {
	for range n {
		all = append(all, args)
	}
	return all
}

// Of several runs one is carried out. The others learn who does, even from
// another state directory.
func TestRunsAtOnce(t *testing.T) {
	n := rounds(15)
	for range n {
		s := newScene(t, waits+`
step "command" "then" { argv = ["sh", "-c", "echo then >>DIR/ledger"] }`)
		commands := times(crowd, "run", s.book, "--yes")
		commands[1] = append(commands[1], "--state-dir", s.path("other"))
		winner := s.race("run", commands...)
		s.touch("go")
		if e := winner.end(t); e.Code != program.Done {
			t.Errorf("the one that won: %s", e)
		}
		s.once("waits", "then")
	}
	tally.Count(t, "runs that were begun at once with others, of which one was carried out", n*crowd)
}

// stopped is a run that has stopped at its second step.
func stopped(t *testing.T) (*scene, string) {
	t.Helper()
	s := newScene(t, `
step "command" "first" { argv = ["sh", "-c", "echo first >>DIR/ledger"] }
step "command" "stops" { argv = ["sh", "-c", "test -e DIR/on"] }
`+waits)
	s.runbook(program.Stopped, "run", s.book, "--yes")
	s.touch("on")
	return s, s.list()[0].ID
}

// Of several resumes one goes on; and of a resume, a rollback, a new run and one
// that gives the run up, one.
func TestResumesAtOnce(t *testing.T) {
	n := rounds(10)
	for range n {
		s, id := stopped(t)
		winner := s.race("resume", append(times(crowd-1, "resume"), []string{"resume", id})...)
		for _, late := range [][]string{{"resume", id}, {"rollback", id, "--yes"}, {"run", s.book, "--yes"}, {"abandon", id, "--reason", "late"}, {"approve", id, "waits"}} {
			e := s.runbook(program.Locked, late...)
			s.contains(e.Stderr, fmt.Sprintf("by process %d (runbook resume, run %s)", winner.cmd.Process.Pid, id))
		}
		s.touch("go")
		if e := winner.end(t); e.Code != program.Done {
			t.Errorf("the one that won: %s", e)
		}
		s.once("first", "waits")
	}
	tally.Count(t, "resumes that were begun at once with others, of which one went on", n*crowd)
}

// Whatever the order in which a run is given up, rolled back and resumed, one of
// these is what has happened to it, and each step was carried out once at most.
func TestOneEndOnly(t *testing.T) {
	n := rounds(25)
	for range n {
		s, id := stopped(t)
		s.touch("go")
		all := map[string]*contender{
			"finished":    s.start("resume", id),
			"rolled_back": s.start("rollback", id, "--yes"),
			"abandoned":   s.start("abandon", id, "--reason", "a race"),
		}
		var won []string
		for end, c := range all {
			switch e := c.end(t); e.Code {
			case program.Done:
				won = append(won, end)
			case program.Locked, program.Failed: // it came second, or too late
			default:
				t.Errorf("%v: %s", c.args, e)
			}
		}
		if status := s.list()[0].Status; len(won) == 0 || !strings.Contains(strings.Join(won, " "), status) {
			t.Errorf("the run is %s, and %v say that they have done their work", status, won)
		}
		for effect, times := range s.ledger() {
			if times > 1 {
				t.Errorf("%s was done %d times", effect, times)
			}
		}
	}
	tally.Count(t, "runs that were resumed, rolled back and given up at once, with one end", n)
}

// What a run keeps stays while another works, and is either deleted or brought
// back where both are asked for at once.
func TestPruneAndOthers(t *testing.T) {
	n := rounds(25)
	for i := range n {
		s := newScene(t, `
step "write_file" "write" {
  path    = "DIR/file"
  content = "new"
}`)
		must(t, os.WriteFile(s.path("file"), []byte("old"), 0o600))
		s.runbook(program.Done, "run", s.book, "--yes")
		id := s.list()[0].ID
		if i == 0 {
			s.pruneDuringRun(id)
		}
		prune, rollback := s.start("prune", id, "--yes"), s.start("rollback", id, "--yes")
		pruned, back := prune.end(t), rollback.end(t)
		file, err := os.ReadFile(s.path("file"))
		must(t, err)
		switch {
		case back.Code == program.Done && string(file) == "old":
		case back.Code != program.Done && pruned.Code == program.Done && string(file) == "new":
			if back.Code != program.Locked && back.Code != program.Failed {
				t.Errorf("the rollback: %s", back)
			}
		default:
			t.Errorf("the file is %q after\n%s\n%s", file, pruned, back)
		}
	}
	tally.Count(t, "runs that were pruned and rolled back at once, with one of both done", n)
}

func (s *scene) pruneDuringRun(id string) {
	s.Helper()
	kept := s.path(".file.replaced-" + id)
	other := s.path("waits.hcl")
	must(s.T, os.WriteFile(other, []byte("runbook \"waits\" {}\n"+strings.ReplaceAll(waits, "DIR", s.dir)), 0o600))
	c := s.start("run", other, "--yes")
	s.await("it has begun", func() bool { return s.ledger()["waits"] > 0 })
	e := s.runbook(program.Locked, "prune", id, "--yes")
	s.contains(e.Stderr, fmt.Sprintf("by process %d (runbook run", c.cmd.Process.Pid))
	if _, err := os.Stat(kept); err != nil {
		s.Errorf("what the run kept: %v", err)
	}
	s.touch("go")
	c.end(s.T)
}

// However many agree to a step at once, one agreement is recorded, and the step
// is carried out once.
func TestApprovesAtOnce(t *testing.T) {
	n := rounds(10)
	for range n {
		s := newScene(t, `
step "command" "it" {
  argv = ["sh", "-c", "echo it >>DIR/ledger"]
  approve { message = "Go on?" }
}`)
		s.runbook(program.Waits, "run", s.book, "--yes")
		id := s.list()[0].ID
		var all []*contender
		for range crowd {
			all = append(all, s.start("approve", id, "it", "--reason", "a race"))
		}
		agreed := 0
		for _, c := range all {
			switch e := c.end(t); e.Code {
			case program.Done:
				agreed++
			case program.Locked:
			case program.Failed:
				s.contains(e.Stderr, "it waits for no approval")
			default:
				t.Errorf("%v: %s", c.args, e)
			}
		}
		if agreed != 1 {
			t.Errorf("%d of %d have agreed", agreed, crowd)
		}
		s.runbook(program.Done, "resume")
		s.once("it")
		if log := s.runbook(program.Done, "show", "--log", "--json").Stdout; strings.Count(log, `"approved"`) != 1 {
			t.Errorf("the journal has more than one agreement, or none:\n%s", log)
		}
	}
	tally.Count(t, "approvals that were given at once with others, of which one counted", n*crowd)
}

// Who looks at a run while it works, or plans beside it, always gets a whole
// answer, and is in nobody's way.
func TestLookingDuringARun(t *testing.T) {
	steps := 60
	if tally.Full() {
		steps = 600
	}
	s := newScene(t, fmt.Sprintf(`
step "write_file" "each" {
  for_each = toset([for i in range(%d) : tostring(i)])
  path     = "DIR/out-${each.key}"
  content  = each.key
}
step "command" "ledger" { argv = ["sh", "-c", "echo it >>DIR/ledger"] }`, steps))
	c := s.start("run", s.book, "--yes")
	s.await("the run has begun", func() bool { _, err := os.Stat(s.path("out-0")); return err == nil || len(c.done) > 0 })
	looked, most := 0, 0
	for len(c.done) == 0 {
		for _, args := range [][]string{{"list", "--json"}, {"show", "--json"}, {"show", "--log", "--json"}, {"report"}, {"plan", s.book}} {
			e := s.runbook(program.Done, args...)
			looked++
			if args[0] != "show" {
				continue
			}
			var doc struct {
				Run struct {
					Done int `json:"steps_done"`
				}
			}
			must(t, json.Unmarshal([]byte(e.Stdout), &doc))
			if doc.Run.Done < most {
				t.Errorf("%d steps are done, after %d", doc.Run.Done, most)
			}
			most = doc.Run.Done
		}
	}
	if e := c.end(t); e.Code != program.Done {
		t.Errorf("the run: %s", e)
	}
	s.once("it")
	tally.Count(t, "looks at a run while it worked", looked)
}
