package causes

import (
	"context"
	"fmt"
	"net"
)

// lookUp looks a name up as programs of this host do.
func lookUp(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	_, err := net.DefaultResolver.LookupHost(ctx, name)
	return err
}

// lookAtName looks this host's own name up. kubelet does in each of its loops,
// and waits ten seconds where nobody answers.
func lookAtName(ctx context.Context, l *look) []finding {
	if !l.hosted() || l.name == "" || l.resolve(ctx, l.name) == nil {
		return nil
	}
	return []finding{note(classNameUnknown, "/etc/hosts", fmt.Sprintf("This host's own name, %s, doesn't resolve: kubelet waits ten seconds for it in each of its loops, so that etcd and the API server take a minute to start.", l.name),
		"Write it into /etc/hosts.", fmt.Sprintf("echo '%s %s' >> /etc/hosts", l.ownAddress(), l.name))}
}

// ownAddress is an address of this host that others reach.
func (l *look) ownAddress() string {
	if h := hostsOf(l.etcd().urls("initial-advertise-peer-urls")); len(h) > 0 && net.ParseIP(h[0]) != nil {
		return h[0]
	}
	return "127.0.1.1"
}
