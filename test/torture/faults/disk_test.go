package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// A disk is a small file system of its own on a loop device.
type disk struct {
	*testing.T
	dir, kind string
	image     string
}

// newDisk makes a file system of a kind and mounts it at dir. inodes is how
// many files it may hold; 0 is as many as it likes.
func newDisk(t *testing.T, kind, dir string, megabytes, inodes int) *disk {
	t.Helper()
	loops()
	memory, err := os.MkdirTemp("/run", "disk-")
	must(t, err)
	d := &disk{T: t, dir: dir, kind: kind, image: filepath.Join(memory, "image")}
	make := "mkfs." + kind + " -q"
	if inodes > 0 {
		make += " -N " + strconv.Itoa(inodes)
	}
	sh(t, "truncate -s "+strconv.Itoa(megabytes)+"M "+d.image+"; "+make+" "+d.image+"; mkdir -p "+dir)
	d.mount()
	t.Cleanup(d.gone)
	return d
}

// gone takes the disk away.
func (d *disk) gone() {
	if d.image != "" {
		sh(d.T, "umount "+d.dir)
		must(d.T, os.RemoveAll(filepath.Dir(d.image)))
	}
	d.image = ""
}

// loops makes the devices that a host hasn't got. The kernel takes a loop
// device down with its last mount.
var loops = sync.OnceFunc(func() {
	script := "[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237; for i in $(seq 0 63); do [ -e /dev/loop$i ] || mknod /dev/loop$i b 7 $i; done"
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
})

func (d *disk) mount() {
	d.Helper()
	sh(d.T, "mount -o loop "+d.image+" "+d.dir)
}

// fill takes all room that there is.
func (d *disk) fill() {
	d.Helper()
	sh(d.T, `cd `+d.dir+`
		for size in 65536 1024 64 1; do
			i=0; while fallocate -l ${size}K filler.$size.$i 2>/dev/null; do i=$((i+1)); done
		done
		sync -f .
		i=0; while head -c 512 /dev/zero 2>/dev/null >filler.$i; do i=$((i+1)); done`)
}

// takeInodes takes all names that there may be.
func (d *disk) takeInodes() {
	d.Helper()
	sh(d.T, `cd `+d.dir+`; mkdir filler; i=0; while touch filler/$i 2>/dev/null; do i=$((i+1)); done; sync -f .`)
}

// free gives the room back.
func (d *disk) free() {
	d.Helper()
	sh(d.T, "rm -rf "+d.dir+"/filler*")
}

// abort makes the disk read-only at once, as the kernel does where it meets an
// error. What had not been synced is lost.
func (d *disk) abort() {
	d.Helper()
	sh(d.T, "mount -o remount,abort "+d.dir)
}

// mend takes the disk down and up again.
func (d *disk) mend() {
	d.Helper()
	d.unmount()
	d.mount()
}

func (d *disk) unmount() {
	d.Helper()
	sh(d.T, "umount "+d.dir)
}
