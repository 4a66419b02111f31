package binaries

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kubernetes lists the programs of Kubernetes that test/lab names.
var kubernetes = []string{
	"kube-apiserver", "kubectl", "kubelet", "kubeadm", "kube-controller-manager", "kube-scheduler",
}

// images lists the programs in test/lab/images, which containers run.
var images = []string{"pause", "web", "curl"}

// Lab lists the programs of a control plane, those that take longest first.
func Lab() []string {
	return slices.Concat(kubernetes, images, []string{"etcd", "etcdctl", "etcdutl"})
}

// LabCache is the directory for what the lab keeps between runs. It is outside
// of the repository, as a second checkout needn't build Kubernetes again.
func LabCache() (string, error) {
	if dir := os.Getenv("RUNBOOK_LAB_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the lab's programs: %w", err)
	}
	return filepath.Join(dir, "runbook-lab"), nil
}

// KubernetesVersion is the version that test/lab builds, such as "v1.37.2".
func KubernetesVersion() (string, error) { return moduleVersion("test/lab", "k8s.io/kubernetes") }

// EtcdVersion is the version that test/tools builds, such as "v3.7.3".
func EtcdVersion() (string, error) { return moduleVersion("test/tools", "go.etcd.io/etcd/server/v3") }

func moduleVersion(module, path string) (string, error) {
	root, err := root()
	if err != nil {
		return "", err
	}
	return requiredVersion(filepath.Join(root, module, "go.mod"), path)
}

// requiredVersion reads the version of a module that a go.mod requires.
func requiredVersion(mod, path string) (string, error) {
	text, err := os.ReadFile(mod)
	if err != nil {
		return "", err
	}
	line := regexp.MustCompile(`(?m)^(?:require )?\s*` + regexp.QuoteMeta(path) + ` (v\S+)`)
	found := line.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s requires no %s", mod, path)
	}
	return string(found[1]), nil
}

// labBuild builds a program of the module in dir. A program is kept under a
// sum of what it is built from.
func labBuild(dir, name string) (build, error) {
	b := build{module: dir}
	var sources []string
	var label string
	switch {
	case slices.Contains(kubernetes, name):
		version, err := requiredVersion(filepath.Join(dir, "go.mod"), "k8s.io/kubernetes")
		if err != nil {
			return b, err
		}
		b.pkg, b.ldflags, label = "k8s.io/kubernetes/cmd/"+name, versionFlags(version), "kubernetes-"+version
		sources = []string{"go.mod", "go.sum"}
	case slices.Contains(images, name):
		b.pkg, b.ldflags, label = "./images/"+name, "-s -w", name
		sources = []string{"images/" + name + "/main.go"}
	default:
		return b, fmt.Errorf("neither test/tools nor test/lab knows a program %q", name)
	}
	cache, err := LabCache()
	if err != nil {
		return b, err
	}
	sum, err := sumOf(dir, sources)
	b.path = filepath.Join(cache, label+"-"+sum, name)
	b.current = func() bool { return exists(b.path) }
	return b, err
}

// versionFlags are the linker's flags that tell a program of Kubernetes its
// version. Without one, kubeadm and the API server refuse each other.
func versionFlags(version string) string {
	part := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	flags := "-s -w"
	for _, set := range [][2]string{
		{"gitVersion", version}, {"gitMajor", part[0]}, {"gitMinor", part[1]},
		{"gitCommit", "unknown"}, {"gitTreeState", "clean"}, {"buildDate", "1970-01-01T00:00:00Z"},
	} {
		flags += fmt.Sprintf(" -X k8s.io/component-base/version.%s=%s", set[0], set[1])
	}
	return flags
}

func sumOf(dir string, files []string) (string, error) {
	h := sha256.New()
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", f, len(text), text)
	}
	return fmt.Sprintf("%x", h.Sum(nil))[:12], nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
