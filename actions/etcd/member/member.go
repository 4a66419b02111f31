// Package member learns how an etcd member is configured from what starts it:
// a systemd unit, etcd's own configuration file or a static pod's manifest.
// The functions that parse take bytes and touch no host.
package member

import (
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"

	"runbook/engine"
)

// Settings are etcd's settings by the name of the flag, without dashes. What
// isn't set is absent.
type Settings map[string]string

// wanted are the settings that Resolve uses.
var wanted = []string{
	"name", "data-dir", "wal-dir", "config-file",
	"initial-advertise-peer-urls", "listen-peer-urls",
	"advertise-client-urls", "listen-client-urls",
	"initial-cluster", "initial-cluster-token",
	"cert-file", "key-file", "trusted-ca-file",
}

// Member is a member as its configuration describes it.
type Member struct {
	Name    string
	DataDir string
	WALDir  string // empty if it is inside the data directory
	// PeerURLs and ClientURLs are the advertised ones.
	PeerURLs, ListenPeerURLs     []string
	ClientURLs, ListenClientURLs []string
	InitialCluster               string
	Token                        string
	// CertFile, KeyFile and CAFile are what a client on this host can use;
	// empty where clients are served without TLS.
	CertFile, KeyFile, CAFile string
}

// etcd's own defaults.
const (
	defaultName      = "default"
	defaultPeerURL   = "http://localhost:2380"
	defaultClientURL = "http://localhost:2379"
	defaultToken     = "etcd-cluster"
)

// Resolve applies etcd's defaults to s and checks that the result is
// consistent. Relative paths are taken as relative to dir. where names the
// source in errors.
func Resolve(s Settings, dir, where string) (Member, error) {
	m := Member{
		Name:             s.get("name", defaultName),
		PeerURLs:         list(s.get("initial-advertise-peer-urls", defaultPeerURL)),
		ListenPeerURLs:   list(s.get("listen-peer-urls", defaultPeerURL)),
		ClientURLs:       list(s.get("advertise-client-urls", defaultClientURL)),
		ListenClientURLs: list(s.get("listen-client-urls", defaultClientURL)),
		Token:            s.get("initial-cluster-token", defaultToken),
	}
	m.DataDir = absolute(s.get("data-dir", m.Name+".etcd"), dir)
	if wal := s["wal-dir"]; wal != "" {
		m.WALDir = absolute(wal, dir)
	}
	m.InitialCluster = s.get("initial-cluster", clusterOf(m.Name, m.PeerURLs))
	if slices.ContainsFunc(m.ClientURLs, isHTTPS) {
		m.CertFile = absolute(s["cert-file"], dir)
		m.KeyFile = absolute(s["key-file"], dir)
		m.CAFile = absolute(s["trusted-ca-file"], dir)
	}
	return m, CheckCluster(m.Name, m.PeerURLs, m.InitialCluster, where)
}

// CheckCluster reports where a member's name and advertised peer URLs don't
// fit the initial cluster: etcd wouldn't start with them.
func CheckCluster(name string, peerURLs []string, cluster, where string) error {
	urls, err := types.NewURLsMap(cluster)
	if err != nil {
		return engine.Errorf(where, "the initial cluster %q can't be understood: %w", cluster, err).
			WithHint("It is written name=url,name=url, as etcd's flag --initial-cluster is.").WithAttribute("initial_cluster")
	}
	own, ok := urls[name]
	if !ok {
		return engine.Errorf(where, "the member %q is not in the initial cluster %q", name, cluster).
			WithHint("Set the name to one of the initial cluster's, or add it there: etcd wouldn't start.").WithAttribute("name")
	}
	advertised, err := types.NewURLs(peerURLs)
	if err != nil {
		return engine.Errorf(where, "the advertised peer URLs %q can't be understood: %w", peerURLs, err).
			WithHint("A peer URL is a scheme, a host and a port, such as https://10.0.0.1:2380.").
			WithAttribute("initial_advertise_peer_urls")
	}
	if !slices.Equal(own.StringSlice(), advertised.StringSlice()) {
		return engine.Errorf(where, "the member %q advertises the peer URLs %q, but the initial cluster says %q",
			name, advertised.StringSlice(), own.StringSlice()).
			WithHint("Make the two the same: etcd wouldn't start.").WithAttribute("initial_advertise_peer_urls")
	}
	return nil
}

func (s Settings) get(name, otherwise string) string {
	if v := s[name]; v != "" {
		return v
	}
	return otherwise
}

// clusterOf is the initial cluster that etcd assumes where none is set.
func clusterOf(name string, urls []string) string {
	parts := make([]string, len(urls))
	for i, u := range urls {
		parts[i] = name + "=" + u
	}
	return strings.Join(parts, ",")
}

func list(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func isHTTPS(u string) bool { return strings.HasPrefix(u, "https:") || strings.HasPrefix(u, "unixs:") }

func absolute(path, dir string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
