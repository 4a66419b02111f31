// Package binaries builds the programs that tests need beside the product's.
// Their sources are those that the module in test/tools names.
package binaries

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

var packages = map[string]string{
	"etcd":        "go.etcd.io/etcd/server/v3",
	"etcdctl":     "go.etcd.io/etcd/etcdctl/v3",
	"etcdutl":     "go.etcd.io/etcd/etcdutl/v3",
	"staticcheck": "honnef.co/go/tools/cmd/staticcheck",
}

// Path returns the path of a program, and builds it first if need be. The
// first build downloads sources and takes a minute or two, so do it outside of
// a host, which has no network: "make tools" does.
func Path(ctx context.Context, name string) (string, error) {
	pkg, ok := packages[name]
	if !ok {
		return "", fmt.Errorf("binaries: test/tools knows no program %q", name)
	}
	dir := filepath.Join(root(), ".cache", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, name)
	if current(path) {
		return path, nil
	}
	return path, build(ctx, pkg, path)
}

// root is the repository's directory.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// current reports whether a program is at least as new as the list of versions.
func current(path string) bool {
	binary, err := os.Stat(path)
	if err != nil {
		return false
	}
	versions, err := os.Stat(filepath.Join(root(), "test", "tools", "go.mod"))
	return err == nil && !binary.ModTime().Before(versions.ModTime())
}

func build(ctx context.Context, pkg, path string) error {
	// go build leaves a program that is up to date as it is, age and all.
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, pkg)
	cmd.Dir = filepath.Join(root(), "test", "tools")
	// Static, so that it runs in any host.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}

// lock keeps two test processes from building at once.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close() // opened for reading only
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}
