package causes

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"runbook/actions/etcd/diagnose"
)

// lookAtManifests looks for manifests that are gone or can't be read.
func lookAtManifests(_ context.Context, l *look) []finding {
	var found []finding
	p := l.pods()
	for _, name := range controlPlane {
		if gone, ok := p.absent[name]; ok {
			found = append(found, l.manifestGone(name, gone.path, gone.source))
		}
	}
	for _, m := range p.broken {
		if f, ok := l.manifestInvalid(m); ok {
			found = append(found, f)
		}
	}
	return found
}

// manifestGone tells of a manifest that isn't there.
func (l *look) manifestGone(name, at, source string) finding {
	what := fmt.Sprintf("%s isn't there: kubelet doesn't run %s.", at, name)
	if !l.exists(filepath.Dir(at)) {
		what = fmt.Sprintf("%s isn't there, nor is its directory: kubelet doesn't run %s.", at, name)
	}
	if source == "" {
		advice := "Write it anew, or take it from another control plane of the cluster and change names and addresses."
		phase := map[string]string{"etcd": "etcd local", "kube-apiserver": "control-plane apiserver", "kube-controller-manager": "control-plane controller-manager", "kube-scheduler": "control-plane scheduler"}[name]
		return cause(classNoManifest, diagnose.Damage, at, what+" Neither a copy nor a backup of it was found.", advice, remedy{Command: "kubeadm init phase " + phase})
	}
	return cause(classNoManifest, diagnose.Damage, at, fmt.Sprintf("%s %s holds it.", what, source), "Put it back.",
		remedy{Name: diagnose.PutBack, Source: source, Command: commandToPutBack(at, source)})
}

// commandToPutBack is what a person types to put a file back.
func commandToPutBack(path, source string) string {
	if strings.HasSuffix(source, ".tar.gz") {
		return fmt.Sprintf("tar -xzf %s -C / %s", source, strings.TrimPrefix(path, "/"))
	}
	return fmt.Sprintf("cp -a %s %s", source, path)
}

// setAside are where people and programs put a manifest that kubelet isn't to
// run, beside its folder.
func (l *look) setAside() []string {
	folder := l.folder()
	above := filepath.Dir(folder)
	dirs := []string{folder + ".stopped"}
	for _, e := range l.list(above) {
		if dir := filepath.Join(above, e.Name()); e.IsDir() && dir != folder && dir != dirs[0] && dir != filepath.Join(above, "pki") {
			dirs = append(dirs, dir)
		}
	}
	return append(dirs, above, "/root")
}

// copyOf is a pod's manifest as a file or an archive holds it that kubelet doesn't
// read, and which one does; empty if none does.
func (l *look) copyOf(name, at string) (manifest, string) {
	for _, dir := range append(l.setAside(), l.folder()) {
		for _, e := range l.list(dir) {
			path := filepath.Join(dir, e.Name())
			hidden := dir == l.folder() && !strings.HasPrefix(e.Name(), ".")
			if e.IsDir() || hidden || !strings.Contains(e.Name(), name) {
				continue
			}
			if m := l.readManifest(path); m.err == nil && m.pod.Name == name {
				m.path = at
				return m, path
			}
		}
	}
	if in, ok := l.archives()[at]; ok {
		if pod, err := parsePod(in.text); err == nil && pod.Name == name {
			return manifest{path: at, pod: pod}, in.archive
		}
	}
	return manifest{}, ""
}

// manifestInvalid tells of a file that kubelet can't read as a pod. One that
// isn't the control plane's keeps nothing from running.
func (l *look) manifestInvalid(m manifest) (finding, bool) {
	for _, name := range controlPlane {
		if m.path != l.manifestOf(name) || !l.expected(name) {
			continue
		}
		what := fmt.Sprintf("%s can't be read as a pod, so kubelet doesn't run %s: %s.", m.path, name, strings.TrimSuffix(shortened(m.err.Error()), "."))
		if _, source := l.copyOf(name, m.path); source != "" {
			return cause(classBadManifest, diagnose.Damage, m.path, fmt.Sprintf("%s %s holds one that can be read.", what, source), "Put that one back.",
				remedy{Name: diagnose.PutBack, Source: source, Command: commandToPutBack(m.path, source)}), true
		}
		return cause(classBadManifest, diagnose.Damage, m.path, what, "Mend what it says.", remedy{Command: "vi " + m.path}), true
	}
	return finding{}, false
}
