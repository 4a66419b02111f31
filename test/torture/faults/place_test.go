package faults

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/invariants"
	"runbook/test/program"
	"runbook/test/strace"
)

// A place is a directory with a runbook, its runs, and what it works on.
type place struct {
	*testing.T
	dir, binary string
}

// work has steps of several kinds, each with an effect that can be counted.
const work = `runbook "work" {}

variable "dir" { type = string }

locals {
  # Adds a line, or does nothing.
  note = "cd ${var.dir} && { if [ -e ledger ]; then cat ledger; fi; echo $0; } > .ledger && sync .ledger && mv .ledger ledger && sync ."
}

step "make_directory" "place" {
  path = "${var.dir}/new"
}

step "write_file" "config" {
  path    = "${var.dir}/config"
  content = "new\n"
}

step "command" "count" {
  argv    = ["sh", "-c", local.note, "done"]
  undo    = ["sh", "-c", local.note, "undone"]
  creates = "${var.dir}/ledger"
}

step "copy" "copy" {
  from = "${var.dir}/config"
  to   = "${var.dir}/new/config"
  approve { message = "Go on?" }
}

step "chown" "own" {
  path      = "${var.dir}/new"
  owner     = "daemon"
  recursive = true
}

output "copy" { value = step.copy.path }
`

func newPlace(t *testing.T) *place {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	p := &place{T: t, dir: t.TempDir(), binary: binary}
	must(t, os.Mkdir(p.at("data"), 0o755))
	must(t, os.WriteFile(p.at("data/config"), []byte("old\n"), 0o644))
	must(t, os.WriteFile(p.at("work.hcl"), []byte(work), 0o644))
	return p
}

func (p *place) at(name string) string { return filepath.Join(p.dir, name) }

func (p *place) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.Context(), name, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+p.at("state"), "RUNBOOK_LOCK="+p.at("lock"))
	return cmd
}

// runbook runs the binary, whatever it exits with.
func (p *place) runbook(args ...string) program.Ended {
	p.Helper()
	return finish(p.T, p.command(p.binary, args...))
}

// want runs the binary and wants an exit code.
func (p *place) want(code int, args ...string) program.Ended {
	p.Helper()
	s := p.runbook(args...)
	if s.Code != code {
		p.Fatalf("runbook %s: want exit code %d, got %s", strings.Join(args, " "), code, s)
	}
	return s
}

// traced runs the binary under strace and returns what it said, and its calls.
func (p *place) traced(options, args []string) (program.Ended, strace.Calls) {
	p.Helper()
	log := filepath.Join(p.TempDir(), "log")
	all := slices.Concat([]string{"-f", "-y", "-b", "execve", "-qq", "-e", "signal=none", "-o", log}, options, []string{p.binary}, args)
	s := finish(p.T, p.command("strace", all...))
	calls, err := strace.Read(log)
	must(p.T, err)
	return s, calls
}

func (p *place) store() run.Store { return run.Store{Dir: p.at("state")} }

// run returns the one run that there is; nil if there is none.
func (p *place) run() *run.Summary {
	p.Helper()
	all, err := p.store().List()
	must(p.T, err)
	switch len(all) {
	case 0:
		return nil
	case 1:
		must(p.T, all[0].Err)
		return &all[0]
	}
	p.Fatalf("%d runs", len(all))
	return nil
}

func (p *place) id() string {
	p.Helper()
	if r := p.run(); r != nil {
		return r.ID
	}
	return "none"
}

// records are those of the run's journal.
func (p *place) records() []journal.Record {
	p.Helper()
	records, err := journal.All(p.at("state/runs/" + p.id()))
	must(p.T, err)
	return records
}

var runID = regexp.MustCompile(`\d{8}-\d{6}-[a-z0-9]{4}`)

// outcome describes what the runs have made of the data, and what they say of
// themselves. It is equal for two places in which the same was done.
func (p *place) outcome() string {
	p.Helper()
	text := tree(p.T, p.at("data"))
	if r := p.run(); r != nil {
		must(p.T, invariants.Check(p.store(), r.ID))
		text += fmt.Sprintf("%s, kept %v\n", r.State.Phase, r.State.Kept())
		for _, name := range []string{"place", "config", "count", "copy", "own"} {
			if st := r.State.Steps[name]; st != nil && !st.Started.IsZero() {
				text += fmt.Sprintf("%s: done %v, undone %v\n", name, st.Done, st.Undone)
			}
		}
	}
	return strings.ReplaceAll(runID.ReplaceAllString(text, "RUN"), p.dir, "DIR")
}

// tree describes everything below root: name, mode, owner and content.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %s %d:%d", strings.TrimPrefix(path, root), info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", data)
		}
		b.WriteString("\n")
		return nil
	}))
	return b.String()
}
