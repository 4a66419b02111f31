package diagnose

import (
	"fmt"
	"path/filepath"
)

// judgeWAL says what is wrong with the log.
func (r *Report) judgeWAL() {
	w := &r.WAL
	switch {
	case len(w.Files) == 0 && r.DB.Exists && r.DB.Size > 0:
		r.at("wal_missing", Damage, w.Dir, Salvage, "The write-ahead log is gone, and the database is there. "+withoutLog(minorOf(r.Version)),
			"Don't start etcd on it: it would begin a new log and swallow writes. Salvage the database.")
	case len(w.Files) == 0:
	case w.Fault == nil && w.MemberID == "":
		r.at("wal_truncated", Damage, filepath.Join(w.Dir, w.Files[len(w.Files)-1].Name), Salvage,
			"The write-ahead log is empty: it was truncated. "+emptyLog(minorOf(r.Version)), "Salvage the database.")
	case w.Fault != nil:
		r.judgeFault(*w.Fault)
	case r.DB.ConsistentIndex > w.LastIndex:
		r.at("wal_cut", Damage, filepath.Join(w.Dir, w.Files[len(w.Files)-1].Name), Salvage,
			fmt.Sprintf("The log ends at entry %d, and the database already holds entry %d: the log was cut. %s", w.LastIndex, r.DB.ConsistentIndex, withoutLog(minorOf(r.Version))),
			"Salvage the database. Copy the directory aside before anything starts: etcd changes the evidence.")
	}
	for _, name := range w.Broken {
		r.at("wal_repaired", Note, filepath.Join(w.Dir, name), "", "etcd has repaired this log before, by cutting off what it couldn't read; this is the file as it was.", "It holds evidence: keep it.")
	}
}

func withoutLog(v minor) string {
	switch {
	case !v.known():
		return "etcd 3.5 serves reads while every write times out; 3.6 and 3.7 are never ready."
	case v.before(v36):
		return "etcd 3.5 serves reads while every write times out."
	}
	return "etcd is never ready: \"failed to publish local member to cluster through raft\"."
}

func emptyLog(v minor) string {
	switch {
	case !v.known():
		return "etcd panics."
	case v.before(v37):
		return "etcd panics: \"cannot use none as id\"."
	}
	return "etcd 3.7 panics on a nil pointer."
}

// judgeFault judges the first damage in a log. What can be cut off without
// the database's missing it is the tail: a record with whole ones behind it is
// none, though etcd itself cuts where a sector of it is zeros.
func (r *Report) judgeFault(f WALFault) {
	w := &r.WAL
	tail := f.Last && w.Behind == 0 && w.LastIndex >= r.DB.ConsistentIndex && r.DB.Whole() && w.MemberID != ""
	finding := Finding{Severity: Damage, Path: f.File, Offset: f.Offset, Record: fmt.Sprintf("record %d", f.Record), Needs: Salvage}
	where := fmt.Sprintf("record %d of %s, at byte %d", f.Record, filepath.Base(f.File), f.Offset)
	switch {
	case f.Tail() && w.Behind > 0:
		finding.Class = "wal_corrupt"
		finding.Finding = fmt.Sprintf("The log is corrupt: in %s, %s, and %s.", where, f.Reason, w.WholeBehind())
		finding.Advice = "Don't start etcd on it: it would cut off what is behind the damage. Copy the directory aside, and salvage the database."
	case f.Kind == faultTorn, f.Kind == faultZeroed, f.Kind == faultShort:
		finding.Class, finding.Finding = "wal_torn", fmt.Sprintf("The log's tail is torn: in %s, %s.", where, f.Reason)
		if !tail {
			finding.Class, finding.Finding = "wal_cut", fmt.Sprintf("The log is cut off: in %s, %s.", where, f.Reason)
		}
		r.judgeTail(&finding, tail, f.Kind)
	case f.Kind == faultLarge:
		finding.Class = "wal_record_too_large"
		finding.Finding = fmt.Sprintf("In the log, %s, %s. etcd says \"wal: max entry size limit exceeded\".", where, f.Reason)
		finding.Advice = "Salvage the database, or replace the member if the others have a quorum. Copy the directory aside before etcd starts: it cuts the log there."
		if tail {
			r.judgeTail(&finding, tail, f.Kind)
		}
	case f.Kind == faultGap:
		finding.Class, finding.Offset, finding.Record = "wal_missing", -1, ""
		finding.Finding = fmt.Sprintf("A file of the log is gone: before %s, %s.", filepath.Base(f.File), f.Reason)
		finding.Advice = "Put the file back if it is somewhere; else salvage the database."
	case f.Kind == faultHole:
		finding.Class = "wal_cut"
		finding.Finding = fmt.Sprintf("The log is overwritten: in %s, %s.", where, f.Reason)
		finding.Advice = "Salvage the database, and copy the directory aside before etcd starts."
	case f.Kind == faultUnread:
		finding.Class, finding.Offset, finding.Record = "wal_unreadable", -1, ""
		finding.Finding = fmt.Sprintf("The log can't be read: %s: %s.", f.File, f.Reason)
	default:
		finding.Class = "wal_corrupt"
		finding.Finding = fmt.Sprintf("The log is corrupt: in %s, %s. etcd ends with \"walpb: crc mismatch\" or the like.", where, f.Reason)
		finding.Advice = "Salvage the database: every entry that it holds is out of the log's reach."
	}
	if !tail && finding.Class != "wal_missing" && w.LastIndex < r.DB.ConsistentIndex {
		finding.Finding += fmt.Sprintf(" What can be read of it ends at entry %d; the database holds entry %d.", w.LastIndex, r.DB.ConsistentIndex)
	}
	r.add(finding)
}

// judgeTail judges a log that ends in the middle of a record. etcd, of any
// version, cuts such a tail off by itself where it takes the record for torn:
// where the file ends with it, or where a whole sector of it is zeros. Where
// the zeros begin elsewhere it refuses.
func (r *Report) judgeTail(f *Finding, tail bool, kind string) {
	const unsaid = " Nobody was ever told that a torn entry had been written."
	switch {
	case !tail:
		f.Advice = "Salvage the database. Copy the directory aside before anything starts: etcd \"repairs\" the log and changes the evidence."
	case kind == faultZeroed:
		f.Needs = Repair
		f.Advice = "etcd refuses to start: \"walpb: crc mismatch\". Cut the tail off, on a copy: runbook plan etcd-recover.hcl, or a step etcd_wal_repair." + unsaid
	default:
		f.Needs = Restart
		f.Advice = "etcd cuts it off by itself when it starts and keeps the file as it was in *.wal.broken." + unsaid
	}
}
