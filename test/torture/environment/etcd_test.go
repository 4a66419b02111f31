package environment

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/systemdhost"
	"runbook/test/torture/tally"
)

func etcd(t *testing.T, keys int, o etcdhost.Options) *etcdhost.Etcd {
	t.Helper()
	e, err := etcdhost.Install(t.Context(), systemdhost.Here{}, o)
	must(t, err)
	t.Cleanup(func() {
		sh(t, "systemctl kill -s CONT "+e.Unit+" || true; systemctl stop "+e.Unit+"; systemctl reset-failed; rm -rf "+e.DataDir)
	})
	must(t, e.Start(t.Context()))
	must(t, e.Seed(t.Context(), keys))
	return e
}

const health = `
step "etcd_health" "healthy" {
  endpoints       = ["http://127.0.0.1:2379"]
  timeout_seconds = 1
  retry {
    attempts = ATTEMPTS
    delay    = "100ms"
  }
}
`

func withAttempts(text, attempts string) string {
	return strings.ReplaceAll(text, "ATTEMPTS", attempts)
}

// etcd hangs: it takes connections and never answers. What asks it gives up in
// time, says so, and goes on once it answers again.
func TestEtcdNeverAnswers(t *testing.T) {
	e := etcd(t, 200, etcdhost.Options{})
	for name, step := range map[string]string{
		"health":  withAttempts(health, "2"),
		"members": "step \"etcd_members\" \"members\" {\n  endpoints = [\"http://127.0.0.1:2379\"]\n  timeout_seconds = 1\n  expect = { cp1 = [\"" + e.PeerURL + "\"] }\n}\n",
		"save":    "step \"etcd_snapshot_save\" \"save\" {\n  endpoints = [\"http://127.0.0.1:2379\"]\n  path = \"DIR/backups/1.db\"\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, step)
			must(t, os.Mkdir(filepath.Join(s.dir, "backups"), 0o700))
			sh(t, "systemctl kill -s STOP "+e.Unit)
			r := s.start("run", s.book, "--yes")
			out := r.ends(program.Stopped)
			s.contains(out, "http://127.0.0.1:2379", "runbook resume")
			if left := sh(t, "ls "+filepath.Join(s.dir, "backups")); left != "" {
				t.Errorf("the backup that wasn't made left %q", left)
			}
			sh(t, "systemctl kill -s CONT "+e.Unit)
			s.runbook(program.Done, "resume")
			tally.Count(t, "questions to an etcd that never answers", 1)
		})
	}
}

// etcd hangs for longer than it is asked to answer, and then goes on: the wait
// is for that.
func TestEtcdAnswersSlowly(t *testing.T) {
	e := etcd(t, 200, etcdhost.Options{})
	s := newScene(t, withAttempts(health, "100"))
	sh(t, "systemctl kill -s STOP "+e.Unit)
	r := s.start("run", s.book, "--yes")
	r.shows("[1/1] healthy")
	sh(t, "systemctl kill -s CONT "+e.Unit)
	r.ends(program.Done)
	tally.Count(t, "waits for an etcd that answers late", 1)
}

// While a run waits for somebody to agree, the etcd that it is about becomes
// another one: another cluster with other members and keys answers at the same
// place. What compares says so rather than be content that something answers.
func TestEtcdIsAnother(t *testing.T) {
	e := etcd(t, 200, etcdhost.Options{})
	s := newScene(t, `
step "etcd_snapshot_save" "save" {
  endpoints = ["http://127.0.0.1:2379"]
  path      = "DIR/backups/1.db"
}
step "etcd_health" "before" {
  endpoints = ["http://127.0.0.1:2379"]
}
step "confirm" "look" {
  message = "Is it still there?"
}
step "etcd_health" "after" {
  endpoints = ["http://127.0.0.1:2379"]

  postcondition {
    condition     = self.cluster_id == step.before.cluster_id
    error_message = "another cluster answers: ${self.cluster_id}, not ${step.before.cluster_id}"
  }
}
step "etcd_compare" "compare" {
  endpoints = ["http://127.0.0.1:2379"]
  snapshot  = step.save.path
}
`)
	must(t, os.Mkdir(filepath.Join(s.dir, "backups"), 0o700))
	waits := s.runbook(program.Waits, "run", s.book, "--yes")
	id := regexp.MustCompile(`\d{8}-\d{6}-\w{4}`).FindString(waits.Stdout)
	must(t, e.Stop(t.Context()))
	sh(t, "rm -rf "+e.DataDir)
	etcd(t, 100, etcdhost.Options{Name: "other", Token: "another", PeerURL: "http://127.0.0.12:2380"})
	s.runbook(program.Done, "approve", id, "look", "--reason", "test")
	ended := s.runbook(program.Stopped, "resume")
	s.contains(ended.Stdout+ended.Stderr, "another cluster answers")
	ended = s.runbook(program.Stopped, "resume", "--skip", "after", "--reason", "seen")
	s.contains(ended.Stdout+ended.Stderr, "100 missing")
	tally.Count(t, "clusters that became another in the middle of a run", 1)
}
