package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// climb judges the cures, from the one that loses least, and recommends the
// first that is possible. One that loses more than a later one isn't.
func (r *Report) climb() {
	r.Ladder = []Rung{r.restart(), r.repair(), r.adopt(), r.salvage(), r.restore()}
	for i := range r.Ladder {
		if !r.Ladder[i].Possible {
			r.Ladder[i].Loss, r.Ladder[i].Path = "", ""
		}
	}
	if r.needs() == Restart && r.Running() {
		r.Advice = "etcd is running, and nothing here needs a cure that stops it."
		return
	}
	for _, rung := range r.Ladder {
		if rung.Possible {
			r.Recommended, r.Advice = rung.Cure, advice[rung.Cure]
			return
		}
	}
	r.Advice = "None of the cures is possible with what is here. Find a backup, or the data directory of another member, and look again."
}

var advice = map[string]string{
	Restart: "Start etcd, and see what it says: nothing here keeps it from running.",
	Repair:  "Mend what the findings name, on a copy where it is a file of etcd's, then start etcd.",
	Adopt:   "Put the data directory that was found in the place of this one: runbook plan etcd-recover.hcl, or a step etcd_adopt.",
	Salvage: "Make a new data directory from the database and what the log adds to it: runbook plan etcd-recover.hcl, or a step etcd_salvage.",
	Restore: "Restore the newest good backup: runbook plan etcd-recover.hcl.",
}

// blocking are the classes that need more than a cure.
func (r *Report) blocking(cure string) string {
	var classes []string
	for _, f := range r.Findings {
		if rank(f.Needs) > rank(cure) && !strings.Contains(strings.Join(classes, " "), f.Class) {
			classes = append(classes, f.Class)
		}
	}
	return strings.Join(classes, ", ")
}

func rank(cure string) int {
	for i, c := range cures {
		if c == cure {
			return i
		}
	}
	return 0
}

const nothing = "nothing"

func (r *Report) restart() Rung {
	rung := Rung{Cure: Restart, Loss: nothing, Path: r.Options.DataDir}
	if by := r.blocking(Restart); by != "" {
		rung.Why = "etcd wouldn't start, or not well: " + by
		return rung
	}
	rung.Possible, rung.Why = true, "nothing that was found keeps etcd from starting"
	if f := r.WAL.Fault; f != nil {
		rung.Why = "etcd cuts the log's torn tail off by itself"
		rung.Loss = r.tailLoss()
	}
	if r.DB.MetaFault != "" {
		rung.Why = "etcd takes the other meta page; the log makes up for what that lacks"
	}
	return rung
}

// tailLoss is what cutting a log's tail off loses.
func (r *Report) tailLoss() string {
	return fmt.Sprintf("the torn entry behind entry %d alone, which nobody was told was written", r.WAL.LastIndex)
}

func (r *Report) repair() Rung {
	rung := Rung{Cure: Repair, Loss: nothing, Path: r.Options.DataDir}
	if by := r.blocking(Repair); by != "" {
		rung.Why = "what is wrong can't be mended in place: " + by
		return rung
	}
	if r.needs() == Restart {
		rung.Why = "there is nothing to repair"
		return rung
	}
	rung.Possible = true
	var what []string
	for _, f := range r.Findings {
		if f.Needs == Repair && len(what) < 3 {
			what = append(what, f.Class)
		}
	}
	rung.Why = "it can be mended: " + strings.Join(what, ", ")
	if r.WAL.Fault != nil {
		rung.Loss = r.tailLoss()
	}
	return rung
}

// adopt takes another directory as it is.
func (r *Report) adopt() Rung {
	rung := Rung{Cure: Adopt}
	if r.blocking(Repair) == "" {
		rung.Why = "what is in place can be used"
		return rung
	}
	l := r.elsewhereBest()
	switch why := ""; {
	case l == nil:
		rung.Why = r.noneElsewhere()
	case l.cure != Adopt:
		rung.Why = fmt.Sprintf("%s can't be taken as it is: %s", l.path, l.why)
	default:
		if why = r.outdone(l); why != "" {
			rung.Why = fmt.Sprintf("%s: %s", l.path, why)
			return rung
		}
		rung.Possible, rung.Path, rung.Why, rung.Loss = true, l.path, l.why, r.lossWith(l)
	}
	return rung
}

// noneElsewhere says that there is no other directory, and where the search
// for one ended.
func (r *Report) noneElsewhere() string {
	why := "no other data directory of this member was found that could be used"
	if r.Cut != "" {
		why += "; " + r.Cut
	}
	return why
}

// outdone says why what isn't in place loses more than what is, or than a
// backup.
func (r *Report) outdone(l *left) string {
	if own := r.left[0]; r.salvageable() == "" && !r.ahead(l, own) {
		return "what is in place has as much"
	}
	if b, ok := r.backup(); ok {
		i := slices.IndexFunc(r.left, func(other *left) bool { return other.path == b.Path })
		if i >= 0 && r.ours[r.left[i]] && r.ahead(r.left[i], l) {
			return "the backup " + b.Path + " has more"
		}
	}
	return ""
}

// salvage takes the database that is in place, or a better one.
func (r *Report) salvage() Rung {
	rung := Rung{Cure: Salvage, Path: r.Options.DataDir, Loss: r.salvageLoss(), Why: r.salvageable()}
	if l := r.elsewhereBest(); l != nil && l.cure == Salvage && r.blocking(Repair) != "" && r.outdone(l) == "" {
		return Rung{Cure: Salvage, Possible: true, Path: l.path, Why: l.path + ": " + l.why, Loss: r.lossWith(l)}
	}
	if rung.Possible = rung.Why == ""; rung.Possible {
		rung.Why = fmt.Sprintf("the database is whole: %d keys at revision %d", r.DB.Contents.Keys, r.DB.Revision)
	}
	return rung
}

// salvageable says why the database that is in place can't be salvaged; empty
// if it can.
func (r *Report) salvageable() string {
	d := &r.DB
	switch {
	case !d.Exists:
		return "there is no database"
	case !d.Whole():
		return whatIsWrong(*d)
	case d.Contents.Keys == 0 && r.blocking(Salvage) != "":
		return "the database is whole and empty"
	case r.unwanted():
		return "the database is whole, but not the one that is wanted"
	case !r.follows() && r.newerBackup():
		return "the database is whole, but what follows it is in no log, and the backup is as new"
	}
	return ""
}

// salvageLoss compares the database with what the log shows.
func (r *Report) salvageLoss() string {
	d, w := &r.DB, &r.WAL
	ahead := int64(w.LastIndex) - int64(d.ConsistentIndex)
	behind := int64(w.SeenIndex) - int64(max(w.LastIndex, d.ConsistentIndex))
	switch {
	case !r.follows():
		return fmt.Sprintf("everything from entry %d on: the log begins at entry %d, and what is between is in neither", d.ConsistentIndex+1, w.FirstIndex)
	case len(w.Files) == 0 || w.MemberID == "":
		return "nothing after a clean stop; after a crash what was written since the database's last commit, about a tenth of a second"
	case behind > 0 && w.Fault != nil:
		return fmt.Sprintf("what the log holds from entry %d to %d, behind the damage", max(w.LastIndex, d.ConsistentIndex)+1, w.SeenIndex)
	case ahead > 0 && w.Fault != nil:
		return fmt.Sprintf("nothing that was acknowledged and can be read: %d entries of the log are replayed; behind the damage there may be more", ahead)
	case ahead > 0:
		return fmt.Sprintf("nothing: %d entries of the log that the database lacks are replayed", ahead)
	case w.Fault != nil:
		return "nothing that can still be read: the database holds all that the log's whole part does"
	}
	return nothing
}

func (r *Report) newerBackup() bool {
	b, ok := r.backup()
	return ok && b.Revision >= r.DB.Revision
}

// restore takes the newest good backup, or a snapshot that lies about and has
// more.
func (r *Report) restore() Rung {
	rung := Rung{Cure: Restore, Loss: "everything since the backup"}
	b, ok := r.backup()
	if l := r.elsewhereBest(); l != nil && l.cure == Restore && r.outdone(l) == "" {
		return Rung{Cure: Restore, Possible: true, Path: l.path, Why: l.path + ": " + l.why, Loss: r.restoreLoss(l.DB.Revision)}
	}
	if !ok {
		rung.Why = "there is no backup that is good"
		switch {
		case len(r.Options.Backups) == 0:
			rung.Why = "no directory with backups was named"
		case len(r.Backups) == 0:
			rung.Why = "there is no backup in " + strings.Join(r.Options.Backups, ", ")
		}
		return rung
	}
	rung.Possible, rung.Path = true, b.Path
	rung.Why = fmt.Sprintf("%s is good: %d keys at revision %d, of %s", b.Path, b.Keys, b.Revision, b.Modified.UTC().Format(time.RFC3339))
	rung.Loss = r.restoreLoss(b.Revision)
	return rung
}

// restoreLoss is what a snapshot lacks of the newest that is known of the
// member's history.
func (r *Report) restoreLoss(revision int64) string {
	loss, most := "everything since the backup", r.furthest()
	if most == nil || most.DB.Revision <= revision {
		return loss
	}
	loss += ": " + r.count(revision, most.DB.Revision)
	if most.DB.Damaged > 0 {
		loss += " at least"
	}
	if ahead := most.Reach() - most.DB.Revision; ahead > 0 {
		loss += fmt.Sprintf(", and the %d entries of the log that follow", ahead)
	}
	return loss
}
