package causes

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"runbook/actions/etcd/diagnose"
)

// prepare says how what several parts need is read, once it is needed.
func (l *look) prepare(ctx context.Context) {
	l.kubelet = sync.OnceValue(l.readKubeletConfig)
	l.units = sync.OnceValue(func() units {
		names := []string{kubeletUnit, l.kubelet().runtimeUnit()}
		if l.o.Unit != "" {
			names = append(names, l.o.Unit)
		}
		found, err := l.systemd(ctx, names)
		if err != nil {
			return nil // a host without systemd, or whose systemd doesn't answer
		}
		return found
	})
	l.pods = sync.OnceValue(l.readPods)
	l.etcd = sync.OnceValue(l.readEtcd)
	l.archives = sync.OnceValue(func() archives { return l.readArchives(ctx) })
	l.runtime = sync.OnceValue(func() runtimeState { return l.connectRuntime(ctx, l.kubelet().socket) })
	l.served = sync.OnceValue(func() *bool { return l.askServed(ctx) })
	l.said = sync.OnceValue(func() []string { return l.lastWords(ctx) })
	// Where kubelet reads an empty folder, that is wrong, and not the usual one.
	if usual := filepath.Join(usualManifests, "etcd.yaml"); l.o.Manifest != "" && !l.exists(l.o.Manifest) && l.exists(usual) {
		l.o.Manifest = usual
	}
}

// settle puts what was found in one list, and leaves out what only follows from
// something else in it.
func (l *look) settle(found [][]finding) []finding {
	all := slices.Concat(found...)
	has := func(classes ...string) bool {
		return slices.ContainsFunc(all, func(f finding) bool { return slices.Contains(classes, f.Class) })
	}
	all = slices.DeleteFunc(all, func(f finding) bool {
		switch f.Class {
		case classKubeletFails: // it ends where no runtime answers or its certificate is of no use, and is started again
			return has(classRuntimeMasked, classRuntimeDown, classRuntimeFails, classRuntimeSocket) || slices.ContainsFunc(all, ofKubelet)
		case classNotYetValid:
			return has(classClockWrong)
		}
		return false
	})
	if s := l.served(); s != nil && !*s && !slices.ContainsFunc(all, func(f finding) bool { return f.Needs == diagnose.Mend }) {
		all = append(all, l.unserved())
	}
	return all
}

// ofKubelet reports whether a finding is about a file that kubelet needs.
func ofKubelet(f finding) bool {
	return f.Needs == diagnose.Mend && (strings.HasPrefix(f.Path, "/var/lib/kubelet/") || f.Path == "/etc/kubernetes/kubelet.conf" || f.Path == kubernetesCA)
}
