package causes

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"runbook/actions/etcd/diagnose"
)

// lookAtPlaces looks at where manifests point: etcd's to its data, the API
// server's to etcd, both to addresses of this host.
func lookAtPlaces(_ context.Context, l *look) []finding {
	if l.works() {
		return nil
	}
	return slices.Concat(dataPlaces(l), listenPlaces(l), apiServerPlaces(l))
}

// dataPlaces says where etcd's data directory is no directory of the host, and
// where a volume is of something that isn't there.
func dataPlaces(l *look) []finding {
	s := l.etcd()
	if s.pod == nil {
		return nil
	}
	var found []finding
	for _, flag := range []string{"data-dir", "wal-dir"} {
		at := s.get(flag)
		if at == "" {
			continue
		}
		if _, mounted := s.pod.hostPath(s.in, at); !mounted {
			found = append(found, cause(classElsewhere, diagnose.Mistake, s.path,
				fmt.Sprintf("%s sets --%s to %s, which is below no volume of the host: etcd begins a new, empty cluster in its container, and it goes with that.", s.path, flag, at),
				"Make --"+flag+" and the mountPath of its volume agree.", remedy{Command: "vi " + s.path}))
		}
	}
	for _, v := range s.pod.pod.Spec.Volumes {
		if v.HostPath != nil && mustExist(v.HostPath) && !l.exists(v.HostPath.Path) {
			found = append(found, cause(classElsewhere, diagnose.Mistake, s.path,
				fmt.Sprintf("%s mounts %s, which isn't there: kubelet doesn't start the pod.", s.path, v.HostPath.Path),
				"Put it back, or set the volume's path to where it is.", remedy{Command: "vi " + s.path}))
		}
	}
	return found
}

// mustExist reports whether kubelet wants the path to be there: without a type
// the runtime makes a directory.
func mustExist(v *corev1.HostPathVolumeSource) bool {
	return v.Type != nil && *v.Type != "" && !strings.HasSuffix(string(*v.Type), "OrCreate")
}

// listenPlaces says where etcd is to listen at an address that this host
// doesn't have.
func listenPlaces(l *look) []finding {
	s := l.etcd()
	own, err := l.addresses()
	if err != nil || !s.known() {
		return nil
	}
	var found []finding
	for _, flag := range []string{"listen-client-urls", "listen-peer-urls"} {
		for _, at := range s.urls(flag) {
			u, err := url.Parse(at)
			if err != nil {
				continue // etcd says so itself
			}
			ip := net.ParseIP(u.Hostname())
			if ip == nil || ip.IsUnspecified() || ip.IsLoopback() || hasAddress(own, ip) {
				continue
			}
			found = append(found, cause(classAddressGone, diagnose.Mistake, s.path,
				fmt.Sprintf("%s has etcd listen at %s (--%s), and this host doesn't have that address: etcd says \"cannot assign requested address\".", s.path, ip, flag),
				"Give the host its address back. If it has another one for good, etcd's URLs and certificates have to follow.", remedy{Command: fmt.Sprintf("ip address add %s/32 dev lo", ip)}))
		}
	}
	return found
}

func hasAddress(own []net.Addr, ip net.IP) bool {
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// apiServerPlaces says where the API server looks for an etcd of this host that
// is none.
func apiServerPlaces(l *look) []finding {
	m, ok := l.pods().found["kube-apiserver"]
	s := l.etcd()
	if !ok || s.pod == nil {
		return nil
	}
	_, words := m.words("kube-apiserver")
	listens := s.urls("listen-client-urls")
	servers := strings.Split(setting(words, "etcd-servers"), ",")
	if len(listens) == 0 || slices.ContainsFunc(servers, func(server string) bool { return !l.misses(server, listens) }) {
		return nil
	}
	to := listens[0]
	what := fmt.Sprintf("%s names %s as etcd's address (--etcd-servers), and etcd listens at %s.", m.path, strings.Join(servers, ", "), strings.Join(listens, ", "))
	if len(servers) == 1 && servers[0] == "" {
		what = fmt.Sprintf("%s doesn't name etcd's address (--etcd-servers).", m.path)
		return []finding{cause(classAPIElsewhere, diagnose.Mistake, m.path, what, "Set it to "+to+".", remedy{Command: "vi " + m.path})}
	}
	return []finding{cause(classAPIElsewhere, diagnose.Mistake, m.path, what, "Set --etcd-servers to "+to+".",
		remedy{Command: fmt.Sprintf("sed -i 's#--etcd-servers=.*#--etcd-servers=%s#' %s", to, m.path)})}
}

// misses reports whether an address can't be that of this host's etcd: it is one
// of this host where etcd doesn't listen, or of another host while etcd's
// cluster has this one alone.
func (l *look) misses(server string, listens []string) bool {
	at, err := url.Parse(server)
	if err != nil || at.Host == "" {
		return true
	}
	own, err := l.addresses()
	if err != nil {
		return false
	}
	ip := net.ParseIP(at.Hostname())
	here := at.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || hasAddress(own, ip))
	if !here {
		alone := strings.Count(l.etcd().get("initial-cluster"), "=") == 1
		return alone && ip != nil
	}
	return !slices.ContainsFunc(listens, func(listen string) bool {
		u, err := url.Parse(listen)
		if err != nil || u.Scheme != at.Scheme || u.Port() != at.Port() {
			return false
		}
		its := net.ParseIP(u.Hostname())
		return ip == nil || its == nil || its.IsUnspecified() || its.Equal(ip)
	})
}
