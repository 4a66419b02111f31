package faults

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// screens are places where what a command shows may be lost.
var screens = map[string]func(t *testing.T) *os.File{
	"full disk": func(t *testing.T) *os.File {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		must(t, err)
		return f
	},
	"closed pipe": func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		must(t, err)
		must(t, r.Close())
		return w
	},
	"pipe closed meanwhile": func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		must(t, err)
		go func() {
			_, _ = bufio.NewReaderSize(r, 16).ReadString('\n') // whoever reads a line and goes
			_ = r.Close()
		}()
		return w
	},
}

// A command that changes the host does what it does, and exits with what it
// came to, whether or not anybody sees it.
func TestNobodySees(t *testing.T) {
	for _, s := range stages() {
		ref := s.at(t)
		if said := ref.runbook(s.args(ref)...); said.Code != s.code {
			t.Fatalf("undisturbed: %s", said)
		}
		want := ref.outcome()
		for name, screen := range screens {
			for _, flags := range [][]string{nil, {"--json"}} {
				if flags != nil && !strings.Contains("run resume rollback", s.name) || s.name == "plan" || s.name == "report" {
					continue
				}
				t.Run(strings.Join(append([]string{s.name, name}, flags...), " "), func(t *testing.T) {
					p := s.at(t)
					cmd := p.command(p.binary, append(s.args(p), flags...)...)
					out := screen(t)
					defer out.Close()
					cmd.Stdout, cmd.Stderr = out, out
					if said := finish(t, cmd); said.Code != s.code {
						t.Errorf("exit code %d, want %d", said.Code, s.code)
					}
					if got := p.outcome(); got != want {
						t.Errorf("it ends with\n%s\nwant\n%s", got, want)
					}
					tally.Count(t, "commands whose output nobody gets, done all the same", 1)
				})
			}
		}
	}
}

// A command that only shows something fails where that can't be written. A
// reader who has seen enough is no failure.
func TestWhatCannotBeShown(t *testing.T) {
	p := newPlace(t)
	p.want(program.Waits, runWork(p)...)
	plan := []string{"plan", "work.hcl", "--var", "dir=" + p.at("data")}
	for _, args := range [][]string{
		plan, append(plan, "--json"), {"list"}, {"list", "--json"}, {"show", p.id()}, {"report", p.id()}, {"validate", "work.hcl"},
		{"explain"}, {"man"}, {"--help"},
	} {
		for name, screen := range screens {
			cmd := p.command(p.binary, args...)
			out := screen(t)
			cmd.Stdout = out
			said := finish(t, cmd)
			must(t, out.Close())
			if name != "full disk" {
				if said.Code != program.Done || said.Stderr != "" {
					t.Errorf("%v to a %s: %s", args, name, said)
				}
				continue
			}
			if said.Code != program.Failed {
				t.Errorf("%v to a %s: %s", args, name, said)
			}
			contains(t, said.Stderr, "What is shown is incomplete", "no space left on device")
		}
	}
}

// A log that can't be written is told of, and holds nothing up.
func TestLogOnAFullDisk(t *testing.T) {
	p := newPlace(t)
	said := p.want(program.Waits, "run", "work.hcl", "--yes", "--var", "dir="+p.at("data"), "--log-file", "/dev/full")
	contains(t, said.Stderr, "The log is incomplete", "no space left on device")
	p.want(program.Done, approveWork(p)...)
	p.want(program.Done, "resume", "--log-file", "/dev/full")
	said = p.want(program.Failed, "rollback", "--yes", "--log-file", p.at("no/such/log"))
	contains(t, said.Stderr, p.at("no/such/log"))
	p.want(program.Done, "rollback", "--yes", "--log-file", "/dev/full")
}
