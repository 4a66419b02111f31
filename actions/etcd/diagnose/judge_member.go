package diagnose

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// judgeUse says who uses the directory.
func (r *Report) judgeUse() {
	for _, pid := range r.Around.Users {
		who := "a process"
		if pid > 0 {
			who = fmt.Sprintf("process %d", pid)
		}
		r.at("in_use", Note, r.Options.DataDir, "", sentence(who)+" holds etcd's locks on the directory: etcd is running. It writes while it is looked at, so what looks damaged may not be.",
			"Before a cure, stop etcd and what starts it again, and wait until the lock is gone; an old container may live on for a while.")
	}
	for _, p := range r.Around.Processes {
		if p.Name == "kube-apiserver" && len(r.Around.Users) == 0 {
			r.at("apiserver_running", Note, "", "", fmt.Sprintf("An API server is running (process %d) while etcd is not. Kept alive over a store that is set back, its compactor panics and its caches lie.", p.PID), "Before a restore, stop the API servers first; start them last.")
		}
	}
}

// judgeDirectory says where there is nothing to judge, or something else.
func (r *Report) judgeDirectory() {
	dir := r.Options.DataDir
	switch {
	case !exists(dir):
		r.at("empty_directory", Damage, dir, Restore, "There is no data directory. etcd would make one, and be healthy and empty.", "If it is on a disk of its own, see that it is mounted. Else restore a backup.")
	case !r.Member || !r.DB.Exists && len(r.WAL.Files) == 0:
		r.at("empty_directory", Damage, dir, Restore, "The data directory holds no member: neither database nor log. etcd would begin a new cluster in it, healthy and empty."+r.stray(), "See that the right disk is mounted there. Else restore a backup.")
	}
	if r.Options.MountPoint {
		r.at("mount_point", Note, dir, "", "The data directory is a mount point: it can't be renamed, and \"lost+found\" makes restores say \"not empty\".", "Restore beside it, inside of the same file system, and move the directory \"member\" alone.")
	}
}

func (r *Report) stray() string {
	if info, err := os.Lstat(filepath.Join(r.Options.DataDir, "member")); err == nil && !info.IsDir() {
		return " What is called member there is a file."
	}
	if exists(filepath.Join(r.Options.DataDir, "member", "cluster_id")) {
		return " There is a stray member/cluster_id."
	}
	return ""
}

func (r *Report) judgeSnaps() {
	for _, f := range r.Snaps.Files {
		if f.Fault == "" {
			continue
		}
		what := "3.5 and 3.6 rename it to *.snap.broken and take an older one, 3.7 doesn't use it."
		r.at("snap_damaged", Note, filepath.Join(filepath.Dir(r.DB.Path), f.Name), "", fmt.Sprintf("The raft snapshot %s is damaged: %s. %s", f.Name, f.Fault, what), "Nothing is lost by it: the database has it all.")
	}
	for _, name := range r.Snaps.Broken {
		r.at("snap_broken", Note, filepath.Join(filepath.Dir(r.DB.Path), name), "", fmt.Sprintf("etcd has set %s aside as damaged.", name), "Nothing is lost by it.")
	}
}

// judgeMembers compares the member with its cluster, and both with what is
// expected.
func (r *Report) judgeMembers() {
	o, id := r.Options, r.WAL.MemberID
	if o.ClusterID != "" && r.WAL.ClusterID != "" && !sameID(o.ClusterID, r.WAL.ClusterID) {
		r.at("foreign_directory", Damage, o.DataDir, Restore, fmt.Sprintf("The directory is of cluster %s, and not of %s.", r.WAL.ClusterID, o.ClusterID), "Find the directory of the right cluster, or restore a backup.")
	}
	if !r.DB.Whole() || len(r.DB.Members) == 0 {
		return
	}
	own := slices.IndexFunc(r.DB.Members, func(m Member) bool { return id != "" && sameID(m.ID, id) })
	if own < 0 && id == "" && o.Name != "" {
		own = slices.IndexFunc(r.DB.Members, func(m Member) bool { return m.Name == o.Name })
	}
	switch {
	case own < 0 && id != "":
		r.at("stale_member", Damage, r.WAL.Dir, Salvage, fmt.Sprintf("The log is of member %s, which is none of the database's members (%s): it was removed, or log and database are of different clusters. Added again as it is, etcd panics: \"tocommit(N) is out of range\".", id, memberNames(r.DB.Members)),
			"Where the cluster has a quorum: remove the member, wipe it, add it as a learner. Else salvage the database.")
	case own >= 0:
		r.judgeOwn(r.DB.Members[own])
	case o.Name != "":
		r.mend("name_mismatch", Mistake, r.DB.Path, fmt.Sprintf("The member is configured as %q, and the database knows %s.", o.Name, memberNames(r.DB.Members)), "Take the name from the database, or see whether this is another member's directory.", Remedy{})
	}
	if n := len(r.DB.Members); n > 1 {
		r.at("other_members", Note, "", "", fmt.Sprintf("The cluster has %d members. Where %d of them live, nothing is lost: this one can be replaced.", n, n/2+1), "Look at the others before a salvage or a restore: \"etcdctl member remove\", wipe, \"member add --learner\".")
	}
}

func sameID(a, b string) bool {
	trim := func(s string) string { return strings.TrimLeft(strings.TrimPrefix(strings.ToLower(s), "0x"), "0") }
	return trim(a) == trim(b)
}

func memberNames(members []Member) string {
	var names []string
	for _, m := range members {
		names = append(names, fmt.Sprintf("%q", m.Name))
	}
	return strings.Join(names, ", ")
}

const defaultPeerURL = "http://localhost:2380"

func (r *Report) judgeOwn(m Member) {
	o := r.Options
	switch {
	case slices.Contains(m.PeerURLs, defaultPeerURL) && len(o.PeerURLs) > 0 && !slices.Contains(o.PeerURLs, defaultPeerURL):
		r.at("restored_with_defaults", Mistake, r.DB.Path, "", fmt.Sprintf("The member's peer URL is %s: it was restored without its own. etcd starts, and a member that joins later fails.", defaultPeerURL), fmt.Sprintf("Once etcd runs: etcdctl member update %s --peer-urls %s", m.ID, strings.Join(o.PeerURLs, ",")))
	case o.Name != "" && m.Name != "" && m.Name != o.Name:
		r.mend("name_mismatch", Mistake, r.DB.Path, fmt.Sprintf("The member is called %q in the database and configured as %q.", m.Name, o.Name), "Make them agree; or this is another member's directory.", Remedy{})
	case len(o.PeerURLs) > 0 && !sameSet(m.PeerURLs, o.PeerURLs):
		r.at("url_mismatch", Mistake, r.DB.Path, "", fmt.Sprintf("The member's peer URLs are %s in the database and configured as %s.", strings.Join(m.PeerURLs, ", "), strings.Join(o.PeerURLs, ", ")), "Once etcd runs: etcdctl member update.")
	}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
