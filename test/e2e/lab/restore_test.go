package lab

import (
	"bufio"
	"path/filepath"
	"strings"
	"testing"

	"runbook/test/kubehost"
)

const restore = "etcd-restore.hcl"

// The ways in which the data is lost, as shell scripts. Of a running etcd: some
// of them it only notices when it is started again. Where there is a gentler cure than
// a restore, that says so.
var losses = []struct{ name, script, gentler string }{
	{"first MiB of the database overwritten, log removed",
		"dd if=/dev/urandom of=" + dataDir + "/member/snap/db bs=1M count=1 conv=notrunc; rm -r " + dataDir + "/member/wal", ""},
	{"log cut to nothing", "truncate --size=0 " + dataDir + "/member/wal/*.wal", "make a new data directory from the database and the log"},
	{"stray file instead of the member", "rm -r " + dataDir + "/member; touch " + dataDir + "/member", ""},
	{"whole data directory gone", "rm -r " + dataDir, ""},
}

// Whatever way the data is lost, one command brings the cluster back.
func TestRecovery(t *testing.T) {
	s := newScene(t)
	s.didAsPlanned() // the baseline and its backup
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			s := s.in(t)
			s.sh("rm -rf " + dataDir + ".before-*") // what the recovery before has kept would be a gentler cure
			s.lose(loss.script)
			args := []string{"run", restore, "--yes"}
			if loss.gentler != "" {
				s.contains(s.runbook(1, args...), loss.gentler, "runbook run etcd-recover.hcl", "--var force=true")
				args = append(args, "--var", "force=true")
			}
			out := s.runbook(0, args...)
			s.contains(out, "Finished", "the members are exactly "+kubehost.Node)
			s.isBack()
			s.didAsPlanned()
			s.contains(s.runbook(0, "plan", restore), "Nothing to do")
		})
	}
	s.contains(s.runbook(0, "report"), "## Timeline", "kube-apiserver.yaml", "deployments.apps/production")
	s.validates()
}

// lose destroys the data, and has etcd notice.
func (s *scene) lose(script string) {
	s.Helper()
	s.sh(script + "; pkill -KILL -x etcd || true")
	must(s, s.host.Await(s.ctx, "etcd is down or empty", func() error {
		if out, err := s.host.Kubectl(s.ctx, "get", "namespace", namespace, "--request-timeout=2s"); err == nil {
			return errStill(out)
		}
		return nil
	}))
}

type errStill string

func (e errStill) Error() string { return "the cluster still answers: " + string(e) }

// validates runs the shipped health check, which looks and changes nothing.
func (s *scene) validates() {
	s.Helper()
	out := s.runbook(0, "run", "cluster-validate.hcl", "--yes",
		"--var", `namespaces=["kube-system","`+namespace+`"]`,
		"--var", `deployments=["`+namespace+`/payment-service"]`,
		"--var", `access={
			reads = { service_account = "`+namespace+`:payment-service", verb = "get", resource = "configmaps", namespace = "`+namespace+`" }
			kills = { service_account = "`+namespace+`:payment-service", verb = "delete", resource = "pods", namespace = "`+namespace+`", allowed = false }
		}`)
	s.contains(out, "Finished")
	s.didAsPlanned()
	s.contains(s.runbook(3, "run", "cluster-validate.hcl", "--yes", "--var", `deployments=["`+namespace+`/none"]`), "none")
	s.runbook(0, "abandon", s.unfinished(), "--reason", "it was to fail")
}

func (s *scene) unfinished() string {
	s.Helper()
	for line := range strings.Lines(s.runbook(0, "list")) {
		if strings.HasPrefix(line, " ") {
			continue // what failed inside of the run above
		}
		if strings.Contains(line, "failed") || strings.Contains(line, "stopped") || strings.Contains(line, "interrupted") {
			return strings.Fields(line)[0]
		}
	}
	s.Fatalf("no run is unfinished:\n%s", s.runbook(0, "list"))
	return ""
}

// Killed at the instruction that puts the restored data in place, and between
// the stop and the start of the control plane.
func TestKilledRecoveryIsResumed(t *testing.T) {
	s := newScene(t)
	t.Run("in the restore", func(t *testing.T) {
		s := s.in(t)
		s.lose(losses[0].script)
		s.exec(128+9, "strace", "-f", "-qqq", "-o", "/dev/null", "-P", filepath.Base(dataDir), // runbook works relative to the directory that it is in

			"-e", "inject=?rename,?renameat,renameat2:signal=KILL", "runbook", "run", restore, "--yes")
		s.contains(s.runbook(0, "list"), "interrupted")
		s.runbook(0, "resume")
		s.isBack()
		s.didAsPlanned()
	})
	t.Run("between stop and start", func(t *testing.T) {
		s := s.in(t)
		s.lose(losses[3].script)
		s.killedWhen("] restore")
		s.contains(s.runbook(0, "list"), "interrupted")
		s.runbook(0, "resume")
		s.isBack()
		s.didAsPlanned()
	})
}

// killedWhen runs the restore and kills it as soon as it prints a line that
// holds text.
func (s *scene) killedWhen(text string) {
	s.Helper()
	cmd := s.host.Command(s.ctx, "sh", "-c", "echo $$; exec runbook run "+restore+" --yes 2>&1")
	out, err := cmd.StdoutPipe()
	must(s, err)
	must(s, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Scan()
	pid := lines.Text()
	for lines.Scan() && !strings.Contains(lines.Text(), text) {
	}
	s.sh("kill -KILL " + pid)
	if got := exitCode(cmd.Wait()); got != 128+9 {
		s.Fatalf("exit code %d", got)
	}
}

// What would not fit this cluster is refused before anything is stopped.
func TestRefusedBeforeAnythingIsStopped(t *testing.T) {
	s := newScene(t)
	s.sh("cp " + backupDir + "/*.db /tmp/flipped.db; printf XXX | dd of=/tmp/flipped.db bs=1 seek=300000 conv=notrunc; head -c 100000 /tmp/flipped.db > /tmp/short.db")
	containers := func() string {
		return s.sh("ctr -n k8s.io tasks ls -q | sort; ls -i " + dataDir + "/member/snap/db /etc/kubernetes/manifests")
	}
	before := containers()
	for name, c := range map[string]struct {
		set  string
		want []string
	}{
		"name":           {"name=etcd-cp1", []string{"etcd-cp1", kubehost.Node}},
		"peer URL":       {"peer_url=https://127.0.0.1:2380", []string{"https://127.0.0.1:2380", kubehost.Address}},
		"old token":      {"cluster_token=etcd-cluster", []string{"etcd-cluster", "token"}},
		"missing backup": {"snapshot=/var/backups/none.db", []string{"/var/backups/none.db"}},
		"no directory":   {"backup_dir=/var/backups/none", []string{"/var/backups/none"}},
		"flipped bits":   {"snapshot=/tmp/flipped.db", []string{"flipped.db", "SHA-256"}},
		"cut short":      {"snapshot=/tmp/short.db", []string{"short.db"}},
		"stopped inside": {"stopped_dir=/etc/kubernetes/manifests/stopped", []string{"/etc/kubernetes/manifests"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			out := s.runbook(1, "run", restore, "--yes", "--var", "force=true", "--var", c.set)
			s.contains(out, append(c.want, "Error:")...)
		})
	}
	if after := containers(); after != before {
		t.Errorf("something was stopped or changed:\n%s\nbefore:\n%s", after, before)
	}
	s.contains(s.runbook(0, "run", restore, "--yes"), "Nothing to do")
	s.kubectl("delete", "configmap", "payment-config", "--namespace="+namespace)
	s.contains(s.runbook(1, "run", restore, "--yes"), "has gone on since the snapshot", "force=true")
	s.contains(s.runbook(0, "list"), "baseline")
	if list := s.runbook(0, "list"); strings.Contains(list, "etcd-restore") {
		t.Errorf("a refused run is listed:\n%s", list)
	}
}

// A restore over a cluster that went on since the backup is rolled back: all is
// there again, API server included.
func TestRollback(t *testing.T) {
	s := newScene(t)
	s.kubectl("create", "configmap", "since", "--namespace="+namespace, "--from-literal=a=b")
	s.runbook(0, "run", restore, "--yes", "--var", "force=true")
	s.isBack()
	s.sh("mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/") // somebody is at work
	s.contains(s.runbook(1, "run", restore, "--yes"), "move them back", "force=true")
	s.sh("mv /root/kube-apiserver.yaml /etc/kubernetes/manifests/")
	must(s, s.host.AwaitReady(s.ctx))
	if out, err := s.host.Kubectl(s.ctx, "get", "configmap", "since", "--namespace="+namespace); err == nil {
		t.Fatalf("what was written after the backup survived the restore: %s", out)
	}
	s.runbook(0, "rollback", s.newest(), "--yes")
	s.awaitAnswer() // the last thing that it does is to start kubelet, which starts all else
	s.isBack()
	if got := s.kubectl("get", "configmap", "since", "--namespace="+namespace, "--output=jsonpath={.data.a}"); got != "b" {
		t.Errorf("what was written after the backup is %q", got)
	}
	if left := s.sh("ls -A /etc/kubernetes"); strings.Contains(left, "stopped") {
		t.Errorf("the rollback leaves %s", left)
	}
}
