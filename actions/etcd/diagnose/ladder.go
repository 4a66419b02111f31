package diagnose

import (
	"fmt"
	"strings"
	"time"
)

// climb judges the cures, from the one that loses least, and recommends the
// first that is possible.
func (r *Report) climb() {
	r.Ladder = []Rung{r.restart(), r.repair(), r.salvage(), r.restore()}
	for i := range r.Ladder {
		if !r.Ladder[i].Possible {
			r.Ladder[i].Loss = ""
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
	rung := Rung{Cure: Restart, Loss: nothing}
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
	rung := Rung{Cure: Repair, Loss: nothing}
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

func (r *Report) salvage() Rung {
	rung := Rung{Cure: Salvage, Loss: r.salvageLoss()}
	d := &r.DB
	switch {
	case !d.Exists || d.Size == 0:
		rung.Why = "there is no database"
	case d.Fatal != "":
		rung.Why = "the database can't be read: " + d.Fatal
	case d.Short > 0:
		rung.Why = fmt.Sprintf("the database is truncated by %d bytes", d.Short)
	case d.Damaged > 0:
		rung.Why = fmt.Sprintf("the database is damaged in %d places; %d keys can still be read", d.Damaged, d.Contents.Keys)
	case !d.Buckets:
		rung.Why = "the database is none of etcd's"
	case d.Contents.Keys == 0 && r.blocking(Salvage) != "":
		rung.Why = "the database is whole and empty"
	case strings.Contains(r.blocking(Salvage), "foreign"):
		rung.Why = "the database is whole, but not the one that is wanted"
	case !r.follows() && r.newerBackup():
		rung.Why = "the database is whole, but what follows it is in no log, and the backup is as new"
	default:
		rung.Possible = true
		rung.Why = fmt.Sprintf("the database is whole: %d keys at revision %d", d.Contents.Keys, d.Revision)
	}
	return rung
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

func (r *Report) restore() Rung {
	rung := Rung{Cure: Restore, Loss: "everything since the backup"}
	b, ok := r.backup()
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
	rung.Possible = true
	rung.Why = fmt.Sprintf("%s is good: %d keys at revision %d, of %s", b.Path, b.Keys, b.Revision, b.Modified.UTC().Format(time.RFC3339))
	if r.DB.Revision > b.Revision {
		rung.Loss = fmt.Sprintf("everything since the backup: %d revisions, from %d to %d", r.DB.Revision-b.Revision, b.Revision+1, r.DB.Revision)
		if r.DB.Damaged > 0 {
			rung.Loss += " at least"
		}
		if ahead := int64(r.WAL.SeenIndex) - int64(r.DB.ConsistentIndex); ahead > 0 {
			rung.Loss += fmt.Sprintf(", and the %d entries of the log that follow", ahead)
		}
	}
	return rung
}
