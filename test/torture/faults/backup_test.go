package faults

import (
	"path/filepath"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

func (h *host) backUp(code int) program.Ended {
	h.Helper()
	return h.want(code, "run", backup, "--yes", "--var", "backup_dir="+backupDisk)
}

// empty lays out an empty place for backups, and for runs, with a disk of its
// own at one of them. etcd serves meanwhile.
func (h *host) empty(kind, at string, inodes int) *disk {
	h.Helper()
	sh(h.T, "rm -rf "+backupDisk+" "+stateDisk+"; mkdir -p "+backupDisk)
	return newDisk(h.T, kind, at, 400, inodes)
}

// The shipped backup: its disk, or that of the runs, fills up or turns
// read-only at each moment. No file takes the name of a backup that isn't one,
// etcd serves on, and the next backup is good.
func TestBackupOnADiskInTrouble(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		trouble  int
		kind, at string
	}{{0, "ext4", backupDisk}, {0, "xfs", backupDisk}, {1, "ext4", backupDisk}, {2, "ext4", backupDisk}, {0, "ext4", stateDisk}} {
		tr := troubles[c.trouble]
		t.Run(tr.name+" "+c.kind+" "+filepath.Base(c.at), func(t *testing.T) {
			inner := *h
			inner.T = t
			for n := 1; ; n++ {
				if !tally.Full() && n%selection != selection/2 {
					continue
				}
				if !tr.duringABackup(&inner, c.kind, c.at, n) {
					break
				}
				tally.Count(t, "moments in a backup of etcd at which a disk is "+tr.name+", backed up after it", 1)
			}
		})
	}
}

// duringABackup has the trouble come at the n-th sync or rename of a backup. It
// reports whether it came to that.
func (tr trouble) duringABackup(h *host, kind, at string, n int) bool {
	h.Helper()
	d := h.empty(kind, at, tr.inodes)
	defer d.gone()
	said, met := stoppedAt(h.T, n, func() { tr.begin(d) }, h.command, h.binary, "run", backup, "--yes", "--var", "backup_dir="+backupDisk)
	if !met {
		return false
	}
	tr.toldOf(h, d, said)
	tr.end(d)
	h.onlyGoodBackups()
	h.backUp(program.Done)
	if h.onlyGoodBackups() == 0 {
		h.Error("there is no backup")
	}
	if _, err := h.etcd.Digest(h.Context()); err != nil {
		h.Errorf("etcd doesn't serve any more: %v", err)
	}
	return !h.Failed()
}

// onlyGoodBackups fails where a file has the name of a backup and isn't one, and
// returns how many there are.
func (h *host) onlyGoodBackups() int {
	h.Helper()
	named, err := filepath.Glob(backupDisk + "/*.db")
	must(h.T, err)
	for _, path := range named {
		sh(h.T, "etcdutl snapshot status "+path)
	}
	return len(named)
}

// Where there is no room to begin with, a run is refused before it changes
// anything, and says how much is needed where it knows.
func TestRefusedOnAFullDisk(t *testing.T) {
	h := newHost(t)
	invocation := sh(t, "systemctl show -P InvocationID etcd.service")
	refused := func(at string, args ...string) {
		t.Helper()
		said := h.want(program.Failed, args...)
		contains(t, said.Stderr, at, "free")
		if h.open() != nil {
			t.Error("a run has begun")
		}
		if now := sh(t, "systemctl show -P InvocationID etcd.service"); now != invocation {
			t.Error("etcd was restarted")
		}
		tally.Count(t, "runs refused on a disk that is full, before they change anything", 1)
	}
	sh(t, "cp -a "+backupDisk+" "+h.origin)
	for _, kind := range []string{"ext4", "xfs"} {
		for _, at := range []string{backupDisk, stateDisk} {
			d := h.empty(kind, at, 0)
			d.fill()
			refused(at, "run", backup, "--yes", "--var", "backup_dir="+backupDisk)
			d.gone()
		}
		d := h.empty(kind, stateDisk, 0)
		d.fill()
		refused(stateDisk, "run", restore, "--yes", "--var", "force=true", "--var", "backup_dir="+h.origin+"/backups")
		d.gone()
	}
}
