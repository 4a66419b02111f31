package causes

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"runbook/actions/etcd/diagnose"
)

// lookAtKubelet looks at kubelet, and at where it looks for static pods.
func lookAtKubelet(ctx context.Context, l *look) []finding {
	if !l.hosted() {
		return nil
	}
	return append(kubeletUnitOf(ctx, l), staticPodPath(l)...)
}

func kubeletUnitOf(ctx context.Context, l *look) []finding {
	u, asked := l.units()[kubeletUnit]
	start := remedy{Name: diagnose.StartKubelet, Command: "systemctl start kubelet"}
	const without = " Without it no static pod is started again."
	switch {
	case !asked:
		return nil
	case !u.known():
		return []finding{cause(classKubeletGone, diagnose.Damage, kubeletUnit, "There is no unit kubelet.service on this host: nothing starts the static pods.", "Install kubelet, of the version that this host had.", remedy{Command: "apt-get install kubelet # or: dnf install kubelet"})}
	case u.masked() && !u.running():
		start.Command = "systemctl unmask --now kubelet"
		return []finding{cause(classKubeletMasked, diagnose.Mistake, kubeletUnit, "kubelet is masked: systemd doesn't start it."+without, "Unmask and start it.", start)}
	case u.failing(), u.looping(l.now):
		return []finding{kubeletFails(ctx, l, u)}
	case !u.running() && u.active != "activating":
		return []finding{cause(classKubeletDown, diagnose.Mistake, kubeletUnit, fmt.Sprintf("kubelet is stopped%s.%s", u.offToo(), without), "Start it.", start)}
	case u.off() != "":
		return []finding{note(classKubeletOff, kubeletUnit, "kubelet runs and is "+u.off()+": after the next boot it won't.", "Have it started at boot.", "systemctl unmask kubelet; systemctl enable kubelet")}
	}
	return nil
}

func kubeletFails(ctx context.Context, l *look, u unit) finding {
	line := fatalLine(l.journal(ctx, kubeletUnit, ""))
	advice := "Put right what it says (journalctl -u kubelet -n 50 has more), then start it anew."
	if strings.Contains(line, "swap") {
		advice = "Switch swap off (swapoff -a), or let kubelet run with it (failSwapOn: false)."
	}
	return cause(classKubeletFails, diagnose.Mistake, kubeletUnit, fmt.Sprintf("kubelet can't start: it ended with %s.%s", u.end(), saying("It", line)), advice,
		remedy{Command: "systemctl restart kubelet"})
}

// staticPodPath says where kubelet reads another folder than the manifest is in.
func staticPodPath(l *look) []finding {
	k := l.kubelet()
	folder := l.folder()
	if k.err != nil || k.manifests == folder || sameFile(l.at(k.manifests), l.at(folder)) {
		return nil
	}
	what := fmt.Sprintf("kubelet reads its static pods from %s, and etcd's manifest belongs into %s.", k.manifests, folder)
	edit := fmt.Sprintf("sed -i 's#^staticPodPath:.*#staticPodPath: %s#' %s", folder, kubeletConfigAt)
	if k.manifests == "" {
		what = fmt.Sprintf("kubelet's configuration names no folder of static pods, and etcd's manifest is in %s.", folder)
		edit = fmt.Sprintf("echo 'staticPodPath: %s' >> %s", folder, kubeletConfigAt)
	}
	return []finding{cause(classStaticPodPath, diagnose.Mistake, kubeletConfigAt, what, "Set staticPodPath in "+filepath.Base(kubeletConfigAt)+" and restart kubelet.", remedy{Command: edit + " && systemctl restart kubelet"})}
}
