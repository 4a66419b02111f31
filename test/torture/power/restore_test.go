package power

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"runbook/test/etcddir"
)

// The same for a restore, which changes the data directory and the log for new
// ones.
func TestRestore(t *testing.T) {
	tr := runOfRestore(t)
	tr.all(t, "a restore", counts{run: 10, rollback: 6, again: 3, killed: 4, rollbackKilled: 3})
}

func runOfRestore(t *testing.T) *trial {
	t.Helper()
	made := t.TempDir()
	snapshot(t, made)
	private(t)
	b := newBench(t, "restore.hcl")
	mount(t, b.root)
	b.began = time.Now()
	work := b.root + workDir
	must(t, "scene", os.MkdirAll(work+"/backup", 0o755))
	must(t, "scene", os.Mkdir(b.root+stateDir, 0o700))
	data, err := os.ReadFile(filepath.Join(made, "backup-1.db"))
	must(t, "scene", err)
	must(t, "scene", os.WriteFile(work+"/backup/backup-1.db", data, 0o600))
	must(t, "scene", os.MkdirAll(work+"/etcd/member/snap", 0o700))
	must(t, "scene", os.WriteFile(work+"/etcd/member/snap/db", []byte("damaged"), 0o600))
	must(t, "scene", os.Mkdir(work+"/wal", 0o700))
	must(t, "scene", os.WriteFile(work+"/wal/0000000000000000-0000000000000000.wal", []byte("damaged too"), 0o600))
	must(t, "scene", os.Lchown(work+"/etcd", 1000, 1000))
	age(t, work)
	args := append([]string{"run", b.runbook, "--yes"}, b.args...)
	return b.recorded(t, readDisk(t, b.root, b.began), nextInode(t, b.root), args...)
}

// snapshot makes a small one in dir.
func snapshot(t *testing.T, dir string) {
	t.Helper()
	m, err := etcddir.Start(t.Context(), "3.6", filepath.Join(dir, "data"))
	must(t, "etcd", err)
	err = m.Put(t.Context(), 0, 10)
	if err == nil {
		err = m.Save(t.Context(), filepath.Join(dir, "backup-1.db"))
	}
	must(t, "etcd", err)
	must(t, "etcd", m.Stop())
}
