package kill

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runbook/test/etcdhost"
	"runbook/test/systemdhost"
	"runbook/test/torture/tally"
)

const restore = "../../../runbooks/etcd-restore-systemd.hcl"

// etcdScene is an etcd whose data is damaged, and a snapshot of what it held.
type etcdScene struct {
	*host
	etcd    *etcdhost.Etcd
	damaged string // a tree of the data, as it is before the restore
}

// The shipped restore of an etcd is killed with SIGKILL at each call that changes
// something, and resumed, or rolled back; and that is killed as well. It always
// ends with the same keys, owners, modes, unit state and kept data.
func TestEtcdRestoreKilledEverywhere(t *testing.T) {
	h := newHost(t)
	h.prepare()
	etcds := make([]*etcdScene, 1)
	if tally.Full() {
		etcds = make([]*etcdScene, 3)
	}
	for i := range etcds { // all of them before one runs: they share a program
		etcds[i] = h.newEtcd(i)
	}
	for _, s := range etcds {
		s.seed()
	}
	want, forward, back := etcds[0].reference()
	c := chooser{tally.Chance(t)}
	series := func(name string, kills []kill, try func(*etcdScene, kill)) {
		each(h, name, len(etcds), kills, func(h *host, i int) *etcdScene { return etcds[i].on(h.T) }, try)
	}

	series("resumed", c.some(forward, 3, len(forward)), func(s *etcdScene, k kill) {
		if s.dies(k) {
			s.goOn()
			s.isRestored(want)
			s.held("kill points of the shipped etcd restore, then resumed")
		}
	})
	series("rolled back", c.some(forward, 1, 40), func(s *etcdScene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isBack()
			s.held("kill points of the shipped etcd restore, a sample, then rolled back")
		}
	})
	series("rollback", c.some(back, 0, len(back)), func(s *etcdScene, k kill) {
		if s.dies(k) {
			s.goBack()
			s.isBack()
			s.held("kill points of its rollback, then resumed")
		}
	})
	series("resumes", c.with(forward, c.some(forward, 0, 30)), func(s *etcdScene, k kill) {
		if s.dies(k) {
			twice := s.diesOn(k.next)
			s.goOn()
			s.isRestored(want)
			s.heldIf(twice, "etcd restores killed, and twice again while resumed, then resumed")
		}
	})
	series("rollbacks", c.with(back, c.some(forward, 0, 30)), func(s *etcdScene, k kill) {
		if s.dies(k) {
			twice := s.diesBack(k.next)
			s.goBack()
			s.isBack()
			s.heldIf(twice, "etcd restores killed, and twice again while rolled back, then resumed")
		}
	})
}

// newEtcd installs an etcd.
func (h *host) newEtcd(i int) *etcdScene {
	h.Helper()
	dir, unit := fmt.Sprintf("%s/etcd%d", scenesDir, i), fmt.Sprintf("etcd%d.service", i)
	s := &etcdScene{host: h.in(h.T)}
	s.keepsIn(dir, restore, "unit="+unit, "backup_dir="+dir+"/backups")
	s.sh("mkdir -p " + dir + "/backups")
	var err error
	s.etcd, err = etcdhost.Install(s.ctx, systemdhost.Here{}, etcdhost.Options{
		Unit: unit, DataDir: dir + "/data", Flags: true,
		PeerURL: fmt.Sprintf("http://127.0.0.1%d:2380", i), ClientURL: fmt.Sprintf("http://127.0.0.1:2%d79", i),
	})
	s.must(err)
	s.atEnd("systemctl stop " + unit)
	return s
}

// seed gives etcd its keys, takes a snapshot of them and damages the data.
func (s *etcdScene) seed() {
	s.Helper()
	s.must(s.etcd.Start(s.ctx))
	s.must(s.etcd.Seed(s.ctx, 200))
	s.must(s.etcd.Snapshot(s.ctx, s.dir+"/backups/backup.db"))
	s.must(s.etcd.Stop(s.ctx))
	s.must(s.etcd.Damage(s.ctx, etcdhost.OverwriteDB))
	s.sh("cd " + s.dir + " && cp -a data damaged && find damaged -exec touch -h -d 2026-01-01T00:00:00Z {} +")
	s.damaged = s.tree(s.dir + "/damaged")
}

// on is the scene for a subtest.
func (s *etcdScene) on(t *testing.T) *etcdScene {
	own := *s
	own.host = s.host.in(t)
	return &own
}

// reset lays the damaged data out. Starts of etcd before don't count for its
// start limit.
func (s *etcdScene) reset() {
	s.Helper()
	s.must(s.etcd.Stop(s.ctx))
	s.sh("systemctl reset-failed " + s.etcd.Unit + " 2>/dev/null || true; cd " + s.dir + " && rm -rf state data data.* && cp -a damaged data")
}

// reference carries the restore out undisturbed, and its rollback. It tells what
// it comes to, and where the two can be killed.
func (s *etcdScene) reference() (want string, forward, back []kill) {
	s.Helper()
	s.reset()
	points := func(stage int, args ...string) (kills []kill) {
		all, elsewhere := s.points(0, args...)
		for _, call := range elsewhere {
			if !unfinished.MatchString(call) {
				s.Fatalf("a change that is not made on the first thread, where it can be counted: %s", call)
			}
		}
		for _, p := range all {
			kills = append(kills, kill{stage: stage, point: p})
		}
		return kills
	}
	forward = points(0, "run", restore, "--yes")
	want = s.outcome()
	back = points(rollback, "rollback", "--yes")
	s.isBack()
	return want, forward, back
}

// unfinished is in a call that changes a restore that isn't in place yet, by its
// name or, for etcd's own code, through the open directory. It is thrown away and
// made anew.
var unfinished = regexp.MustCompile(`\.partial/|"/proc/\d+/fd/\d+/member/wal/0\.tmp"`)

// dies carries the restore out up to a point at which it is killed, or the
// rollback of a finished one.
func (s *etcdScene) dies(k kill) bool {
	s.Helper()
	s.reset()
	if k.stage == rollback {
		s.goOn()
		return s.killedOr(done, k.point, s.backward())
	}
	return s.killedOr(done, k.point, s.onward())
}

// outcome is what a restore leaves behind: the keys, the data's names, owners
// and modes, and all of what it keeps. A running etcd writes, so it is stopped.
func (s *etcdScene) outcome() string {
	s.Helper()
	state, err := s.etcd.State(s.ctx)
	s.must(err)
	digest, err := s.etcd.Digest(s.ctx)
	s.must(err)
	s.must(s.etcd.Stop(s.ctx))
	beside, err := filepath.Glob(s.dir + "/data.*")
	s.must(err)
	if len(beside) != 1 {
		s.Fatalf("beside the data directory: %v, want one kept directory", beside)
	}
	s.equal("what was kept", s.tree(beside[0]), s.damaged)
	return fmt.Sprintf("etcd is %s, %s\n%s", state, digest, outline(s.tree(s.dir+"/data")))
}

// outline is a tree's names, modes and owners.
func outline(tree string) string {
	var out strings.Builder
	for line := range strings.Lines(tree) {
		fields := strings.Fields(line)
		out.WriteString(strings.Join(fields[:min(3, len(fields))], " ") + "\n")
	}
	return out.String()
}

func (s *etcdScene) isRestored(want string) {
	s.Helper()
	out := s.runbook(done, "plan", restore)
	if !strings.Contains(out, "Nothing to do") {
		s.Errorf("the plan afterwards:\n%s", out)
	}
	s.equal("the restored etcd", s.outcome(), want)
	r := s.look()
	s.orderly(r)
	if r.Status != "finished" || r.StepsDone != r.Steps {
		s.Errorf("show: %s, %d of %d steps done", r.Status, r.StepsDone, r.Steps)
	}
}

// isBack holds that the data is as it was, and etcd down.
func (s *etcdScene) isBack() {
	s.Helper()
	s.equal("the data", s.tree(s.dir+"/data"), s.damaged)
	state, err := s.etcd.State(s.ctx)
	s.must(err)
	if state != "inactive" && state != "failed" {
		s.Errorf("etcd was down, and is %s", state)
	}
	// What the restore had made lies beside the data now, and would lose less.
	if out := s.runbook(done, "plan", restore, "-v", "--var", "force=true"); !strings.Contains(out, "existing data → snapshot") {
		s.Errorf("the plan afterwards:\n%s", out)
	}
	if r := s.look(); r != nil {
		s.orderly(r)
		s.equal("show", r.Status, "rolled_back")
	}
}
