package causes

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"runbook/actions/etcd/diagnose"
)

// wantedPort is a port at which a program of the control plane is to listen.
type wantedPort struct {
	program string
	ip      net.IP // nil: at every address
	port    int
	path    string // of what says so
}

// lookAtPorts looks for ports that somebody else listens at, while the program
// that is to doesn't run.
func lookAtPorts(_ context.Context, l *look) []finding {
	if l.works() {
		return nil
	}
	var found []finding
	told := map[int]bool{}
	var listeners []listener
	for _, w := range l.wantedPorts() {
		if told[w.port] || l.runs(w.program) {
			continue
		}
		if listeners == nil {
			listeners = l.listeners()
		}
		i := slices.IndexFunc(listeners, func(at listener) bool { return at.port == w.port && overlap(at.ip, w.ip) })
		if i >= 0 {
			told[w.port] = true
			found = append(found, l.portTaken(w, listeners[i]))
		}
	}
	return found
}

// overlap reports whether two listeners at these addresses get in each other's
// way.
func overlap(a, b net.IP) bool {
	return a == nil || b == nil || a.IsUnspecified() || b.IsUnspecified() || a.Equal(b)
}

// wantedPorts are those that the configuration of etcd and the API server names.
func (l *look) wantedPorts() []wantedPort {
	var wanted []wantedPort
	s := l.etcd()
	for _, flag := range []string{"listen-client-urls", "listen-peer-urls", "listen-metrics-urls"} {
		for _, at := range s.urls(flag) {
			u, err := url.Parse(at)
			if err != nil {
				continue // etcd says so itself
			}
			if port, err := strconv.Atoi(u.Port()); err == nil {
				wanted = append(wanted, wantedPort{"etcd", net.ParseIP(u.Hostname()), port, s.path})
			}
		}
	}
	if m, ok := l.pods().found["kube-apiserver"]; ok {
		_, text := l.apiServerAddress()
		_, words := m.words("kube-apiserver")
		if port, err := strconv.Atoi(text); err == nil {
			wanted = append(wanted, wantedPort{"kube-apiserver", net.ParseIP(setting(words, "bind-address")), port, m.path})
		}
	}
	return wanted
}

// runs reports whether a program of this host's control plane runs: an etcd of
// another data directory is somebody else's.
func (l *look) runs(program string) bool {
	return slices.ContainsFunc(l.processes(program), func(args []string) bool {
		if program != "etcd" || l.o.DataDir == "" {
			return true
		}
		dir := setting(args, "data-dir")
		return dir == "" || dir == l.etcd().get("data-dir") || dir == l.o.DataDir
	})
}

// neverStopped are units without which nobody could work on this host.
var neverStopped = []string{kubeletUnit, "ssh.service", "sshd.service", "dbus.service", "init.scope"}

// portTaken tells who listens, as far as the kernel tells that.
func (l *look) portTaken(w wantedPort, at listener) finding {
	where := "port " + strconv.Itoa(w.port)
	owner, command, r := "Another process", fmt.Sprintf("ss -ltnp 'sport = :%d'", w.port), remedy{}
	if who, ok := l.ownerOf(at); ok {
		owner = who.String()
		switch {
		case strings.HasSuffix(who.unit, ".service") && who.unit != l.kubelet().runtimeUnit() && !slices.Contains(neverStopped, who.unit) && who.unit != l.o.Unit:
			r.Name, command = diagnose.StopUnit, "systemctl stop "+who.unit
		case who.pid > 1:
			command = "kill " + strconv.Itoa(who.pid)
		}
		if r.Name != "" {
			where = who.unit
		}
	}
	r.Command = command
	return cause(classPortTaken, diagnose.Mistake, where, fmt.Sprintf("%s listens at port %d, which %s names for %s: \"bind: address already in use\".", owner, w.port, w.path, w.program), "Stop it, or have it listen elsewhere.", r)
}
