package faults

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// A failingDisk is one whose free blocks can't be written, as a thin volume's
// whose pool is full: it lies in a memory that is used up.
type failingDisk struct {
	*disk
	memory string
}

func newFailingDisk(t *testing.T, dir string) *failingDisk {
	t.Helper()
	loops()
	memory, err := os.MkdirTemp("/run", "disk-")
	must(t, err)
	sh(t, "mount -t tmpfs -o size=20m tmpfs "+memory)
	t.Cleanup(func() { sh(t, "umount "+memory+"; rmdir "+memory) })
	d := &failingDisk{disk: &disk{T: t, dir: dir, kind: "ext4", image: memory + "/image"}, memory: memory}
	sh(t, "mkdir -p "+dir+"; truncate -s 16M "+d.image+"; mkfs.ext4 -q -b 4096 "+d.image+"; fallocate -l 16M "+d.image)
	d.mount()
	t.Cleanup(func() { sh(t, "umount "+dir) })
	return d
}

var freeBlocks = regexp.MustCompile(`(?m)^  Free blocks: (.*)$`)
var blockRange = regexp.MustCompile(`(\d+)(?:-(\d+))?`)

// spoil makes the blocks fail that are free now.
func (d *failingDisk) spoil() {
	d.Helper()
	sh(d.T, "sync -f "+d.dir)
	size, script := 4096, ""
	for _, m := range freeBlocks.FindAllStringSubmatch(sh(d.T, "dumpe2fs "+d.image+" 2>/dev/null"), -1) {
		for _, r := range blockRange.FindAllStringSubmatch(m[1], -1) {
			var from, to int
			fmt.Sscan(r[1], &from)
			if to = from; r[2] != "" {
				fmt.Sscan(r[2], &to)
			}
			script += fmt.Sprintf("fallocate -p -o %d -l %d %s\n", from*size, (to-from+1)*size, d.image)
		}
	}
	sh(d.T, script+"cat /dev/zero >"+d.memory+"/filler 2>/dev/null || true")
}

// heal makes them good again.
func (d *failingDisk) heal() {
	d.Helper()
	sh(d.T, "rm "+d.memory+"/filler")
}

// A disk that fails drops what it can't write, and the kernel still shows it to
// whoever reads. The run stops, and what is taken up afterwards lasts: also
// where nothing is left in memory.
func TestFailedSyncIsFinal(t *testing.T) {
	p := newPlace(t)
	d := newFailingDisk(t, p.at("state"))
	p.want(program.Waits, runWork(p)...)
	p.want(program.Done, approveWork(p)...)
	ref := newPlace(t)
	for _, s := range []func(*place) []string{runWork, approveWork, logged("resume")} {
		ref.runbook(s(ref)...)
	}
	d.spoil()
	said := p.want(program.Stopped, "resume")
	contains(t, said.Stderr, "the journal can't be synced", p.at("state")+" (ext4 on ", "what it lies on is full, as dmesg tells", "runbook resume "+p.id())
	d.heal()
	p.want(program.Done, "list")
	p.want(program.Done, "resume")
	d.unmount()
	d.mount()
	p.want(program.Done, "show", p.id())
	if got, want := p.outcome(), ref.outcome(); got != want {
		t.Errorf("it ends with\n%s\nwant\n%s", got, want)
	}
	tally.Count(t, "disks that lose what they are given, gone on with", 1)
}
