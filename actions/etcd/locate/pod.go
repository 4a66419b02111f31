package locate

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	usualFolder   = "/etc/kubernetes/manifests"
	etcdFile      = "etcd.yaml"
)

var podManifestPath = regexp.MustCompile(`--pod-manifest-path[= ]["']?([^\s"']+)`)

// folder is the folder of kubelet's static pods; empty where there is no kubelet
// that has one.
func (l *look) folder(ctx context.Context) string {
	for _, path := range []string{"/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"} {
		if m := podManifestPath.FindSubmatch(l.read(ctx, path)); m != nil {
			l.tell(path, "kubelet's static pods are in %s", m[1])
			return filepath.Clean(string(m[1]))
		}
	}
	var c struct {
		StaticPodPath string `json:"staticPodPath"`
	}
	text := l.read(ctx, kubeletConfig)
	if err := yaml.Unmarshal(text, &c); err != nil {
		l.tell(kubeletConfig, "it can't be read as kubelet's configuration: %v", err)
	}
	if c.StaticPodPath != "" {
		l.tell(kubeletConfig, "kubelet's static pods are in %s", c.StaticPodPath)
		return filepath.Clean(c.StaticPodPath)
	}
	if l.first(ctx, usualFolder, stoppedFolder(usualFolder)) != "" {
		l.tell(usualFolder, "kubelet's static pods are usually here")
		return usualFolder
	}
	return ""
}

// pods lists the static pods of a control plane, by the names that kubeadm gives
// them and their files.
func (l *look) pods(ctx context.Context, folder string) []string {
	var pods []string
	for _, pod := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if l.first(ctx, filepath.Join(folder, pod+".yaml"), filepath.Join(stoppedFolder(folder), pod+".yaml")) != "" {
			pods = append(pods, pod)
		}
	}
	return append(pods, "etcd")
}

// stoppedFolder is where the shipped runbooks set manifests aside.
func stoppedFolder(folder string) string { return folder + ".stopped" }

// pod looks for etcd's manifest: where kubelet runs it, where the shipped
// runbooks set it aside, near by, and in the archives of the backups. Where it
// is gone altogether, other traces tell that it should be there.
func (l *look) pod(ctx context.Context, folder string, archives []string) (c candidate, ok bool) {
	if folder == "" {
		return c, false
	}
	c = candidate{manifest: filepath.Join(folder, etcdFile)}
	c.starts = l.take(ctx, &c, folder)
	if c.starter == nil && l.take(ctx, &c, stoppedFolder(folder)) {
		c.starts = true
	}
	if c.starter == nil {
		l.takeCopy(ctx, &c, folder, archives)
	}
	if trace := l.trace(ctx, folder); trace != "" && !c.starts {
		l.tell(trace, "an etcd belongs to it, whose manifest should be %s", c.manifest)
		c.starts = true
	}
	return c, c.starts || c.starter != nil || l.exists(ctx, filepath.Join(usualData, "member"))
}

// take looks for etcd's manifest in a directory that kubelet reads, or has read:
// the one named so first. What can't be read counts by its name.
func (l *look) take(ctx context.Context, c *candidate, dir string) bool {
	names := []string{etcdFile}
	for _, e := range l.list(ctx, dir) {
		if name := e.Name(); name != etcdFile && !strings.HasPrefix(name, ".") && !e.IsDir() {
			names = append(names, name)
		}
	}
	broken := false
	for _, name := range names {
		path := filepath.Join(dir, name)
		text := l.read(ctx, path)
		s, err := parseManifest(text, filepath.Join(filepath.Dir(c.manifest), name), path)
		if err == nil {
			c.manifest, c.found, c.starter = s.Manifest, path, s
			return true
		}
		if name == etcdFile && l.exists(ctx, path) {
			l.fault(path, err)
			broken = true
		}
	}
	return broken
}

// nearby are the directories around a folder of manifests to which people and
// kubeadm move them.
func (l *look) nearby(ctx context.Context, folder string) []string {
	above := filepath.Dir(folder)
	dirs := []string{above}
	for _, dir := range []string{above, filepath.Join(above, "tmp")} {
		for _, e := range l.list(ctx, dir) {
			if path := filepath.Join(dir, e.Name()); e.IsDir() && path != folder && path != stoppedFolder(folder) {
				dirs = append(dirs, path)
			}
		}
	}
	return dirs
}

// takeCopy looks for a copy of the manifest that kubelet doesn't read: near by,
// or in an archive. The one that was written last counts.
func (l *look) takeCopy(ctx context.Context, c *candidate, folder string, archives []string) {
	var newest time.Time
	for _, dir := range l.nearby(ctx, folder) {
		for _, e := range l.list(ctx, dir) {
			path := filepath.Join(dir, e.Name())
			if e.IsDir() || !strings.Contains(e.Name(), "etcd") || !strings.Contains(e.Name(), ".y") {
				continue
			}
			s, err := parseManifest(l.read(ctx, path), c.manifest, path)
			if at := l.changed(ctx, path); err == nil && at.After(newest) {
				newest, c.found, c.starter = at, path, s
			}
		}
	}
	if s, at := l.archived(ctx, archives, c.manifest); s != nil && at.After(newest) {
		c.found, c.starter = "", s
	}
}

var etcdServers = regexp.MustCompile(`--etcd-servers[= ]["']?([^\s"']+)`)

// trace is what shows that etcd is a static pod here even where its manifest is
// gone: an API server that talks to an etcd on this host, or etcd's own
// certificates, as kubeadm makes them.
func (l *look) trace(ctx context.Context, folder string) string {
	for _, dir := range []string{folder, stoppedFolder(folder)} {
		path := filepath.Join(dir, "kube-apiserver.yaml")
		m := etcdServers.FindSubmatch(l.read(ctx, path))
		if m != nil && slices.ContainsFunc([]string{"//127.", "//localhost", "//[::1]"}, func(own string) bool { return bytes.Contains(m[1], []byte(own)) }) {
			return path
		}
	}
	return l.first(ctx, "/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/server.key")
}
