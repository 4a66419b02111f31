// Package binaries builds the programs that tests need beside the product's.
// Their sources are those that the modules in test/tools name.
package binaries

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// tools is the directory of the module that names the programs' versions.
const tools = "test/tools"

// program is where a program comes from.
type program struct {
	module string // the directory of the module that names its version
	pkg    string
}

var programs = map[string]program{
	"etcd":        {tools, "go.etcd.io/etcd/server/v3"},
	"etcd35":      {tools + "/etcd35", "go.etcd.io/etcd/server/v3"},
	"etcd36":      {tools + "/etcd36", "go.etcd.io/etcd/server/v3"},
	"etcdctl":     {tools, "go.etcd.io/etcd/etcdctl/v3"},
	"etcdutl":     {tools, "go.etcd.io/etcd/etcdutl/v3"},
	"staticcheck": {tools, "honnef.co/go/tools/cmd/staticcheck"},
}

// versions is the file that names the program's version.
func (p program) versions() string { return filepath.Join(p.module, "go.mod") }

// Path returns the path of a program, and builds it first if need be. The
// first build downloads sources and takes a minute or two, so do it outside of
// a host, which has no network: "make tools" does.
func Path(ctx context.Context, name string) (string, error) {
	p, ok := programs[name]
	if !ok {
		return "", fmt.Errorf("binaries: test/tools knows no program %q", name)
	}
	root, err := root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".cache", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, name)
	if p.current(root, path) {
		return path, nil
	}
	return path, p.build(ctx, root, path)
}

// root is the repository's directory, which the working directory is in.
func root() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, tools, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("binaries: %s is in no directory above %s", tools, wd)
		}
	}
}

// current reports whether a program is at least as new as the list of versions.
func (p program) current(root, path string) bool {
	binary, err := os.Stat(path)
	if err != nil {
		return false
	}
	list, err := os.Stat(filepath.Join(root, p.versions()))
	return err == nil && !binary.ModTime().Before(list.ModTime())
}

func (p program) build(ctx context.Context, root, path string) error {
	// go build leaves a program that is up to date as it is, age and all.
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, p.pkg)
	cmd.Dir = filepath.Join(root, p.module)
	// Static, so that it runs in any host.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", p.pkg, err, bytes.TrimSpace(out))
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
