package diagnose

import (
	"fmt"
	"slices"
	"strings"
)

// judgeDB says what is wrong with the database.
func (r *Report) judgeDB() {
	d := &r.DB
	switch {
	case !d.Exists && r.WAL.Exists && len(r.WAL.Files) > 0:
		r.noDB("db_missing", "there is no database")
	case !d.Exists:
	case d.Size == 0 && d.Fatal == "":
		r.noDB("db_empty", "the database is empty")
	case strings.HasPrefix(d.Fatal, "both meta pages"):
		r.at("db_meta_both", Damage, d.Path, Restore, sentence(d.Fatal)+": etcd can't open the database.", "Restore a backup.")
	case d.Fatal != "":
		r.at("db_unreadable", Damage, d.Path, Restore, "The database can't be read: "+d.Fatal+".", "If it is the disk, copy what it still gives (ddrescue) and look at the copy.")
	default:
		r.judgePages()
		r.judgeValues()
		r.judgeIndex()
	}
}

// noDB judges a log without its database. Where the log still begins with the
// first entry, etcd makes the database anew from it, unless a snapshot says
// that it needn't.
func (r *Report) noDB(class, what string) {
	w := &r.WAL
	needs, advice := Restore, "Restore a backup, or take an older database that is whole."
	whole := w.Fault == nil && w.FirstIndex == 1 && w.Entries > 0
	old := minorOf(r.Version).known() && minorOf(r.Version).before(v37)
	switch {
	case slices.Contains(r.Snaps.Databases, w.Snapshot()) && w.Snapshot() > 0:
		needs, advice = Restart, "etcd takes the database that a leader sent, which lies beside it."
	case whole && w.Snapshot() == 0 && len(r.Snaps.Files) == 0:
		needs, advice = Restart, "The log holds everything from the first entry on: etcd makes the database anew from it when it starts."
	case whole && old:
		needs, advice = Repair, "The log still holds everything from the first entry on. Move the files *.snap out of member/snap, and an empty db too, then start: etcd makes the database anew from the log."
	}
	r.at(class, Damage, r.DB.Path, needs, fmt.Sprintf("%s, and the log's newest snapshot, at index %d, needs one: etcd says \"failed to recover v3 backend from snapshot\".", sentence(what), w.Snapshot()), advice)
}

func (r *Report) judgePages() {
	d := &r.DB
	if d.MetaFault != "" {
		r.add(Finding{Class: "db_meta_one", Severity: Damage, Path: d.Path, Offset: d.MetaAt, Record: "meta page", Needs: Restart,
			Finding: sentence(d.MetaFault) + ": etcd starts without a word and takes the other, which may be one transaction older.",
			Advice:  "The log makes up for the transaction where it is whole. Find out why the page is damaged: save a snapshot, check the disk."})
	}
	if d.Short > 0 {
		r.add(Finding{Class: "db_truncated", Severity: Damage, Path: d.Path, Offset: d.Size, Needs: Restore,
			Finding: fmt.Sprintf("The database is truncated: its meta page tells of %d bytes, the file has %d. etcd ends with \"unexpected fault address\".", d.Size+d.Short, d.Size),
			Advice:  "Restore a backup; see which keys can still be read."})
	}
	told := map[uint64]bool{}
	for _, p := range d.Damage {
		if d.Short > 0 && p.Offset >= d.Size || told[p.Page] || len(told) >= 10 {
			continue
		}
		told[p.Page] = true
		r.add(Finding{Class: "db_page", Severity: Damage, Path: d.Path, Offset: p.Offset, Record: fmt.Sprintf("page %d", p.Page), Needs: Restore,
			Finding: fmt.Sprintf("Page %d of the database, in %s, is damaged: %s. %s", p.Page, bucketName(p.Bucket), p.Reason, behind(p)),
			Advice:  "Restore a backup; etcd panics on such a page."})
	}
	if d.Damaged == 0 && !d.Buckets {
		r.at("db_foreign", Damage, d.Path, Restore, "The database is none of etcd's: it has no buckets \"key\" and \"meta\".", "Restore a backup.")
	}
}

func bucketName(b string) string {
	switch {
	case b == "":
		return "the list of buckets"
	case strings.Contains(b, " "):
		return b
	}
	return fmt.Sprintf("bucket %q", b)
}

// behind says what a damaged place hides.
func behind(p Place) string {
	what := "the keys"
	if p.Bucket == "key" {
		what = "the revisions"
	}
	switch {
	case p.Bucket == "":
		return "Everything behind it is lost."
	case p.From == "" && p.To == "":
		return "What is in it can't be told."
	case p.To == "":
		return fmt.Sprintf("It hides %s from %s on.", what, p.From)
	case p.From == "":
		return fmt.Sprintf("It hides %s before %s.", what, p.To)
	}
	return fmt.Sprintf("It hides %s from %s to %s, the last not included.", what, p.From, p.To)
}

func (r *Report) judgeValues() {
	for i, v := range r.DB.Values {
		if i >= 10 {
			break
		}
		what := "an older value of"
		if v.Live {
			what = "the value of"
		}
		key := fmt.Sprintf("%s key %q", what, v.Key)
		if v.Key == "" {
			key = "the record"
		}
		r.add(Finding{Class: "db_value", Severity: Damage, Path: r.DB.Path, Offset: -1, Record: fmt.Sprintf("revision %d", v.Revision),
			Finding: fmt.Sprintf("At revision %d, %s can't be what was written: %s. etcd notices nothing.", v.Revision, key, v.Reason),
			Advice:  "Write the key again from a backup; compare with the other members (etcdctl endpoint hashkv). Other values may have changed so that nothing shows it."})
	}
}

// judgeIndex compares the database with the log's snapshot.
func (r *Report) judgeIndex() {
	d, w := &r.DB, &r.WAL
	if !d.Whole() || d.ConsistentIndex == 0 || d.ConsistentIndex >= w.Snapshot() || slices.Contains(r.Snaps.Databases, w.Snapshot()) {
		return
	}
	needs, advice := Salvage, "Somebody put an older database there, or a newer log. The log still holds what the database lacks: salvage both."
	if !r.follows() {
		needs, advice = Restore, "Somebody put an older database there, or a newer log. Restore a backup, or salvage the database if it is the newest there is."
	}
	r.at("db_behind_wal", Damage, d.Path, needs,
		fmt.Sprintf("The database is older than the log's snapshot: its consistent index is %d, the snapshot's %d. etcd says \"failed to find database snapshot file\".", d.ConsistentIndex, w.Snapshot()),
		advice)
}

// follows reports whether the log's entries follow on the database's, so that
// nothing is missing between the two.
func (r *Report) follows() bool {
	return r.WAL.Entries == 0 || r.WAL.FirstIndex <= r.DB.ConsistentIndex+1
}

// sentence begins a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
