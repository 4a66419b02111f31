package diagnose

import (
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
)

// tell lists the candidates, the one that loses least first and what can't be
// used last.
func (r *Report) tell() {
	r.Candidates = []Candidate{}
	for _, l := range r.left {
		if c, ok := r.candidate(l); ok {
			r.Candidates = append(r.Candidates, c)
		}
	}
	order := map[string]int{}
	for i, l := range r.ranked() {
		order[l.path] = i - len(r.left)
	}
	slices.SortStableFunc(r.Candidates, func(a, b Candidate) int {
		if a.Good != b.Good {
			return boolRank(a.Good) - boolRank(b.Good)
		}
		if order[a.Path] != order[b.Path] {
			return order[a.Path] - order[b.Path]
		}
		return boolRank(a.Kind == KindDir) - boolRank(b.Kind == KindDir)
	})
}

func boolRank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// candidate is what is told of something that is left, if anything is.
func (r *Report) candidate(l *left) (Candidate, bool) {
	c := Candidate{Path: l.path, Kind: l.kind, Cure: l.cure, Whole: l.whole, Good: l.cure != "", Revision: l.DB.Revision, Modified: l.Modified, Why: l.why}
	if l.looked {
		c.Keys = &l.DB.Contents.Keys
	}
	switch {
	case l.inPlace:
		if !l.DB.Exists && len(l.WAL.Files) == 0 {
			return c, false
		}
		r.inPlace(&c)
	case l.backup:
		return r.snapshot(c)
	case l.cure != "":
		c.Loss = r.lossWith(l)
	case !l.looked && !l.Readable():
		c.Why = whatIsWrong(l.DB)
		return c, l.near // elsewhere it may be anybody's
	case !l.looked:
		c.Why = r.unread(l)
	}
	return c, true
}

// unread says why something wasn't read as a whole.
func (r *Report) unread(l *left) string {
	switch {
	case !r.ours[l] && len(r.ours) > 0:
		return fmt.Sprintf("it is of another history: what it holds of the same revisions, it is at %d, is something else", l.DB.Revision)
	case l.empty():
		return "nothing was ever written to it"
	}
	return fmt.Sprintf("it wasn't read as a whole: what is better was found, and it was last written at %s", l.written())
}

// inPlace tells of what is in the data directory, by the ladder.
func (r *Report) inPlace(c *Candidate) {
	for _, rung := range r.Ladder {
		if rung.Possible && rung.Path == c.Path {
			c.Cure, c.Good, c.Loss, c.Why = rung.Cure, true, rung.Loss, rung.Why
			return
		}
	}
	c.Why = whatIsWrong(r.DB)
	if r.DB.Whole() {
		c.Why = "it can't be used: " + r.wrong()
	}
}

// snapshot tells of a backup that was checked; of the others, nothing is known
// but that they are older.
func (r *Report) snapshot(c Candidate) (Candidate, bool) {
	i := slices.IndexFunc(r.Backups, func(b Backup) bool { return b.Path == c.Path })
	if i < 0 {
		return c, false
	}
	b := r.Backups[i]
	c.Whole, c.Good, c.Revision, c.Keys, c.Why = b.Good, b.Good, b.Revision, &b.Keys, b.Reason
	if b.Good {
		c.Cure, c.Loss = Restore, r.restoreLoss(b.Revision)
		c.Why = fmt.Sprintf("it is good: %d keys at revision %d", b.Keys, b.Revision)
	} else if b.Keys > 0 {
		c.Why += fmt.Sprintf("; %d keys can still be read", b.Keys)
	}
	return c, true
}

// lossWith is what the use of something that isn't in place would lose.
func (r *Report) lossWith(l *left) string {
	if l.cure == Restore {
		return r.restoreLoss(l.DB.Revision)
	}
	own, most := r.left[0], r.furthest()
	switch {
	case most != l && most != nil && most.Reach() > l.Reach():
		return fmt.Sprintf("what was written since: %s", r.count(l.Reach(), most.Reach()))
	case !own.Readable() && (own.DB.Exists && own.DB.Size > 0 || len(own.WAL.Files) > 0):
		return "what was written after " + l.written() + ", if anything was"
	case own.Readable() && !own.empty() && !r.ours[own]:
		return fmt.Sprintf("nothing of this history; of the one that was begun in its place, %s", r.count(1, own.Reach()))
	}
	return nothing
}

// count tells how many writes are between two revisions of the history.
func (r *Report) count(from, to int64) string {
	return CountWrites(writes(from, to, r.raised()))
}

// CountWrites is so many writes, in words.
func CountWrites(n int64) string {
	if n == 1 {
		return "1 write"
	}
	return humanize.Comma(n) + " writes"
}
