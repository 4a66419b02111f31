package diagnose

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"runbook/actions/etcd/unseen"
)

// sortHistories finds out which of what is left has a past in common, and
// which of these histories is the member's own.
func (r *Report) sortHistories(ctx context.Context) error {
	r.ours = map[*left]bool{}
	var known []*left
	var paths []string
	for _, l := range r.left {
		if l.Readable() {
			known = append(known, l)
			paths = append(paths, l.place().DB)
		}
	}
	if len(known) == 0 {
		return nil
	}
	kin, err := Kinships(ctx, paths)
	if err != nil {
		return err
	}
	for _, l := range r.choose(families(known, kin)) {
		r.ours[l] = true
	}
	return nil
}

// families are those that are kin, directly or by another.
func families(known []*left, kin [][]Kinship) [][]*left {
	var all [][]*left
	seen := make([]bool, len(known))
	var join func(i int) []*left
	join = func(i int) []*left {
		if seen[i] {
			return nil
		}
		seen[i] = true
		members := []*left{known[i]}
		for j := range known {
			if kin[i][j] == Kin {
				members = append(members, join(j)...)
			}
		}
		return members
	}
	for i := range known {
		if members := join(i); members != nil {
			all = append(all, members)
		}
	}
	return all
}

// choose is the family whose data is wanted: that of what is in place, unless
// this was begun anew lately, beside one that got further.
func (r *Report) choose(all [][]*left) []*left {
	own := r.left[0]
	i := slices.IndexFunc(all, func(f []*left) bool { return slices.Contains(f, own) })
	if i >= 0 && !own.empty() && !r.young() {
		return all[i]
	}
	var best []*left
	for _, f := range all {
		if !slices.Contains(f, own) && r.couldBeOurs(f) && (best == nil || newer(f, best)) {
			best = f
		}
	}
	switch {
	case i < 0:
		return best
	case best == nil, furthest(best) <= own.Reach(), saved(all[i]) && !saved(best):
		return all[i]
	}
	return best
}

// newer prefers the family with the newer backup, and else the one that was
// written last.
func newer(a, b []*left) bool {
	if saved(a) != saved(b) {
		return saved(a)
	}
	return lastOf(a).After(lastOf(b))
}

func saved(family []*left) bool {
	return slices.ContainsFunc(family, func(l *left) bool { return l.backup })
}

func lastOf(family []*left) (last time.Time) {
	for _, l := range family {
		if l.Modified.After(last) {
			last = l.Modified
		}
	}
	return last
}

func furthest(family []*left) (most int64) {
	for _, l := range family {
		most = max(most, l.Reach())
	}
	return most
}

// couldBeOurs reports whether a family is of this member: by its name and its
// peer URLs where these are known, and of the cluster that there is now.
func (r *Report) couldBeOurs(family []*left) bool {
	o := r.Options
	if last, made := lastOf(family), authority(o.CAFile); !made.IsZero() && last.Before(made) {
		return false // kubeadm has made another cluster since
	}
	return slices.ContainsFunc(family, func(l *left) bool {
		if o.Name == "" {
			return l.near
		}
		return slices.ContainsFunc(l.DB.Members, func(m Member) bool {
			return m.Name == o.Name && (len(o.PeerURLs) == 0 || sameSet(m.PeerURLs, o.PeerURLs))
		})
	})
}

// authority is when the CA's certificate was made; zero where that isn't known.
func authority(path string) time.Time {
	if path == "" {
		return time.Time{}
	}
	data, err := unseen.ReadFile(path, 1<<20)
	if err != nil {
		return time.Time{}
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return c.NotBefore
}
