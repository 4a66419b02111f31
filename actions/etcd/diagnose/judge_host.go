package diagnose

import (
	"fmt"
	"path/filepath"
	"strings"
)

// judgeConfig says what is wrong with what starts etcd.
func (r *Report) judgeConfig() {
	o := r.Options
	if o.ConfigError != "" {
		r.mend("name_mismatch", Mistake, o.Manifest, "etcd's configuration contradicts itself: "+o.ConfigError+".", "Make name, peer URLs and initial cluster agree: etcd wouldn't start a new directory with them.", Remedy{})
	}
	if o.Unconfigured != "" {
		r.mend("config_unreadable", Mistake, "", "What starts etcd can't be read: "+o.Unconfigured+".", "Put it back, or name another with manifest, unit or config.", Remedy{})
	}
	for _, path := range o.SecondManifests {
		r.mend("second_manifest", Mistake, path, fmt.Sprintf("%s starts etcd too: the kubelet runs every file of that directory that has no dot before its name.", path), "Move it out of "+filepath.Dir(path)+".",
			Remedy{Name: SetAsideManifest, Command: fmt.Sprintf("mv %s /root/", path)})
	}
	r.judgeVersion()
}

func (r *Report) judgeVersion() {
	runs, wrote := minorOf(r.Options.Version), minorOf(r.DB.StorageVersion)
	if !runs.known() || !wrote.known() || !runs.before(wrote) {
		return
	}
	if runs.before(v36) {
		r.mend("version_too_new", Mistake, r.DB.Path, fmt.Sprintf("The database is of storage version %s, and etcd %s is to run it: it takes it without a word, and doesn't know all that is in it.", r.DB.StorageVersion, r.Options.Version), "Run the etcd version that wrote it.", Remedy{})
		return
	}
	r.mend("version_too_new", Mistake, r.DB.Path, fmt.Sprintf("The database is of storage version %s, and etcd %s is to run it: it refuses with \"version %q is not supported\".", r.DB.StorageVersion, r.Options.Version, r.DB.StorageVersion), "Run the etcd version that wrote it.", Remedy{})
}

// judgeContents says whether what is there is what should be.
func (r *Report) judgeContents() {
	d := &r.DB
	if !d.Whole() {
		return
	}
	backup, known := r.backup()
	switch own := r.left[0]; {
	case len(r.ours) > 0 && !r.ours[own]:
		r.begunAnew()
	case d.Contents.Keys == 0 && d.Revision <= 1:
		r.foreign("The database is healthy and empty: a new cluster was begun in this directory.")
	case known && r.WAL.Fault == nil && max(d.Revision, d.Revision+int64(r.WAL.LastIndex)-int64(d.ConsistentIndex)) < backup.Revision:
		r.foreign(fmt.Sprintf("The database is at revision %d, and the backup %s at %d: this is an older one, or another cluster.", d.Revision, filepath.Base(backup.Path), backup.Revision))
	case r.Options.Keys > 0 && d.Contents.Keys < r.Options.Keys:
		r.foreign(fmt.Sprintf("The database has %d keys, and %d are expected.", d.Contents.Keys, r.Options.Keys))
	}
	r.judgeBump()
	r.judgeEncryption()
}

// begunAnew says that etcd, or who started it, has begun a new cluster in the
// data directory, and that the member's own data is elsewhere.
func (r *Report) begunAnew() {
	f := r.furthest()
	r.at("foreign_directory", Damage, r.Options.DataDir, Adopt,
		fmt.Sprintf("The database is at revision %d, with %d keys, and has nothing in common with %s, which is at %d: a new cluster was begun in this directory. \"Healthy\" doesn't mean that the data is back.", r.DB.Revision, r.DB.Contents.Keys, f.path, f.Reach()),
		"Take the data that was there before.")
}

func (r *Report) foreign(what string) {
	needs := ""
	if b, ok := r.backup(); ok && b.Keys > r.DB.Contents.Keys {
		needs = Restore
	}
	r.at("foreign_directory", Damage, r.Options.DataDir, needs, what+" \"Healthy\" doesn't mean that the data is back.", "Look for the right directory: beside this one, on another disk, in what a restore moved aside. Else restore a backup.")
}

// judgeBump looks for a restore that left the revision where it was. A
// cluster that wasn't restored has an entry in its log for each revision.
func (r *Report) judgeBump() {
	d, w := &r.DB, &r.WAL
	first := len(w.Files) > 0 && strings.HasPrefix(w.Files[0].Name, "0000000000000000-")
	if !first || w.Fault != nil || w.MemberID == "" || d.Contents.Bump > 0 || d.Revision <= int64(w.LastIndex)+1 {
		return
	}
	if d.CompactRevision >= d.Revision-1 && d.CompactRevision > 1_000_000 {
		return // marked as compacted where a bump's record is gone
	}
	r.at("no_revision_bump", Note, d.Path, "", fmt.Sprintf("The directory was restored from a snapshot, and its revision wasn't raised: it is %d, with %d entries in the log. Whoever watched the old cluster misses events, and may see pods that are gone.", d.Revision, w.LastIndex), "Restart the API servers, the controllers and whatever else watches; restore with a revision bump next time.")
}

func (r *Report) judgeEncryption() {
	c := r.DB.Contents
	if c.Encrypted == 0 {
		return
	}
	what := fmt.Sprintf("%d objects are encrypted (%s)", c.Encrypted, strings.Join(c.Providers, ", "))
	o := r.Options
	switch {
	case o.EncryptionConfig != "" && !exists(o.EncryptionConfig):
		r.at("encryption_config_lost", Damage, o.EncryptionConfig, "", what+", and the API server's encryption configuration isn't there: nobody can read them.", "Find the file: with the backups, on another control plane. No restore of etcd brings it back.")
	case o.APIServer && o.EncryptionConfig == "":
		r.at("encryption_config_lost", Damage, "", "", what+", and the API server's manifest names no encryption configuration: nobody can read them.", "Put --encryption-provider-config back.")
	default:
		r.at("encrypted", Note, "", "", what+": a backup of etcd is worth nothing without the encryption configuration.", "Keep it beside the backups.")
	}
}

func (r *Report) judgeAlarms() {
	for _, a := range r.DB.Alarms {
		known := len(r.DB.Members) == 0
		for _, m := range r.DB.Members {
			known = known || sameID(m.ID, a.Member)
		}
		class, text, advice := "alarm", fmt.Sprintf("Member %s has raised the alarm %s", a.Member, a.Alarm), "Compact and defragment, then: etcdctl alarm disarm."
		if !known {
			class, text = "stale_alarm", text+", and there is no such member any more: it came with a restore, and nothing but disarming ends it"
			advice = "Disarm it: etcdctl alarm disarm."
		}
		if a.Alarm == "NOSPACE" {
			text += ". Every write fails with \"mvcc: database space exceeded\""
		}
		if a.Alarm == "CORRUPT" {
			class, advice = "alarm_corrupt", "Find the member that differs (etcdctl endpoint hashkv) and replace it."
		}
		r.at(class, Damage, r.DB.Path, "", text+".", advice)
	}
}

// What is too little room for etcd to work.
const (
	fewBytes  = 64 << 20
	fewInodes = 16
)

func (r *Report) judgeRoom() {
	s := r.Around
	if s.FreeBytes >= 0 && s.FreeBytes < fewBytes {
		r.mend("disk_full", Damage, r.Options.DataDir, fmt.Sprintf("The disk is full: %d bytes are left. etcd's log alone takes 64 MB at once.", s.FreeBytes), "Make room, but not in the data directory.",
			Remedy{Command: "du -xh --max-depth=3 " + mountOf(r.Options.DataDir) + " | sort -h | tail -n 20"})
	}
	if s.FreeInodes >= 0 && s.FreeInodes < fewInodes {
		r.mend("disk_full", Damage, r.Options.DataDir, fmt.Sprintf("The file system has no room for files: %d inodes are left.", s.FreeInodes), "Remove small files, but not in the data directory.",
			Remedy{Command: "du -x --inodes --max-depth=3 " + mountOf(r.Options.DataDir) + " | sort -n | tail -n 20"})
	}
}

func (r *Report) judgeOwners() {
	for _, s := range r.Around.Strange {
		r.add(Finding{Class: "ownership", Severity: Mistake, Path: s.Path, Offset: -1, Needs: Repair, Remedy: Remedy{Name: Own},
			Finding: fmt.Sprintf("%s: %s.", s.Path, s.Reason), Advice: "Give it owner, mode and label of the directory."})
	}
}
