package kubehost

import (
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"runbook/test/binaries"
)

// A seed is what kubeadm and an import of images have left on a host's disk:
// every host begins as a copy of it.
type seed struct {
	dir  string
	lock *os.File
}

// seedAge is how long a seed is used. kubeadm's certificates are valid for a
// year; neither their end nor kubelet's renewal of its own is to be met.
const seedAge = 90 * 24 * time.Hour

// seed returns the seed for the kit's hosts, and makes it if need be. It stays
// as it is until it is released.
func (k *kit) seed(ctx context.Context) (*seed, error) {
	cache, err := binaries.LabCache()
	if err != nil {
		return nil, err
	}
	sum, err := k.sum()
	if err != nil {
		return nil, err
	}
	s := &seed{dir: filepath.Join(cache, "seed-"+k.kubernetes+"-"+sum)}
	if s.lock, err = os.Create(s.dir + ".lock"); err != nil {
		return nil, err
	}
	if err := s.makeOnce(ctx, k); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// makeOnce makes the seed unless it is there or another process is about to
// make it. Then it holds the seed with all who copy it.
func (s *seed) makeOnce(ctx context.Context, k *kit) error {
	fd := int(s.lock.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.lock.Name(), err)
	}
	if !s.fresh() {
		if err := k.makeSeed(ctx, s.dir); err != nil {
			return err
		}
	}
	return syscall.Flock(fd, syscall.LOCK_SH)
}

func (s *seed) release() { _ = s.lock.Close() } // nothing was written

// fresh reports whether the seed exists and is young enough. One from the
// future isn't: its certificates aren't valid yet.
func (s *seed) fresh() bool {
	info, err := os.Stat(s.dir)
	if err != nil {
		return false
	}
	age := time.Since(info.ModTime())
	return age >= 0 && age < seedAge
}

//go:embed config.go images.go kit.go makeseed.go
var recipe embed.FS

// sum is over all that a seed is made from: the programs, which their paths
// and versions tell apart, this package's way with them and the machine's
// container runtime.
func (k *kit) sum() (string, error) {
	h := sha256.New()
	for _, name := range binaries.Lab() {
		fmt.Fprintln(h, filepath.Base(filepath.Dir(k.programs[name])), name)
	}
	runtime, err := exec.Command("containerd", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("containerd --version: %w", err)
	}
	fmt.Fprintln(h, k.versions, string(runtime), k.plugins)
	files, err := recipe.ReadDir(".")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := recipe.ReadFile(f.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, len(text), string(text))
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:12], nil
}
