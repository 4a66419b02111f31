// Package e2e runs the real binary against a real etcd under a real systemd.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/systemdhost"
)

func TestMain(m *testing.M) {
	systemdhost.MainIn(m, systemdhost.Options{Name: "e2e", Disk: []string{"/tmp", "/var/lib", "/var/backups"}})
}

const (
	dataDir   = "/var/lib/etcd"
	backupDir = "/var/backups/etcd"
	stateDir  = "/var/lib/runbook"
	keys      = 500
)

// scene is a host with the binary to test, and mostly an etcd that holds keys.
type scene struct {
	*testing.T
	ctx    context.Context
	binary string
	etcd   *etcdhost.Etcd
}

// newScene sets an etcd up from nothing, starts it and puts keys into it.
func newScene(t *testing.T, o etcdhost.Options) *scene {
	t.Helper()
	s := bareScene(t)
	var err error
	s.etcd, err = etcdhost.Install(s.ctx, systemdhost.Here{}, o)
	s.must(err)
	s.atEnd("systemctl stop " + s.etcd.Unit)
	s.must(s.etcd.Start(s.ctx))
	s.must(s.etcd.Seed(s.ctx, keys))
	s.sh("install -d -m 0700 " + backupDir)
	return s
}

// bareScene is a scene without an etcd.
func bareScene(t *testing.T) *scene {
	t.Helper()
	binary, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{T: t, ctx: t.Context(), binary: binary}
	s.wipe()
	t.Cleanup(func() { s.ctx = context.Background(); s.wipe() })
	return s
}

// atEnd runs a shell script after the test, whose own context has ended by then.
func (s *scene) atEnd(script string) {
	s.Helper()
	s.Cleanup(func() { s.ctx = context.Background(); s.sh(script) })
}

// wipe removes what earlier tests left behind.
func (s *scene) wipe() {
	s.Helper()
	s.sh("if systemctl -q is-active etcd.service; then systemctl stop etcd.service; fi; systemctl reset-failed; " +
		"rm -rf " + dataDir + "* " + stateDir + " " + backupDir + " " + copyDir)
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// sh runs a shell script, which has to succeed, and returns what it printed.
func (s *scene) sh(script string) string {
	s.Helper()
	out, err := exec.CommandContext(s.ctx, "sh", "-ec", script).CombinedOutput()
	if err != nil {
		s.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// runbook runs the binary, wants an exit code, and returns all that it printed.
func (s *scene) runbook(code int, args ...string) string {
	s.Helper()
	return s.exec(code, s.binary, args...)
}

func (s *scene) exec(code int, name string, args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if got := exitCode(err); got != code {
		s.Fatalf("%s: exit code %d (%v), want %d\n%s", cmd, got, err, code, out)
	}
	return string(out)
}

// exitCode is what a command ended with; -1 where it couldn't be run.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return program.Done
	case errors.As(err, &exit):
		return program.Code(exit.ProcessState)
	}
	return -1
}

func (s *scene) contains(text string, parts ...string) {
	s.Helper()
	for _, p := range parts {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), p) {
			s.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

const (
	restore  = "../../runbooks/etcd-restore-systemd.hcl"
	backup   = "../../runbooks/etcd-backup.hcl"
	schedule = "../../runbooks/etcd-backup-schedule.hcl"
)

// takeBackup saves a snapshot with the shipped runbook and returns its path.
func (s *scene) takeBackup() string {
	s.Helper()
	s.runbook(0, "run", backup, "--yes")
	s.sh("rm -rf " + stateDir)
	return s.sh("ls -t " + backupDir + "/*.db | head -1")
}

// breakEtcd destroys the data, and waits until etcd has failed on it.
func (s *scene) breakEtcd() {
	s.Helper()
	s.must(s.etcd.Damage(s.ctx, etcdhost.OverwriteDB))
	if err := s.etcd.Restart(s.ctx); err == nil {
		s.Fatal("etcd started on the damaged data")
	}
	s.must(s.etcd.Await(s.ctx, "failed"))
}

func (s *scene) digest() etcdhost.Digest {
	s.Helper()
	d, err := s.etcd.Digest(s.ctx)
	s.must(err)
	return d
}

func (s *scene) unitState() string {
	s.Helper()
	state, err := s.etcd.State(s.ctx)
	s.must(err)
	return state
}

// tree describes everything below root, a line an entry: name, type and mode,
// owner, and where wanted the content and the time of the last modification.
func tree(t *testing.T, root string, exact bool) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%s %s %d:%d", strings.TrimPrefix(p, root), info.Mode(), st.Uid, st.Gid)
		if exact {
			line += fmt.Sprintf(" %s %s", info.ModTime().Format(time.RFC3339Nano), content(t, p, info))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func content(t *testing.T, path string, info fs.FileInfo) string {
	t.Helper()
	if !info.Mode().IsRegular() {
		return ""
	}
	out, err := exec.Command("sha256sum", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[0]
}

// stop ends etcd and waits until it is down.
func (s *scene) stop() {
	s.Helper()
	s.must(s.etcd.Stop(s.ctx))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// try runs a command whatever it exits with.
func (s *scene) try(name string, args ...string) (code int, out string) {
	s.Helper()
	cmd := exec.CommandContext(s.ctx, name, args...)
	text, err := cmd.CombinedOutput()
	return exitCode(err), string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
