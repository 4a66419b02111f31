package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"runbook/engine/run"
	"runbook/test/etcdhost"
	"runbook/test/program"
	"runbook/test/systemdhost"
	"runbook/test/torture/tally"
)

const (
	keys = 500
	// Each is a disk of its own when it is its turn.
	dataDisk   = "/srv/data"
	backupDisk = "/srv/backups"
	stateDisk  = "/srv/state"

	restore = "../../../runbooks/etcd-restore-systemd.hcl"
	backup  = "../../../runbooks/etcd-backup.hcl"
)

// A host is this machine with an etcd, a backup of it, and disks that get into
// trouble.
type host struct {
	*testing.T
	etcd           *etcdhost.Etcd
	binary, origin string // origin keeps the backup and the damaged data
}

// newHost sets an etcd up, takes a backup with the shipped runbook, and
// destroys the data.
func newHost(t *testing.T) *host {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	h := &host{T: t, binary: binary, origin: t.TempDir()}
	h.etcd, err = etcdhost.Install(t.Context(), systemdhost.Here{}, etcdhost.Options{DataDir: dataDisk + "/etcd"})
	must(t, err)
	t.Cleanup(func() {
		sh(t, "systemctl stop etcd.service; systemctl reset-failed; rm -rf /srv/data /srv/backups /srv/state")
	})
	must(t, h.etcd.Start(t.Context()))
	must(t, h.etcd.Seed(t.Context(), keys))
	sh(t, "mkdir -p "+backupDisk)
	h.want(program.Done, "run", backup, "--yes", "--var", "backup_dir="+backupDisk)
	return h
}

// damaged breaks etcd, and keeps its data and the backup for scenes to come.
func (h *host) damaged() *host {
	h.Helper()
	must(h.T, h.etcd.Damage(h.Context(), etcdhost.OverwriteDB))
	if err := h.etcd.Restart(h.Context()); err == nil {
		h.Fatal("etcd started on the damaged data")
	}
	must(h.T, h.etcd.Await(h.Context(), "failed"))
	sh(h.T, "cp -a "+dataDisk+" "+backupDisk+" "+h.origin)
	return h
}

// scene lays the damaged data and the backup out anew, with a disk of its own
// at one place.
func (h *host) scene(kind, at string, inodes int) *disk {
	h.Helper()
	sh(h.T, "systemctl stop etcd.service; systemctl reset-failed; rm -rf /srv/data /srv/backups /srv/state; mkdir -p /srv/data /srv/backups")
	d := newDisk(h.T, kind, at, 400, inodes)
	sh(h.T, "for d in data backups; do cp -a "+h.origin+"/$d/. /srv/$d/; done; sync -f "+at)
	return d
}

func (h *host) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.Context(), name, args...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+stateDisk)
	return cmd
}

func (h *host) want(code int, args ...string) program.Ended {
	h.Helper()
	s := finish(h.T, h.command(h.binary, args...))
	if s.Code != code {
		h.Fatalf("runbook %s: want exit code %d, got %s", strings.Join(args, " "), code, s)
	}
	return s
}

// open returns the run that is open; nil where there is none.
func (h *host) open() *run.Summary {
	h.Helper()
	all, err := run.Store{Dir: stateDisk}.List()
	must(h.T, err)
	for _, sum := range all {
		must(h.T, sum.Err)
		if sum.State.Phase.Open() {
			return &sum
		}
	}
	return nil
}

// outcome is what a restore leaves behind.
func (h *host) outcome() string {
	h.Helper()
	digest, err := h.etcd.Digest(h.Context())
	must(h.T, err)
	state, err := h.etcd.State(h.Context())
	must(h.T, err)
	kept, err := filepath.Glob(dataDisk + "/etcd.*")
	must(h.T, err)
	if len(kept) != 1 {
		h.Fatalf("beside the data directory: %v, want one kept directory", kept)
	}
	return fmt.Sprintf("%v %s, kept:\n%s", digest, state, tree(h.T, kept[0]))
}

// oldDataIsThere fails unless what etcd had is somewhere, as it was.
func (h *host) oldDataIsThere() {
	h.Helper()
	old := tree(h.T, h.origin+"/data/etcd")
	dirs, err := filepath.Glob(dataDisk + "/*etcd*")
	must(h.T, err)
	for _, dir := range dirs {
		if tree(h.T, dir) == old {
			return
		}
	}
	h.Errorf("etcd's old data isn't in any of %v", dirs)
}

// The shipped restore, on a real etcd: the disk of etcd's data, or that of the
// runs, fills up or turns read-only at each moment. The old data stays, the
// error says what is wrong, and once that is mended the run ends as it should.
func TestRestoreOnADiskInTrouble(t *testing.T) {
	h := newHost(t).damaged()
	d := h.scene("ext4", stateDisk, 0)
	h.want(program.Done, "run", restore, "--yes", "--var", "backup_dir="+backupDisk)
	want := h.outcome()
	d.gone()
	for _, c := range []struct {
		trouble  int
		kind, at string
		every    int // in full; elsewhere one moment in each is tried
	}{
		{0, "ext4", dataDisk, 1}, {0, "xfs", dataDisk, 4}, {1, "ext4", dataDisk, 4}, {2, "ext4", dataDisk, 3},
		{0, "ext4", stateDisk, 3}, {2, "ext4", stateDisk, 3},
	} {
		tr := troubles[c.trouble]
		t.Run(fmt.Sprintf("%s %s %s", tr.name, c.kind, filepath.Base(c.at)), func(t *testing.T) {
			inner := *h
			inner.T = t
			first, every := 1, c.every
			if !tally.Full() {
				first, every = 20, 1000
			}
			for n := first; tr.duringARestore(&inner, c.kind, c.at, n, want); n += every {
				tally.Count(t, "moments in a restore of etcd at which a disk is "+tr.name+", resumed", 1)
			}
		})
	}
}

// duringARestore has the trouble come at the n-th sync or rename of a restore.
// It reports whether it came to that.
func (tr trouble) duringARestore(h *host, kind, at string, n int, want string) bool {
	h.Helper()
	d := h.scene(kind, at, tr.inodes*8)
	said, met := stoppedAt(h.T, n, func() { tr.begin(d) }, h.command, h.binary, "run", restore, "--yes", "--var", "backup_dir="+backupDisk)
	defer d.gone()
	defer func() { must(h.T, h.etcd.Stop(context.Background())) }()
	if !met {
		return false
	}
	h.oldDataIsThere()
	tr.toldOf(h, d, said)
	h.mend(tr, d, strings.Contains(said.Stderr, "Step healthy failed"))
	switch {
	case h.open() != nil:
		h.want(program.Done, "resume")
	case said.Code != program.Done:
		h.want(program.Done, "run", restore, "--yes", "--var", "backup_dir="+backupDisk)
	}
	if got := h.outcome(); got != want {
		h.Errorf("at the %d. sync or rename, it ends with\n%s\nwant\n%s\n%s", n, got, want, said)
	}
	return !h.Failed()
}

// mend ends the trouble as somebody does who has read what there was to read: a
// disk isn't taken down from under etcd, and one that had started is started again.
func (h *host) mend(tr trouble, d *disk, started bool) {
	h.Helper()
	state, err := h.etcd.State(h.Context())
	must(h.T, err)
	if tr.remounts {
		must(h.T, h.etcd.Stop(h.Context()))
	}
	tr.end(d)
	if started || state == "active" {
		sh(h.T, "systemctl reset-failed")
		must(h.T, h.etcd.Start(h.Context()))
	}
}

// toldOf checks the exit code, and what is said of the disk.
func (tr trouble) toldOf(h *host, d *disk, s program.Ended) {
	h.Helper()
	begun := h.open() != nil
	switch {
	case s.Code == program.Done && !begun:
		return
	case s.Code == program.Stopped && begun, (s.Code == program.Failed || s.Code == program.RolledBack) && !begun:
	default:
		h.Errorf("begun: %v, %s", begun, s)
	}
	if !tr.told(d, s.Stderr) {
		h.Errorf("it doesn't say what is wrong with the disk at %s: %s", d.dir, s)
	}
}
