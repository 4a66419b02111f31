package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/program"
)

// scene is a work directory and the state directory of a run in it.
type scene struct {
	testing.TB
	binary, work, state string
	id                  string
}

func newScene(t testing.TB) *scene {
	t.Helper()
	binary, err := program.Build()
	s := &scene{TB: t, binary: binary, work: filepath.Join(t.TempDir(), "work"), state: filepath.Join(t.TempDir(), "state")}
	s.must(err)
	s.must(os.MkdirAll(filepath.Join(s.work, "data", "sub"), 0o755))
	for name, content := range map[string]string{"settings": "old\n", "data/one": "1\n", "data/sub/two": "2\n", "stale": "stale\n", "old": "old\n"} {
		s.must(os.WriteFile(filepath.Join(s.work, name), []byte(content), 0o644))
	}
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// within is how long a command may take on a busy machine before it counts as
// hanging.
const within = time.Minute

// try runs the binary and returns its exit code and what it printed.
func (s *scene) try(args ...string) (int, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--state-dir", s.state)...)
	cmd.Env = append(os.Environ(), "RUNBOOK_LOCK=", "RUNBOOK_LOG=")
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		s.Fatalf("runbook %v hangs\n%s", args, out)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if strings.Contains(string(out), "goroutine ") || exit.ExitCode() < 0 {
			s.Fatalf("runbook %v crashed: %v\n%s", args, err, out)
		}
		return exit.ExitCode(), string(out)
	}
	s.must(err)
	return 0, string(out)
}

// runbook runs the binary and wants an exit code.
func (s *scene) runbook(want int, args ...string) string {
	s.Helper()
	code, out := s.try(args...)
	if code != want {
		s.Fatalf("runbook %v: exit code %d, want %d\n%s", args, code, want, out)
	}
	return out
}

// upToTheLastApproval carries the runbook out until nothing but the last
// approved steps is left: approvals, failures, and a step that was seen to by
// hand lie behind it.
func (s *scene) upToTheLastApproval() {
	s.Helper()
	s.runbook(4, "run", "testdata/long.hcl", "--var", "dir="+s.work, "--yes")
	all, err := s.store().List()
	s.must(err)
	s.id = all[0].ID
	s.runbook(0, "approve", s.id, "save")
	s.runbook(3, "resume")
	s.must(os.WriteFile(filepath.Join(s.work, "open"), nil, 0o644))
	s.runbook(3, "resume")
	s.runbook(4, "resume", "--skip", "by_hand", "--reason", "seen to")
	s.runbook(0, "approve", s.id, "pack", "--reason", "looks right")
}

// halfRolledBack ends the run and rolls it back, until an undo fails.
func (s *scene) halfRolledBack() {
	s.Helper()
	s.runbook(0, "resume")
	s.runbook(3, "rollback", "--yes")
}

func (s *scene) rolledBack() {
	s.Helper()
	s.must(os.Mkdir(filepath.Join(s.work, "attic"), 0o755))
	s.runbook(0, "resume")
}

func (s *scene) store() run.Store { return run.Store{Dir: s.state} }

func (s *scene) path() string { return filepath.Join(s.state, "runs", s.id, journal.FileName) }

// tree is what is in the work directory; what is kept for later, under a
// hidden name, is left out if hidden isn't set.
func (s *scene) tree(hidden bool) string {
	s.Helper()
	var b strings.Builder
	s.must(filepath.WalkDir(s.work, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !hidden && strings.HasPrefix(e.Name(), ".") {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var content []byte
		if info.Mode().IsRegular() && !strings.HasSuffix(path, ".gz") { // which holds the times of what is packed
			content, err = os.ReadFile(path)
		}
		fmt.Fprintf(&b, "%s %v %q\n", strings.TrimPrefix(path, s.work), info.Mode(), content)
		return err
	}))
	return b.String()
}
