package power

import (
	"os"
	"testing"
	"time"
)

// The same for a drill, which takes things away and brings them back.
func TestFaults(t *testing.T) {
	tr := runOfFaults(t)
	tr.all(t, "fault_remove", counts{run: 8, rollback: 8, again: 2, killed: 8, rollbackKilled: 25})
}

func runOfFaults(t *testing.T) *trial {
	t.Helper()
	private(t)
	b := newBench(t, "faults.hcl")
	mount(t, b.root)
	b.began = time.Now()
	work := b.root + workDir
	must(t, "scene", os.MkdirAll(work+"/data/member", 0o755))
	must(t, "scene", os.WriteFile(work+"/data/member/db", []byte("a database\n"), 0o640))
	must(t, "scene", os.WriteFile(work+"/data/lost", []byte("to be lost\n"), 0o640))
	must(t, "scene", os.WriteFile(work+"/data/empty", nil, 0o640)) // as what is put in place of something is
	must(t, "scene", os.Mkdir(b.root+stateDir, 0o700))
	age(t, work)
	host, err := os.Hostname()
	must(t, "the drill's host", err)
	b.args = append(b.args, "--drill", host)
	args := append([]string{"run", b.runbook, "--yes"}, b.args...)
	return b.recorded(t, readDisk(t, b.root, b.began), nextInode(t, b.root), args...)
}
