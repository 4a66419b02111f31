package e2e

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runbook/test/etcdhost"
)

const (
	recovery = "../../runbooks/etcd-recover.hcl"
	assess   = "../../runbooks/etcd-assess.hcl"
	more     = 50 // keys since the backup
)

// What a broken member is brought back with is the cure that loses least.
func TestRecover(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(*scene)
		cure   string
		lost   string
		keys   int
	}{
		"log truncated":    {func(s *scene) { s.sh("truncate -s 0 " + dataDir + "/member/wal/*.wal") }, "salvage", "nothing", keys + more},
		"log gone":         {func(s *scene) { s.sh("rm -r " + dataDir + "/member/wal") }, "salvage", "nothing", keys + more},
		"log torn":         {(*scene).tearLog, "repair", "", keys + more},
		"not etcd's":       {func(s *scene) { s.sh("chown -R root:root " + dataDir) }, "repair", "", keys + more},
		"torn, not etcd's": {func(s *scene) { s.tearLog(); s.sh("chown root:root " + dataDir + "/member/wal/*") }, "repair", "", keys + more},
		"db overwritten":   {func(s *scene) { s.must(s.etcd.Damage(s.ctx, etcdhost.OverwriteDB)) }, "restore", "everything since the backup", keys},
		"data gone":        {func(s *scene) { s.must(s.etcd.Damage(s.ctx, etcdhost.RemoveData)) }, "restore", "everything since the backup", keys},
		"data moved":       {func(s *scene) { s.sh("mv " + dataDir + " " + dataDir + ".old") }, "adopt", "nothing", keys + more},
		"nothing":          {func(*scene) {}, "restart", "nothing", keys + more},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, etcdhost.Options{})
			s.takeBackup()
			s.must(s.etcd.Seed(s.ctx, keys+more))
			s.stop()
			c.damage(s)
			before := s.everyTree()
			s.contains(s.runbook(0, "run", assess, "--yes"), "recommended = "+c.cure, "commands = runbook run etcd-recover.hcl")
			if s.everyTree() != before {
				t.Error("the assessment changed something")
			}
			out := s.runbook(0, "run", recovery, "--yes")
			s.contains(out, "cure = "+c.cure, "lost = "+c.lost)
			s.samePlanAndRecord(t)
			s.hasBackupOf(c.cure)
			if d := s.digest(); d.Keys != c.keys {
				t.Errorf("%d keys after %s, want %d", d.Keys, c.cure, c.keys)
			}
			s.contains(s.runbook(0, "plan", recovery), "Nothing to do")
		})
	}
}

// everyTree is the data directory, and what is beside it under a like name.
func (s *scene) everyTree() string {
	s.Helper()
	dirs, err := filepath.Glob(dataDir + "*")
	s.must(err)
	var all []string
	for _, dir := range dirs {
		all = append(all, dir, tree(s.T, dir, true))
	}
	return strings.Join(all, "\n")
}

// hasBackupOf wants a cluster that has become another one to have been backed up at
// once, and no other.
func (s *scene) hasBackupOf(cure string) {
	s.Helper()
	want := 1
	if cure == "salvage" || cure == "restore" {
		want = 2
	}
	if got := s.snapshots(backupDir); len(got) != want {
		s.Errorf("%d backups after %s, want %d: %v", len(got), cure, want, got)
	}
}

// Where a cure has failed, it is looked again, and asked before one that loses
// something; one that is declined is passed over, and the whole can be taken back.
func TestRecoverFallsToTheNextRung(t *testing.T) {
	s := newScene(t, etcdhost.Options{Flags: true})
	s.takeBackup()
	s.must(s.etcd.Seed(s.ctx, keys+more))
	s.stop()
	s.onlyStartsAnew()
	before := tree(t, dataDir, true)
	out, asked := s.recover("second/agree")
	s.contains(out, "cure = restore", "lost = everything since the backup")
	if got := strings.Join(asked, " "); got != "second/agree third/agree" {
		t.Errorf("asked for %q", got)
	}
	if d := s.digest(); d.Keys != keys {
		t.Errorf("%d keys, want %d", d.Keys, keys)
	}
	s.runbook(0, "rollback", "--yes")
	if after := tree(t, dataDir, true); after != before {
		t.Errorf("after the rollback:\n%s\nbefore:\n%s", after, before)
	}
}

// onlyStartsAnew has etcd fail on the database that it has now, for a reason that no
// look at it can tell.
func (s *scene) onlyStartsAnew() {
	s.Helper()
	const dropIn = "/etc/systemd/system/etcd.service.d/not-this.conf"
	db := dataDir + "/member/snap/db"
	s.sh("install -d $(dirname " + dropIn + ")")
	writeFile(s.T, dropIn, "[Service]\nExecStartPre=/bin/sh -c '[ $$(stat -c %%i "+db+") != "+s.sh("stat -c %i "+db)+" ]'\n")
	s.sh("systemctl daemon-reload")
	s.atEnd("rm -r " + dropIn + "; systemctl daemon-reload")
}

// What is wrong around etcd is put right, and its data is left alone.
func TestRecoverMends(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	before := s.digest()
	s.sh("systemctl mask --now etcd.service")
	s.atEnd("systemctl unmask etcd.service")
	s.contains(s.runbook(0, "run", recovery, "--yes"), "Cure: unmask etcd's unit, start etcd on its data as it is", "cure = restart", "lost = nothing")
	s.samePlanAndRecord(t)
	if after := s.digest(); after != before || s.unitState() != "active" {
		t.Errorf("%s and %s, before %s", after, s.unitState(), before)
	}
}

// What a diagnosis finds in an etcd that serves, and that wants no cure, is no reason
// to stop it.
func TestServingEtcdIsLeftAlone(t *testing.T) {
	s := newScene(t, etcdhost.Options{})
	s.takeBackup()
	s.sh("sed -i s,:2380,:2399, /etc/default/etcd")
	s.contains(s.runbook(0, "read", "etcd_diagnosis"), "configured as http://127.0.0.11:2399")
	s.contains(s.runbook(0, "plan", recovery), "Nothing to do")
}

var (
	runID = regexp.MustCompile(`Run (\S+) of etcd-recover`)
	steps = regexp.MustCompile(`(?m)^\[\d+/\d+\] (\S+)`)
)

// recover runs the recovery and agrees to each question but one, which it passes
// over. It returns what the last part of the run printed, and what was asked.
func (s *scene) recover(decline string) (out string, asked []string) {
	s.Helper()
	const waiting = 4
	args := []string{"run", recovery, "--yes"}
	for range 8 {
		var code int
		out, code = s.either(args...)
		if code == 0 {
			return out, asked
		}
		id, shown := runID.FindStringSubmatch(out), steps.FindAllStringSubmatch(out, -1)
		if code != waiting || id == nil || len(shown) == 0 {
			s.Fatalf("runbook %v: exit code %d\n%s", args, code, out)
		}
		step := shown[len(shown)-1][1]
		asked, args = append(asked, step), []string{"resume"}
		if step == decline {
			args = append(args, "--skip", step, "--reason", "not this one")
		} else {
			s.runbook(0, "approve", id[1], step, "--reason", "test")
		}
	}
	s.Fatalf("it asks without end: %v", asked)
	return "", nil
}

// tearLog leaves a record at the log's end that was never written as a whole,
// in a way that etcd refuses.
func (s *scene) tearLog() {
	s.Helper()
	files, err := filepath.Glob(dataDir + "/member/wal/*.wal")
	s.must(err)
	path := files[len(files)-1]
	data, err := os.ReadFile(path)
	s.must(err)
	end := (len(bytes.TrimRight(data, "\x00")) + 7) &^ 7
	const size = 40
	binary.LittleEndian.PutUint64(data[end:], size)
	copy(data[end+8:], bytes.Repeat([]byte{0xff}, size-4))
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	s.must(err)
	_, err = f.WriteAt(data[end:end+8+size], int64(end))
	s.must(err)
	s.must(f.Close())
}

// either runs the binary and returns what it printed and its exit code.
func (s *scene) either(args ...string) (string, int) {
	s.Helper()
	out, err := s.command(args...).CombinedOutput()
	return string(out), exitCode(err)
}

func (s *scene) command(args ...string) *exec.Cmd {
	return exec.CommandContext(s.ctx, s.binary, args...)
}
