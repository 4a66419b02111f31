package diagnose

import "slices"

// ahead reports whether a has more of the member's history than b.
//
// Revisions tell it, except where a restore has raised them: a directory that
// was restored from a backup is at a higher revision than what it was to
// replace, and may yet hold less. Each then has what the other lacks, and the
// one that was in use last counts.
func (r *Report) ahead(a, b *left) bool {
	if r.forked(a, b) || r.forked(b, a) {
		if a.inPlace != b.inPlace {
			return a.inPlace
		}
		return a.Modified.After(b.Modified)
	}
	return a.Reach() > b.Reach()
}

// forked reports whether a restore led to a that had left out what b has at
// its end.
func (r *Report) forked(a, b *left) bool {
	return slices.ContainsFunc(r.raised(), func(s raise) bool {
		return s.from < b.Reach() && b.Reach() < s.to && s.to <= a.Reach()
	})
}

// raised are the stretches of revisions that are known to have been left out
// of the member's history.
func (r *Report) raised() []raise {
	var all []raise
	for _, l := range r.left {
		if !r.ours[l] {
			continue
		}
		for _, s := range raises(l.DB, l.Marker) {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	return all
}

// furthest is what of the member's history got furthest, whole or not; nil if
// nothing of it can be read.
func (r *Report) furthest() *left {
	var best *left
	for _, l := range r.left {
		if r.ours[l] && (best == nil || r.ahead(l, best)) {
			best = l
		}
	}
	return best
}

// ranked are those of the member's history, what got furthest first.
func (r *Report) ranked() []*left {
	var all []*left
	for _, l := range r.left {
		if r.ours[l] {
			all = append(all, l)
		}
	}
	beaten := map[*left]int{}
	for _, l := range all {
		for _, other := range all {
			if r.ahead(other, l) {
				beaten[l]++
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *left) int { return beaten[a] - beaten[b] })
	return all
}

// overtaken reports whether revisions may have been served that are beyond
// what a directory has: started as it is, it would serve them again, with
// other contents.
func (r *Report) overtaken(l *left) bool {
	own := r.left[0]
	if !own.Readable() && (own.DB.Exists && own.DB.Size > 0 || len(own.WAL.Files) > 0) {
		return true // nobody knows how far it got
	}
	return slices.ContainsFunc(r.left, func(other *left) bool {
		return other != l && (other.inPlace || r.ours[other]) && other.Served() > l.Reach()
	})
}
