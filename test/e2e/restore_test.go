package e2e

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"runbook/engine/run"
	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/torture/tally"
)

// A finished restore that is rolled back leaves the previous data as it was,
// byte for byte, with owner, mode and times, and the unit as it was.
func TestRollbackOfAFinishedRestore(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.breakEtcd()
	before := tree(t, dataDir, true)

	s.runbook(0, "run", restore, "--yes")
	if s.unitState() != "active" {
		t.Fatal(s.unitState())
	}
	s.runbook(0, "rollback", "--yes")
	if after := tree(t, dataDir, true); after != before {
		t.Errorf("after the rollback:\n%s\nbefore:\n%s", after, before)
	}
	if state := s.unitState(); state == "active" || state == "activating" {
		t.Errorf("etcd had failed before, and is %s now", state)
	}
	s.contains(s.runbook(0, "list"), "rolled back")
	if !t.Failed() {
		tally.Count(t, "rollbacks of a shipped runbook's run to what was there before it", 1)
	}
}

// Restored over an etcd that ran well, and rolled back: it runs again and has
// what it had, newer keys included.
func TestRollbackToARunningEtcd(t *testing.T) {
	s := newScene(t, etcdhost.Options{Flags: true})
	s.takeBackup()
	s.must(s.etcd.Seed(s.ctx, keys+50))
	before := s.digest()

	s.runbook(0, "run", restore, "--yes", "--var", "force=true")
	if d := s.digest(); d.Keys != keys {
		t.Errorf("%d keys after the restore, want %d", d.Keys, keys)
	}
	s.runbook(0, "rollback", "--yes")
	if after := s.digest(); after != before || s.unitState() != "active" {
		t.Errorf("%s and %s after the rollback, %s before", after, s.unitState(), before)
	}
	if !t.Failed() {
		tally.Count(t, "rollbacks of a shipped runbook's run to what was there before it", 1)
	}
}

// A host that is recovered already has nothing to do.
func TestRecoveredHostHasAnEmptyPlan(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.breakEtcd()
	s.runbook(0, "run", restore, "--yes")
	invocation := s.invocation()

	s.contains(s.runbook(0, "plan", restore), "Nothing to do", "holds the data of")
	s.sh("etcdctl del /registry/pods/team-0/pods-000000") // life goes on
	s.contains(s.runbook(0, "plan", restore), "Nothing to do")
	s.contains(s.runbook(0, "run", restore, "--yes"), "Nothing to do")
	if s.invocation() != invocation {
		t.Error("etcd was restarted")
	}
	if n := strings.Count(s.runbook(0, "list"), "etcd-restore"); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// A backup of several members isn't made a cluster of one by accident, beside the
// others.
func TestBackupOfSeveralMembers(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.sh("etcdctl member add two --learner --peer-urls=http://127.0.0.1:12380")
	s.takeBackup()
	s.breakEtcd()
	for _, book := range []string{restore, recovery} {
		s.contains(s.runbook(1, "run", book, "--yes"), "2 members", "--var alone=true")
	}
	s.stop()
	s.must(s.etcd.Damage(s.ctx, etcdhost.RemoveData))
	s.contains(s.runbook(1, "run", recovery, "--yes"), "2 members", "--var alone=true")
	s.runbook(0, "run", restore, "--yes", "--var", "alone=true")
	if d := s.digest(); d.Keys != keys {
		t.Errorf("%d keys, want %d", d.Keys, keys)
	}
}

// Whole data isn't set back by accident, be etcd down or its data elsewhere: the
// restore says what is gentler, and what each loses.
func TestRestoreOverWholeDataWantsForce(t *testing.T) {
	for name, c := range map[string]struct {
		moved string // where the data is
		want  []string
	}{
		"stopped": {dataDir, []string{"start etcd on its data as it is", "It loses nothing"}},
		"beside":  {dataDir + ".old", []string{"use the data in " + dataDir + ".old", "It loses nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, etcdhost.Options{})
			s.takeBackup()
			s.must(s.etcd.Seed(s.ctx, keys+more))
			s.stop()
			s.sh("if [ " + dataDir + " != " + c.moved + " ]; then mv " + dataDir + " " + c.moved + "; fi")
			before := tree(t, c.moved, true)
			out := s.runbook(1, "run", restore, "--yes")
			s.contains(out, append(c.want, "since the backup: 6 writes", "runbook run etcd-recover.hcl", "--var force=true")...)
			if tree(t, c.moved, true) != before {
				t.Error("the data was touched")
			}
			s.contains(s.runbook(0, "list"), "no runs yet")

			s.contains(s.runbook(0, "run", restore, "--yes", "--var", "force=true"), "since the backup: 6 writes")
			if d := s.digest(); d.Keys != keys {
				t.Errorf("%d keys, want %d", d.Keys, keys)
			}
		})
	}
}

// A healthy etcd that has gone on since the snapshot isn't set back by
// accident; one that came up empty is.
func TestHealthyEtcdIsNotSetBackByAccident(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.sh("etcdctl del /registry/pods/team-0/pods-000000")
	invocation := s.invocation()
	s.contains(s.runbook(1, "run", restore, "--yes"), "has gone on since the snapshot", "force=true")
	if s.invocation() != invocation {
		t.Error("etcd was restarted")
	}

	s.stop()
	s.must(s.etcd.Damage(s.ctx, etcdhost.RemoveData))
	s.must(s.etcd.Start(s.ctx))
	if d := s.digest(); d.Keys != 0 {
		t.Fatalf("an empty etcd holds %d keys", d.Keys)
	}
	s.runbook(0, "run", restore, "--yes")
	if d := s.digest(); d.Keys != keys {
		t.Errorf("%d keys, want %d", d.Keys, keys)
	}
}

func (s *scene) invocation() string {
	s.Helper()
	return s.sh("systemctl show -P InvocationID " + s.etcd.Unit)
}

func TestPlanChangesNothing(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.breakEtcd()
	look := func() string {
		return tree(t, "/var/lib", true) + tree(t, "/var/backups", true) + tree(t, "/etc", true) +
			s.sh("systemctl show -p ActiveState,InvocationID,StateChangeTimestampMonotonic etcd.service")
	}
	before := look()
	s.contains(s.runbook(0, "plan", "-v", restore), "existing data → snapshot", "stopped → running")
	if after := look(); after != before {
		t.Error("the plan changed something")
	}
	if exists(stateDir) {
		t.Error("the plan made a state directory")
	}
}

// What is wrong is refused before anything is stopped, and the message says
// what to do.
func TestRefusedBeforeAnythingIsStopped(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	good := s.takeBackup()
	bad := t.TempDir()
	snapshot, err := os.ReadFile(good)
	s.must(err)
	flipped := append([]byte(nil), snapshot...)
	flipped[len(flipped)/2] ^= 4
	for name, data := range map[string][]byte{
		"truncated.db": snapshot[:len(snapshot)*2/3], "flipped.db": flipped, "empty.db": nil,
	} {
		s.must(os.WriteFile(filepath.Join(bad, name), data, 0o600))
	}
	s.sh("install -d " + bad + "/nothing")

	for name, c := range map[string]struct {
		vars []string
		want []string
	}{
		"wrong name":           {[]string{"name=cp2"}, []string{"cp2", "cp1"}},
		"wrong peer URL":       {[]string{"peer_url=https://127.0.0.1:2380"}, []string{"https://127.0.0.1:2380", s.etcd.PeerURL}},
		"old token":            {[]string{"cluster_token=" + s.etcd.Token}, []string{s.etcd.Token, "token"}},
		"no snapshot":          {[]string{"backup_dir=" + bad + "/nothing"}, []string{bad + "/nothing"}},
		"no directory":         {[]string{"backup_dir=" + bad + "/nowhere"}, []string{bad + "/nowhere"}},
		"missing snapshot":     {[]string{"snapshot=" + bad + "/none.db"}, []string{bad + "/none.db"}},
		"truncated snapshot":   {[]string{"snapshot=" + bad + "/truncated.db"}, []string{"truncated.db"}},
		"flipped bit":          {[]string{"snapshot=" + bad + "/flipped.db"}, []string{"flipped.db", "SHA-256"}},
		"empty snapshot":       {[]string{"snapshot=" + bad + "/empty.db"}, []string{"empty.db"}},
		"nothing but bad ones": {[]string{"backup_dir=" + bad}, []string{"truncated.db", "flipped.db", "empty.db"}},
		"no such unit":         {[]string{"unit=etcdd.service"}, []string{"etcdd.service"}},
	} {
		t.Run(name, func(t *testing.T) { s.refused(t, c.vars, c.want) })
	}
}

// refused wants a run to be turned down with a message that holds parts, and
// everything to be as it was.
func (s *scene) refused(t *testing.T, vars, parts []string) {
	t.Helper()
	inner := *s
	inner.T = t
	args := []string{"run", restore, "--yes", "--var", "force=true"}
	for _, v := range vars {
		args = append(args, "--var", v)
	}
	invocation, inode := inner.invocation(), inner.sh("stat -c %i "+s.etcd.DataDir)
	out := inner.runbook(1, args...)
	t.Log("\n" + out)
	inner.contains(out, append(parts, "Error:")...)
	if inner.invocation() != invocation || inner.unitState() != "active" {
		t.Error("etcd was stopped")
	}
	if inner.sh("stat -c %i "+s.etcd.DataDir) != inode {
		t.Error("the data directory is another one")
	}
	inner.contains(inner.runbook(0, "list"), "no runs yet")
}

// A file system that can't hold the new data beside the old is refused.
func TestFullDiskIsRefused(t *testing.T) {
	const small = "/mnt/small"
	if out, err := exec.Command("sh", "-ec", "mkdir -p "+small+" && mount -t tmpfs -o size=160m tmpfs "+small).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", small).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	s := newScene(t, etcdhost.Options{DataDir: small + "/etcd"})
	s.takeBackup()
	s.refused(t, nil, []string{small, "free"})
}

// slow is a unit that takes its time to start, so that there is a step in hand
// to be interrupted.
const slow = `[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'cat /run/slow-fifo > /dev/null; systemd-notify --ready; exec tail -f /dev/null'
`

// The first Ctrl-C finishes the step in hand, the second cuts it short; both
// leave a run that can be resumed.
func TestTwoStageInterrupt(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.sh("mkfifo /run/slow-fifo; cat > /etc/systemd/system/slow.service <<'EOF'\n" + slow + "EOF\nsystemctl daemon-reload")
	t.Cleanup(func() { s.ctx = context.Background(); s.sh("systemctl stop slow.service; rm -f /run/slow-fifo") })
	file := filepath.Join(t.TempDir(), "slow.hcl")
	s.must(os.WriteFile(file, []byte(`runbook "slow" {}
step "systemd_unit" "start" {
  unit  = "slow.service"
  state = "started"
}
step "chown" "next" {
  path  = "/var/backups"
  owner = "root"
}
`), 0o600))

	t.Run("first", func(t *testing.T) {
		cmd := s.start(t, "run", file, "--yes")
		s.await(t, "systemctl show -P ActiveState slow.service | grep -qx activating")
		s.must(cmd.Process.Signal(syscall.SIGINT))
		s.sh("echo go > /run/slow-fifo")
		if code := exitCode(cmd.Wait()); code != 3 {
			t.Errorf("exit code %d", code)
		}
		s.contains(s.runbook(0, "list"), "stopped 1 of 2")
		s.runbook(0, "resume")
		s.runbook(0, "rollback", "--yes")
	})
	t.Run("second", func(t *testing.T) {
		cmd := s.start(t, "run", file, "--yes")
		s.await(t, "systemctl show -P ActiveState slow.service | grep -qx activating")
		s.must(cmd.Process.Signal(syscall.SIGINT))
		s.must(cmd.Process.Signal(syscall.SIGINT))
		for cmd.Process.Signal(syscall.Signal(0)) == nil && !s.ended(cmd) {
			s.must(cmd.Process.Signal(syscall.SIGINT)) // two that come at once may be seen as one
		}
		if code := exitCode(cmd.Wait()); code != 3 {
			t.Errorf("exit code %d", code)
		}
		s.contains(s.runbook(0, "list"), "stopped 0 of 2")
		s.sh("echo go > /run/slow-fifo")
		s.runbook(0, "resume")
	})
}

func (s *scene) start(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(s.ctx, s.binary, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// ended reports whether a child has ended, without reaping it.
func (s *scene) ended(cmd *exec.Cmd) bool {
	out, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "stat"))
	return err != nil || strings.Contains(string(out), ") Z ")
}

// await waits until a shell condition holds, for half a minute at most.
func (s *scene) await(t *testing.T, condition string) {
	t.Helper()
	script := "for i in $(seq 1500); do if " + condition + "; then exit 0; fi; sleep 0.02; done; exit 1"
	if out, err := exec.CommandContext(s.ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("never: %s\n%s", condition, out)
	}
}

// What a run of a shipped runbook does is what its plan said, step by step.
func TestRunsDoWhatTheirPlansSaid(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.sh("install -d " + copyDir)
	s.unschedule()
	plan := filepath.Join(t.TempDir(), "plan")
	for _, args := range [][]string{
		{backup}, {backup, "--var", "keep_last=1", "--var", copies, "--var", `archive=["/etc/default"]`},
		{schedule, "--var", "binary=" + program.Path, "--var", copies}, {restore},
	} {
		if args[0] == restore {
			s.breakEtcd()
		}
		s.runbook(0, append([]string{"plan", "--out", plan}, args...)...)
		s.runbook(0, "run", plan, "--yes")
		s.samePlanAndRecord(t)
	}
}

// samePlanAndRecord compares the newest run's plan with the changes that it
// recorded.
func (s *scene) samePlanAndRecord(t *testing.T) {
	t.Helper()
	store := run.Store{Dir: stateDir}
	runs, err := store.List()
	s.must(err)
	state := runs[0].State
	if state.Phase != run.Finished || len(state.Header.Plan.Steps) == 0 {
		t.Fatalf("%+v", state)
	}
	for _, p := range state.Header.Plan.Steps {
		did := state.Steps[p.Name]
		if after := cmp.Or(p.KnownAfter, p.WhenAfter); after != "" {
			t.Logf("step %s was known only after %s", p.Name, after)
			continue
		}
		if !did.Change().SameAs(p.Change) {
			t.Errorf("step %s: planned\n%s\ndone\n%s", p.Name, run.Describe(p.Change), run.Describe(did.Change()))
			continue
		}
		tally.Count(t, "steps of shipped runbooks that did what their plan had said", 1)
	}
}
