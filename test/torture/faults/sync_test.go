package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runbook/engine/journal"
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

// What a disk has lost of the last record is found out also where the kernel keeps
// the journal in large pieces of memory, the last of which begins far before that
// record.
func TestLastRecordIsReadFromTheDisk(t *testing.T) {
	for kind, megabytes := range map[string]int{"ext4": 64, "xfs": 320} {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			d := newDisk(t, kind, dir, megabytes, 0)
			run := filepath.Join(dir, "run")
			last := writeUpTo(t, run, 12<<20)
			d.unmount()
			d.mount()
			if all, err := journal.All(run); err != nil || len(all) != last { // as whoever looks at the run reads it
				t.Fatalf("%d records of %d are read: %v", len(all), last, err)
			}
			text, err := os.ReadFile(filepath.Join(run, journal.FileName))
			must(t, err)
			lines := bytes.SplitAfter(text, []byte("\n"))
			d.lose(lines[last-1])
			seen := 0
			j, torn, err := journal.Open(run, func(journal.Record) error { seen++; return nil })
			must(t, err)
			if seen != last-1 || torn == nil || torn.Bytes != len(lines[last-1]) {
				t.Errorf("%d records of %d are read, though the disk has lost the last; torn: %+v", seen, last, torn)
			}
			must(t, j.Close())
		})
	}
}

// writeUpTo makes a journal of nearly that size, whose last records are short, and
// returns how many it has.
func writeUpTo(t *testing.T, dir string, size int64) (records int) {
	t.Helper()
	j, err := journal.Create(dir, "first", "")
	must(t, err)
	for left := size; left > 1<<10; records++ {
		_, err := j.Append("more", strings.Repeat("x", int(min(left/2, 32<<10))))
		must(t, err)
		info, err := os.Stat(filepath.Join(dir, journal.FileName))
		must(t, err)
		left = size - info.Size()
	}
	must(t, j.Close())
	return records + 1
}

// lose has the disk hold zeros in the place of a text. What the kernel has in
// memory of it stays.
func (d *disk) lose(text []byte) {
	d.Helper()
	image, err := os.OpenFile(d.image, os.O_RDWR, 0)
	must(d.T, err)
	defer image.Close()
	const piece = 1 << 20
	buf := make([]byte, piece+len(text))
	for at := int64(0); ; at += piece {
		n, err := image.ReadAt(buf, at)
		if i := bytes.Index(buf[:n], text); i >= 0 {
			_, err := image.WriteAt(make([]byte, len(text)), at+int64(i))
			must(d.T, err)
			return
		}
		must(d.T, err) // at the end: the text isn't on the disk
	}
}
