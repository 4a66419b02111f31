// Package binaries builds the programs that tests need beside the product's.
// Their sources and versions are those that the modules test/tools and
// test/lab name.
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

// versions is the file that names the versions of the programs in test/tools.
const versions = "test/tools/go.mod"

var packages = map[string]string{
	"etcd":        "go.etcd.io/etcd/server/v3",
	"etcdctl":     "go.etcd.io/etcd/etcdctl/v3",
	"etcdutl":     "go.etcd.io/etcd/etcdutl/v3",
	"staticcheck": "honnef.co/go/tools/cmd/staticcheck",
	"govulncheck": "golang.org/x/vuln/cmd/govulncheck",
}

// apart names the modules below test/tools that hold one program each: older
// versions, since one module can't hold two, and what need not go with the rest.
var apart = map[string]string{"etcd35": "etcd", "etcd36": "etcd", "govulncheck": "govulncheck"}

// Path returns the path of a program, and builds it first if need be. The
// first build downloads sources and takes a minute or two, so do it outside of
// a host, which has no network: "make tools" does. The programs of the lab are
// Kubernetes and take ten: "make lab-tools".
func Path(ctx context.Context, name string) (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	b, err := buildOf(root, name)
	if err != nil {
		return "", fmt.Errorf("binaries: %w", err)
	}
	dir := filepath.Dir(b.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if b.current() {
		return b.path, nil
	}
	return b.path, b.run(ctx)
}

// A build makes one program.
type build struct {
	module  string // the directory of the module that names its version
	pkg     string
	ldflags string
	path    string
	current func() bool // whether the program at path is what would be built
}

func buildOf(root, name string) (build, error) {
	pkg, ok := packages[name]
	module := filepath.Join(root, filepath.Dir(versions))
	if program := apart[name]; program != "" {
		pkg, ok, module = packages[program], true, filepath.Join(module, name)
	}
	if !ok {
		return labBuild(filepath.Join(root, "test", "lab"), name)
	}
	path := filepath.Join(root, ".cache", "bin", name)
	return build{
		module:  module,
		pkg:     pkg,
		path:    path,
		current: func() bool { return current(module, path) },
	}, nil
}

// root is the repository's directory, which the working directory is in.
func root() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, versions)); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("binaries: %s is in no directory above %s", versions, wd)
		}
	}
}

// current reports whether a program is at least as new as its module's list of
// versions.
func current(module, path string) bool {
	binary, err := os.Stat(path)
	if err != nil {
		return false
	}
	list, err := os.Stat(filepath.Join(module, "go.mod"))
	return err == nil && !binary.ModTime().Before(list.ModTime())
}

func (b build) run(ctx context.Context) error {
	// The program appears whole or not at all, and as new as it is: go build
	// leaves one that is up to date as it was, age and all.
	unfinished := b.path + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", b.ldflags, "-o", unfinished, b.pkg)
	cmd.Dir = b.module
	// Static, so that it runs in any host.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", b.pkg, err, bytes.TrimSpace(out))
	}
	return os.Rename(unfinished, b.path)
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
