package long

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/invariants"
	"runbook/test/program"
	"runbook/test/torture/tally"
)

func either(full, quick int) int {
	if tally.Full() {
		return full
	}
	return quick
}

// each is a for_each with n times 100 keys.
func each(n int) string {
	return fmt.Sprintf(`toset([for k in setproduct(range(%d), range(100)) : "${k[0]}-${k[1]}"])`, n)
}

const month = 31 * 24 * time.Hour

// A run of many steps stops, is taken up a month later, and is undone.
func TestManySteps(t *testing.T) {
	n := either(100, 2)
	s := newScene(t, `
step "make_directory" "dir" {
  path = "DIR/out"
}
step "write_file" "file" {
  for_each = `+each(n)+`
  path     = "DIR/out/${each.key}"
  content  = each.key
}
step "command" "waits" {
  argv = ["test", "-e", "DIR/go"]
}
`)
	// A run has all its steps in mind, and the plan of each.
	s.runbook(program.Stopped, 2*most(), "run", s.book, "--yes")
	id := s.only()
	must(t, invariants.Check(s.store, id))
	s.files(100 * n)

	records := s.records(id)
	s.write(id, func(yield func(journal.Record)) {
		for _, r := range records {
			r.Time = r.Time.Add(-month)
			yield(r)
		}
	})
	must(t, os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600))
	s.runbook(program.Done, most(), "list")
	s.runbook(program.Done, most(), "show")
	s.runbook(program.Done, most(), "resume")
	must(t, invariants.Check(s.store, id))
	s.files(100 * n)
	h, err := s.store.History(id, run.Wanted{})
	must(t, err)
	if len(h.Pauses) != 1 || h.Pauses[0].To.Sub(h.Pauses[0].From) < month {
		t.Errorf("nobody was at work for a month, and this is told: %+v", h.Pauses)
	}
	s.runbook(program.Done, most(), "report")
	s.runbook(program.Done, 2*most(), "rollback", "--yes")
	must(t, invariants.Check(s.store, id))
	left, err := os.ReadDir(filepath.Join(s.dir, "out"))
	must(t, err)
	for _, e := range left {
		if !strings.Contains(e.Name(), ".undone-"+id) { // that is kept beside it
			t.Errorf("it is undone, and %s is there", e.Name())
		}
	}
	tally.Count(t, "steps of a run that was taken up a month later, and undone", 100*n)
}

// files fails unless the run has made n files, each with its name in it.
func (s *scene) files(n int) {
	s.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "out"))
	must(s.T, err)
	if len(entries) != n {
		s.Errorf("there are %d files, and not %d", len(entries), n)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(s.dir, "out", e.Name()))
		must(s.T, err)
		if string(text) != e.Name() {
			s.Fatalf("%s holds %q", e.Name(), text)
		}
	}
}

// A journal is as large as what its programs have printed, and needs no memory for
// it. It is that of a run that was stopped after its first programs, in which
// many more have their records; so the last ones are left to be run.
func TestLargeJournal(t *testing.T) {
	n := either(90, 20) * 100
	s := newScene(t, `
step "command" "prints" {
  for_each = `+each(n/100)+`
  argv     = ["sh", "-c", "echo ${each.key} >>DIR/ledger; seq 9000"]
}
`)
	s.stopped(5)
	id := s.only()
	before := s.ledger()
	const left = 10
	size, names := s.prolonged(id, left)
	t.Logf("a journal of %d MiB", size>>20)

	s.runbook(program.Done, most(), "list")
	shown := s.runbook(program.Done, most(), "show").Stdout
	if got := strings.Count(shown, " done in "); got != n-left {
		t.Errorf("%d steps are shown as done, and not %d", got, n-left)
	}
	s.runbook(program.Done, most(), "resume")
	must(t, invariants.Check(s.store, id))
	after := s.ledger()
	for _, name := range names[n-left:] {
		if after[name] != 1 {
			t.Errorf("%s was run %d times", name, after[name])
		}
		delete(after, name)
	}
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("what was run before was run again: %v, %v", before, after)
	}
	tally.Count(t, "MiB of a journal that was listed, shown and resumed", int(size>>20))
}

// stopped begins a run and stops it once that many lines are in its ledger.
func (s *scene) stopped(lines int) {
	s.Helper()
	cmd := s.command("run", s.book, "--yes")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(s.T, cmd.Start())
	for end := time.Now().Add(5 * time.Minute); len(s.ledger()) < lines; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("the run doesn't get on: %s", said.String())
		}
	}
	must(s.T, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // the code tells
	if code := program.Code(cmd.ProcessState); code != program.Stopped {
		s.Fatalf("stopping it: exit code %d\n%s", code, said.String())
	}
}

func (s *scene) ledger() map[string]int {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "ledger"))
	if !os.IsNotExist(err) {
		must(s.T, err)
	}
	count := map[string]int{}
	for _, name := range strings.Fields(string(text)) {
		count[name]++
	}
	return count
}

// prolonged gives the steps of a stopped run that are not done the records of its
// first one, all but the last ones. It returns the keys of all.
func (s *scene) prolonged(id string, left int) (size int64, keys []string) {
	s.Helper()
	records := s.records(id)
	var head run.Header
	must(s.T, records[0].Decode(&head))
	stop := records[len(records)-1]
	pattern, done := records[1:3], (len(records)-2)/2
	if pattern[0].Kind != "intent" || pattern[1].Kind != "done" || stop.Kind != "interrupted" || len(records) != 2*done+2 {
		s.Fatalf("a run of another kind: %d records", len(records))
	}
	name := func(i int) []byte {
		text, err := json.Marshal(head.Plan.Steps[i].Name)
		must(s.T, err)
		return text
	}
	size = s.write(id, func(yield func(journal.Record)) {
		for _, r := range records[:len(records)-1] {
			yield(r)
		}
		for i := done; i < len(head.Plan.Steps)-left; i++ {
			for _, r := range pattern {
				r.Data = bytes.ReplaceAll(r.Data, name(0), name(i))
				yield(r)
			}
		}
		yield(stop)
	})
	for _, p := range head.Plan.Steps {
		_, key, _ := strings.Cut(p.Name, `["`)
		keys = append(keys, strings.TrimSuffix(key, `"]`))
	}
	return size, keys
}

// Many runs have ended, and one has stopped.
func TestManyRuns(t *testing.T) {
	n := either(1000, 50)
	s := newScene(t, `
step "write_file" "one" {
  path    = "DIR/one"
  content = run.id
}
step "write_file" "two" {
  path    = "DIR/two"
  content = "two"
}
step "command" "waits" {
  argv = ["test", "-e", "DIR/go"]
}
`)
	must(t, os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600))
	s.runbook(program.Done, most(), "run", s.book, "--yes")
	old := s.only()
	records := s.records(old)
	for i := range n - 1 {
		ago := time.Duration(i+1) * time.Hour
		id := run.NewID(records[0].Time.Add(-ago))
		s.write(id, func(yield func(journal.Record)) {
			for _, r := range records {
				r.Time, r.Data = r.Time.Add(-ago), bytes.ReplaceAll(r.Data, []byte(old), []byte(id))
				yield(r)
			}
		})
	}
	must(t, os.Remove(filepath.Join(s.dir, "go")))
	s.runbook(program.Stopped, most(), "run", s.book, "--yes")
	if got := strings.Count(s.runbook(program.Done, most(), "list").Stdout, "finished"); got != n {
		t.Errorf("%d runs are listed as finished, and not %d", got, n)
	}
	s.runbook(program.Done, most(), "show")
	s.runbook(program.Done, most(), "show", old)
	must(t, os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600))
	s.runbook(program.Done, most(), "resume")
	if got := strings.Count(s.runbook(program.Done, most(), "list").Stdout, "finished"); got != n+1 {
		t.Errorf("%d runs are listed as finished, and not %d", got, n+1)
	}
	tally.Count(t, "old runs beside one that was resumed", n)
}
