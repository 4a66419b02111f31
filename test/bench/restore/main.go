// Command restore measures the verified restore and the verification of an
// etcd snapshot beside etcdutl, in turns in one go, and prints the ratios. It
// asserts nothing: machines differ, and are noisy. What it makes, it removes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"runbook/test/binaries"
)

const (
	memberName = "cp1"
	peerURL    = "http://127.0.0.11:2380"
)

func main() {
	sizes := flag.String("sizes", "1.2", "sizes of the snapshots in GB, with commas between")
	rounds := flag.Int("rounds", 3, "how often each side takes its turn; the fastest of each counts")
	dir := flag.String("dir", os.TempDir(), "where to work; it takes three times the snapshot")
	flag.Parse()
	if err := bench(*dir, *sizes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(parent, sizes string, rounds int) error {
	dir, err := os.MkdirTemp(parent, "runbook-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // a throw-away
	runbook, err := filepath.Abs(filepath.Join("bin", "runbook"))
	if err != nil {
		return err
	}
	etcdutl, err := binaries.Path(context.Background(), "etcdutl")
	if err != nil {
		return err
	}
	fmt.Printf("A verified restore with a revision bump, ready to boot, and a verification, beside etcdutl (fastest of %d; %d cores)\n", rounds, runtime.NumCPU())
	for _, text := range strings.Split(sizes, ",") {
		var gb float64
		if _, err := fmt.Sscan(text, &gb); err != nil {
			return fmt.Errorf("size %q: %w", text, err)
		}
		s := &suite{runbook: runbook, etcdutl: etcdutl, rounds: rounds, dir: dir, snapshot: filepath.Join(dir, "backup.db")}
		if err := makeSnapshot(s.snapshot, int64(gb*1e9)); err != nil {
			return err
		}
		err := s.compare()
		if err == nil {
			err = s.onXFS()
		}
		if err != nil {
			return err
		}
		if err := os.Remove(s.snapshot); err != nil {
			return err
		}
	}
	return nil
}

// onXFS compares on an XFS in a file, where copies share their blocks.
func (s *suite) onXFS() error {
	if _, err := exec.LookPath("mkfs.xfs"); err != nil || os.Geteuid() != 0 {
		fmt.Printf("\nOn XFS: not measured. It takes root and mkfs.xfs, which is in the package xfsprogs.\n")
		return nil
	}
	info, err := os.Stat(s.snapshot)
	if err != nil {
		return err
	}
	image, mount := filepath.Join(s.dir, "xfs.img"), filepath.Join(s.dir, "xfs")
	defer os.Remove(image) // a throw-away
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, 2*info.Size()+2<<30); err != nil {
		return err
	}
	for _, c := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mkdir", mount}, {"mount", "-o", "loop", image, mount}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	defer exec.Command("umount", mount).Run() // before the image is removed
	x := *s
	x.dir, x.snapshot = mount, filepath.Join(mount, "backup.db")
	if out, err := exec.Command("cp", s.snapshot, x.snapshot).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return x.compare()
}
