package faults

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"runbook/engine/run"
	"runbook/test/program"
	"runbook/test/strace"
	"runbook/test/torture/tally"
)

// A stage is a command that is made to fail, after those before it have done
// their work.
type stage struct {
	name   string
	before []func(p *place)
	args   func(p *place) []string
	code   int
	// again carries the command's work to its end once the cause is gone.
	again func(p *place)
}

func stages() []stage {
	begin := func(p *place) { p.want(program.Waits, runWork(p)...) }
	approve := func(p *place) { p.want(program.Done, approveWork(p)...) }
	resume := func(p *place) { p.want(program.Done, "resume") }
	return []stage{
		{name: "plan", args: planWork, code: program.Done, again: func(p *place) { p.want(program.Done, planWork(p)...) }},
		{name: "run", args: runWork, code: program.Waits, again: runAgain},
		{name: "approve", before: []func(*place){begin}, args: approveWork, code: program.Done, again: func(p *place) {
			if p.run().State.Waiting != nil {
				approve(p)
			}
		}},
		{name: "resume", before: []func(*place){begin, approve}, args: logged("resume"), code: program.Done, again: func(p *place) {
			if p.run().State.Phase != run.Finished {
				resume(p)
			}
		}},
		{name: "rollback", before: []func(*place){begin, approve, resume}, args: logged("rollback", "--yes"), code: program.Done, again: rollBackAgain},
		{name: "prune", before: []func(*place){begin, approve, resume}, args: pruneWork, code: program.Done,
			again: func(p *place) { p.want(program.Done, pruneWork(p)...) }},
		{name: "report", before: []func(*place){begin}, args: reportWork, code: program.Done, again: func(p *place) { p.want(program.Done, reportWork(p)...) }},
		{name: "abandon", before: []func(*place){begin}, args: abandonWork, code: program.Done, again: func(p *place) {
			if p.run().State.Phase != run.Abandoned {
				p.want(program.Done, abandonWork(p)...)
			}
		}},
	}
}

func logged(args ...string) func(*place) []string {
	return func(p *place) []string { return append(args, "--log-file", p.at("log")) }
}

func runWork(p *place) []string {
	return logged("run", "work.hcl", "--yes", "--var", "dir="+p.at("data"))(p)
}

func planWork(p *place) []string {
	return []string{"plan", "work.hcl", "--out", p.at("plan"), "--var", "dir=" + p.at("data")}
}

func approveWork(p *place) []string { return []string{"approve", p.id(), "copy", "--reason", "tried"} }
func pruneWork(p *place) []string   { return []string{"prune", p.id(), "--yes"} }
func reportWork(p *place) []string  { return []string{"report", p.id(), "--out", p.at("report")} }
func abandonWork(p *place) []string { return []string{"abandon", p.id(), "--reason", "tried"} }

func runAgain(p *place) {
	switch r := p.run(); {
	case r == nil:
		p.want(program.Waits, runWork(p)...)
	case r.State.Waiting == nil:
		p.want(program.Waits, "resume")
	}
}

func rollBackAgain(p *place) {
	switch p.run().State.Phase {
	case run.Finished:
		p.want(program.Done, "rollback", "--yes")
	case run.RollingBack:
		p.want(program.Done, "resume")
	}
}

// at returns a place in which the stage's command is next.
func (s stage) at(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	for _, do := range s.before {
		do(p)
	}
	return p
}

// Each command that writes is failed at each call that the disk can fail, once
// and for good. It says where and what, exits as documented, and has shown
// nothing as done that isn't; what it has recorded can be read; and once the
// cause is gone the work ends as if nothing had happened.
func TestCommandsMeetErrors(t *testing.T) {
	for _, s := range stages() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			ref := s.at(t)
			said, made := ref.traced(strace.Traced(), s.args(ref))
			if said.Code != s.code {
				t.Fatalf("undisturbed: %s", said)
			}
			want, met := ref.outcome(), 0
			for _, f := range strace.Faults(made, ref.concerns) {
				if !tally.Takes(s.name+f.String(), 40) {
					continue
				}
				t.Run(f.String(), func(t *testing.T) {
					if s.meets(t, f, want) && !t.Failed() {
						met++
					}
				})
			}
			tally.Count(t, "errors in a command, done again or resumed", met)
		})
	}
}

// concerns reports whether a call is about something in the place, and not
// about the machine's own files.
func (p *place) concerns(c strace.Call) bool {
	return slices.ContainsFunc(c.Paths(), func(path string) bool { return strings.HasPrefix(path, p.dir) })
}

// meets carries a stage out with f, and what follows. It reports whether it
// came to f at all.
func (s stage) meets(t *testing.T, f strace.Fault, want string) bool {
	p := s.at(t)
	before := p.journalLength()
	said, made := p.traced(append(strace.Traced(), f.Injection()...), s.args(p))
	injected := made.Injected()
	if len(injected) == 0 {
		return false
	}
	p.exitsRight(s, said, f, made)
	p.showsWhatIsRecorded(said, before, made)
	p.want(program.Done, "list")
	if r := p.run(); r != nil {
		p.want(program.Done, "show", r.ID)
	}
	if said.Code != s.code {
		s.again(p)
	}
	if got := p.outcome(); got != want {
		t.Errorf("it ends with\n%s\nwant\n%s", got, want)
	}
	if t.Failed() {
		t.Logf("%s\n%s", injected[0].Text, said)
	}
	return true
}

// journalLength is how many records the run has; 0 where there is none.
func (p *place) journalLength() int {
	if p.run() == nil {
		return 0
	}
	return len(p.records())
}

// exitsRight checks the exit code, and the error where there is one.
func (p *place) exitsRight(s stage, said program.Ended, f strace.Fault, made strace.Calls) {
	p.Helper()
	begun := p.run() != nil && p.run().State.Phase.Open()
	drives := slices.Contains([]string{"run", "resume", "rollback"}, s.name)
	// Of a record that wasn't synced nobody knows whether it is there.
	sure := !slices.ContainsFunc(made.Injected(), func(c strace.Call) bool { return c.Syncs() && onJournal(c) })
	switch said.Code {
	case s.code:
		p.copedRightly(made)
		return
	case program.Stopped:
		if !drives || sure && !begun {
			p.Errorf("it says that it can be resumed")
		}
	case program.Failed:
		if sure && begun && s.name == "run" {
			p.Errorf("it says that there is nothing to resume")
		}
	default:
		p.Errorf("exit code %d", said.Code)
	}
	if slices.ContainsFunc(made.Injected(), strace.Call.Foreign) {
		return // what it would say doesn't reach the screen either
	}
	contains(p.T, said.Stderr, f.Err().Error())
	if said.Code == program.Stopped {
		contains(p.T, said.Stderr, "runbook resume "+p.id())
	}
	named := func(c strace.Call) bool {
		return slices.ContainsFunc(c.Paths(), func(path string) bool {
			path = strings.Replace(path, ".new/", "/", 1)                                                                       // as a run's directory is called until it has begun
			return strings.Contains(said.Stderr, filepath.Dir(path)) || strings.Contains(said.Stderr, filepath.Base(path)+": ") // as it was given
		})
	}
	if !slices.ContainsFunc(made.Injected(), named) {
		p.Errorf("it doesn't say what failed")
	}
}

// copedRightly fails where something couldn't be synced and all is said to be
// well.
func (p *place) copedRightly(made strace.Calls) {
	p.Helper()
	for _, c := range made.Injected() {
		if c.Syncs() {
			p.Errorf("all is said to be well, but this was not synced: %s", c.Text)
		}
	}
}

func onJournal(c strace.Call) bool {
	return slices.ContainsFunc(c.Paths(), func(path string) bool { return filepath.Base(path) == "journal.jsonl" })
}

var shownDone = regexp.MustCompile(`(?m)^\[\d+/\d+\] (\S+).*\n(?:  .*\n)*?  done in`)

// showsWhatIsRecorded fails where the screen shows a step as done of which no
// record was synced, and where a process goes on after a record was not.
func (p *place) showsWhatIsRecorded(said program.Ended, before int, made strace.Calls) {
	p.Helper()
	if p.run() == nil {
		return
	}
	// Whoever takes a journal up first makes sure of its last record.
	synced, lost, renewed := before, false, false
	for _, c := range made {
		switch {
		case lost && p.concerns(c) && c.Name != "openat" && !c.Injected() && !strings.Contains(c.Text, p.at("log")):
			p.Errorf("a record was not synced, and it goes on with %s(%s", c.Name, c.Text)
		case onJournal(c) && c.Syncs() && c.Injected():
			lost = true
		case onJournal(c) && c.Syncs() && !renewed && before > 0:
			renewed = true
		case onJournal(c) && c.Syncs():
			synced++
		}
	}
	recorded := map[string]bool{}
	for i, r := range p.records() {
		var d struct{ Step string }
		must(p.T, r.Decode(&d))
		recorded[d.Step] = recorded[d.Step] || r.Kind == "done" && i < synced
	}
	for _, m := range shownDone.FindAllStringSubmatch(said.Stdout, -1) {
		if !recorded[m[1]] {
			p.Errorf("step %s is shown as done, and no record of it was synced", m[1])
		}
	}
}
