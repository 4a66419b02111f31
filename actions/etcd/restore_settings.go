package etcd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/member"
	"runbook/engine"
)

// settle fills r's name, URLs and directories from the attributes and the
// member, and refuses what contradicts the member as it was read.
func (a *restore) settle(r *restored) error {
	if err := a.contradictions(); err != nil {
		return err
	}
	m := restoreMember{}
	if a.Member != nil {
		m = *a.Member
	}
	r.Name = cmp.Or(deref(a.Name), m.Name)
	r.DataDir = cmp.Or(deref(a.DataDir), m.DataDir)
	r.WALDir = cmp.Or(deref(a.WALDir), deref(m.WALDir))
	r.PeerURLs = a.PeerURLs
	if r.PeerURLs == nil {
		r.PeerURLs = m.PeerURLs
	}
	if err := a.missing(r); err != nil {
		return err
	}
	r.Cluster = cmp.Or(deref(a.InitialCluster), deref(m.InitialCluster), alone(r.Name, r.PeerURLs))
	return member.CheckCluster(r.Name, r.PeerURLs, r.Cluster, "the restored member")
}

// missing says which setting is neither given nor known from the member.
func (a *restore) missing(r *restored) error {
	attribute := ""
	switch {
	case r.DataDir == "":
		attribute = "data_dir"
	case r.Name == "":
		attribute = "name"
	case len(r.PeerURLs) == 0:
		attribute = "initial_advertise_peer_urls"
	default:
		return nil
	}
	return engine.Errorf("the restored member", "%s is not known", attribute).
		WithHint("Set member = data.etcd_member.NAME, or %s itself.", attribute).WithAttribute(attribute)
}

// contradictions refuses attributes with which etcd wouldn't start, or would
// mix old and new data.
func (a *restore) contradictions() error {
	if bump := valueOr(a.Bump, defaultBump); a.MarkCompacted != nil && *a.MarkCompacted != (bump > 0) {
		return engine.Errorf("the restored member", "mark_compacted is %v but bump_revision is %d", *a.MarkCompacted, bump).
			WithHint("etcd does the one only together with the other: leave mark_compacted out.").WithAttribute("mark_compacted")
	}
	m := a.Member
	if m == nil {
		return nil
	}
	if a.Name != nil && *a.Name != m.Name {
		return mismatch("name", "name", *a.Name, m.Name)
	}
	if a.PeerURLs != nil && m.PeerURLs != nil && !sameURLs(a.PeerURLs, m.PeerURLs) {
		return mismatch("initial_advertise_peer_urls", "peer URLs", strings.Join(a.PeerURLs, ","), strings.Join(m.PeerURLs, ","))
	}
	if a.Token != nil && *a.Token == deref(m.Token) {
		return engine.Errorf("the restored member", "the token %q is the old cluster's", *a.Token).
			WithHint("Leave initial_cluster_token out: a member that wasn't wiped would join a cluster with the old token and replay its old log onto the restored data, unnoticed.").
			WithAttribute("initial_cluster_token")
	}
	return nil
}

func valueOr(n *int64, otherwise int64) int64 {
	if n == nil {
		return otherwise
	}
	return *n
}

func mismatch(attribute, what, got, want string) error {
	return engine.Errorf("the restored member", "the %s %q would not fit this member, which is started with %q: refused before anything was stopped", what, got, want).
		WithHint("Leave %s out, or change how etcd is started first.", attribute).WithAttribute(attribute)
}

func sameURLs(a, b []string) bool {
	x, y := slices.Clone(a), slices.Clone(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// alone is the initial cluster of a single member.
func alone(name string, urls []string) string {
	parts := make([]string, len(urls))
	for i, u := range urls {
		parts[i] = name + "=" + u
	}
	return strings.Join(parts, ",")
}

// identify chooses the token and computes the IDs that etcd makes from it.
//
// The token that is chosen by default holds the run and the snapshot's hash:
// members that are restored from different snapshots, or not restored at all,
// then have different cluster IDs and refuse each other, where they would
// otherwise serve different data unnoticed.
func (a *restore) identify(r *restored, run engine.RunInfo) error {
	r.Token = deref(a.Token)
	if r.Token == "" {
		r.Token = fmt.Sprintf("%s-%s-%.8s", cmp.Or(run.Runbook, "runbook"), run.ID, cmp.Or(r.Hash, r.ContentHash, "salvaged"))
	}
	cl, err := r.cluster()
	if err != nil {
		return err
	}
	r.ClusterID = cl.ID().String()
	r.MemberID = cl.MemberByName(r.Name).ID.String()
	return nil
}

// newestVersion is the newest storage version that the libraries in this
// binary can write.
const newestVersion = "3.7"

// checkVersion refuses a snapshot that is too new for the etcd that will run
// it: some versions say so when they start, others accept it unnoticed.
func (a *restore) checkVersion(info inspect.Info) error {
	limit, who := newestVersion, "this version of runbook"
	switch {
	case deref(a.EtcdVersion) != "":
		limit, who = *a.EtcdVersion, "the etcd that will run it"
	case a.Member != nil && deref(a.Member.Version) != "":
		limit, who = deref(a.Member.Version), "the etcd of this host"
	}
	if info.StorageVersion == "" || !newer(info.StorageVersion, limit) {
		return nil
	}
	return engine.Errorf(a.Snapshot, "its storage version is %s, too new for %s (%s)", info.StorageVersion, who, limit).
		WithHint("Use a snapshot of etcd %s or older, or restore with the version of etcd that wrote this one.", limit).
		WithAttribute("snapshot")
}

// newer reports whether version a is of a newer minor release than b.
func newer(a, b string) bool {
	var aMajor, aMinor, bMajor, bMinor int
	_, errA := fmt.Sscanf(a, "%d.%d", &aMajor, &aMinor)
	_, errB := fmt.Sscanf(b, "%d.%d", &bMajor, &bMinor)
	if errA != nil || errB != nil {
		return false // not a version that can be compared
	}
	return aMajor > bMajor || aMajor == bMajor && aMinor > bMinor
}
