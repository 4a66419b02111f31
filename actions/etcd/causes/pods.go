package causes

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"runbook/actions/etcd/member"
)

// manifest is a static pod's.
type manifest struct {
	path string
	pod  corev1.Pod
	err  error // why it can't be read as one
}

// pods are the manifests of a control plane by the names of their pods.
type pods struct {
	found  map[string]manifest // in the folder, or a copy of what should be there
	absent map[string]absent   // those that aren't in the folder
	broken []manifest          // files of the folder that describe no pod
}

// absent is a manifest that isn't where it should be.
type absent struct{ path, source string } // source holds a copy; empty if nothing does

// controlPlane are kubeadm's static pods, in the order in which they need each
// other.
var controlPlane = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// readPods reads the folder of manifests.
func (l *look) readPods() pods {
	p := pods{found: map[string]manifest{}, absent: map[string]absent{}}
	folder := l.folder()
	for _, e := range l.list(folder) {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		m := l.readManifest(filepath.Join(folder, e.Name()))
		if m.err != nil {
			p.broken = append(p.broken, m)
			continue
		}
		if _, twice := p.found[m.pod.Name]; !twice || m.path == l.manifestOf(m.pod.Name) {
			p.found[m.pod.Name] = m
		}
	}
	for _, name := range controlPlane {
		at := l.manifestOf(name)
		broken := slices.ContainsFunc(p.broken, func(m manifest) bool { return m.path == at })
		if _, ok := p.found[name]; !ok && !broken && l.expected(name) {
			copied, source := l.copyOf(name, at)
			p.absent[name] = absent{at, source}
			if source != "" {
				p.found[name] = copied
			}
		}
	}
	return p
}

// manifestOf is where a pod's manifest belongs.
func (l *look) manifestOf(name string) string {
	if name == "etcd" && l.o.Manifest != "" {
		return l.o.Manifest
	}
	return filepath.Join(l.folder(), name+".yaml")
}

// expected reports whether this host is to run a pod of the control plane.
func (l *look) expected(name string) bool {
	if name == "etcd" {
		return l.o.Manifest != "" && l.hosted()
	}
	return l.hasAPIServer()
}

// hasAPIServer reports whether this host is to serve the API: it has a
// certificate for it, or its manifest.
func (l *look) hasAPIServer() bool {
	if l.folder() != usualManifests {
		return l.exists(filepath.Join(l.folder(), "kube-apiserver.yaml"))
	}
	return l.exists("/etc/kubernetes/pki/apiserver.crt") || l.exists(filepath.Join(usualManifests, "kube-apiserver.yaml"))
}

func (l *look) readManifest(path string) manifest {
	m := manifest{path: path}
	var text []byte
	if text, m.err = l.read(path); m.err != nil {
		return m
	}
	m.pod, m.err = parsePod(text)
	return m
}

// parsePod reads a pod as kubelet does.
func parsePod(text []byte) (corev1.Pod, error) {
	var pod corev1.Pod
	if strings.TrimSpace(string(text)) == "" {
		return pod, errors.New("it is empty")
	}
	if err := yaml.Unmarshal(text, &pod); err != nil {
		return pod, err
	}
	if pod.Kind != "Pod" || pod.Name == "" || len(pod.Spec.Containers) == 0 {
		return pod, errors.New("it describes no pod with a name and a container")
	}
	return pod, nil
}

// words are the command line of a pod's container that starts a program.
func (m manifest) words(program string) (corev1.Container, []string) {
	for _, c := range m.pod.Spec.Containers {
		words := slices.Concat(c.Command, c.Args)
		if args, ok := member.Arguments(words); ok && program == "etcd" {
			return c, args
		}
		if len(words) > 0 && filepath.Base(words[0]) == program {
			return c, words[1:]
		}
	}
	return corev1.Container{}, nil
}

// setting is the value of a flag in a command line; the last one counts.
func setting(words []string, name string) string {
	value := ""
	for i, w := range words {
		flag, its, joined := strings.Cut(strings.TrimLeft(w, "-"), "=")
		switch {
		case !strings.HasPrefix(w, "-") || flag != name:
		case joined:
			value = its
		case i+1 < len(words) && !strings.HasPrefix(words[i+1], "-"):
			value = words[i+1]
		}
	}
	return value
}

// hostPath is where on the host a path of the container is, and whether a
// volume of the host is mounted there.
func (m manifest) hostPath(c corev1.Container, path string) (string, bool) {
	mount, volume := m.volume(c, path)
	if volume == nil {
		return path, false
	}
	return filepath.Join(volume.Path, strings.TrimPrefix(path, strings.TrimSuffix(mount, "/"))), true
}

// volume is the host's directory that holds a path of the container.
func (m manifest) volume(c corev1.Container, path string) (mount string, volume *corev1.HostPathVolumeSource) {
	mounts := slices.SortedFunc(slices.Values(c.VolumeMounts), func(a, b corev1.VolumeMount) int {
		return cmp.Compare(len(b.MountPath), len(a.MountPath))
	})
	for _, at := range mounts {
		if !isBelow(path, at.MountPath) {
			continue
		}
		for _, v := range m.pod.Spec.Volumes {
			if v.Name == at.Name && v.HostPath != nil {
				return at.MountPath, v.HostPath
			}
		}
	}
	return "", nil
}

// isBelow reports whether path is dir or below it.
func isBelow(path, dir string) bool {
	dir = strings.TrimSuffix(dir, "/")
	return path == dir || strings.HasPrefix(path, dir+"/")
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
