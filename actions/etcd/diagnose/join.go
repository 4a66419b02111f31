package diagnose

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Join adds what was found around etcd, nearest to the cause first, and whether
// the API is served. Each thing is told once.
func (r *Report) Join(around []Finding, served *bool) {
	r.Served = served
	r.Findings = fold(slices.Concat(around, r.Findings))
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return weight(a) - weight(b) })
	if c := r.Causes(); len(c) > 0 {
		r.Advice = fmt.Sprintf("First put right what is around etcd (%s). %s", classesOf(c), r.Advice)
	}
}

// Causes are the findings that have to be mended before any cure of the data.
func (r *Report) Causes() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Needs != Mend })
}

func classesOf(findings []Finding) string {
	var classes []string
	for _, f := range findings {
		if !slices.Contains(classes, f.Class) {
			classes = append(classes, f.Class)
		}
	}
	return strings.Join(classes, ", ")
}

// weight puts causes before damage, mistakes before notes, and what a log says
// last.
func weight(f Finding) int {
	switch {
	case f.Needs == Mend:
		return 0
	case strings.HasPrefix(f.Class, "log_"):
		return 4
	}
	return 1 + slices.Index([]string{Damage, Mistake, Note}, f.Severity)
}

// tells are the classes that tell what another class only repeats, where the
// two haven't the same name.
var tells = map[string][]string{
	"version_too_new":   {"image_missing"}, // one that was mistyped tells of no version
	"backup_too_new":    {"image_missing"},
	"config_unreadable": {"manifest_missing", "manifest_invalid", "unit_missing", "env_file_missing"},
	"log_permission":    {"ownership"},
	"log_nospace":       {"alarm", "stale_alarm", "quota_reached"},
	"log_port_in_use":   {"port_taken", "in_use"},
	"log_lock":          {"in_use"},
	"log_version":       {"version_too_new"},
	"log_snapshot_hash": {"backup_without_hash", "backup_hash"},
	"log_cluster_id":    {"foreign_directory"},
	"log_not_ready":     {"wal_missing", "wal_cut", "wal_truncated"},
	"log_wal_corrupt":   {"wal_torn"},
	"log_wal_truncated": {"wal_missing", "wal_cut"},
	"log_wal_repaired":  {"wal_cut"},
	"log_db_missing":    {"db_empty", "db_behind_wal"},
	"log_db_meta_both":  {"db_unreadable", "db_foreign"},
	"log_db_page":       {"db_unreadable"},
	"log_db_truncated":  {"db_page"},
	"log_url_mismatch":  {"restored_with_defaults"},
	"log_flag":          {"unknown_flag", "flag_refused"},
	"log_certificate":   {"pki_lost", "certificate_unreadable", "certificate_key"},
}

// ended are the classes that tell no more than that etcd was started and ended.
var ended = []string{"etcd_failing", "unit_failing"}

// fold leaves out what only repeats another finding, and puts what etcd said of
// it behind that one's sentence.
func fold(findings []Finding) []Finding {
	var kept, repeats []Finding
	for _, f := range findings {
		if teller(findings, f) < 0 {
			kept = append(kept, f)
		} else {
			repeats = append(repeats, f)
		}
	}
	for _, f := range repeats {
		if i := teller(kept, f); i >= 0 && quotes(kept[i], f) {
			kept[i].Finding += fmt.Sprintf(" etcd said %q.", f.Said)
		}
	}
	return kept
}

// quotes reports whether what etcd said belongs to a finding: it is about the
// data, or about a file or a flag that was named.
func quotes(f, repeat Finding) bool {
	if repeat.Said == "" || strings.Contains(f.Finding, repeat.Said) || strings.Contains(f.Finding, "said \"") {
		return false
	}
	named := f.Path != "" && strings.Contains(repeat.Said, filepath.Base(f.Path)) || f.From != "" && strings.Contains(repeat.Said, f.From)
	return f.Needs != Mend || named || !slices.Contains(ended, repeat.Class)
}

// teller is the finding that tells what f repeats; -1 if there is none.
func teller(findings []Finding, f Finding) int {
	name, said := strings.CutPrefix(f.Class, "log_")
	end := slices.Contains(ended, f.Class)
	return slices.IndexFunc(findings, func(other Finding) bool {
		why := end && other.Needs != "" && other.Class != f.Class && !slices.Contains(ended, other.Class)
		return why || said && other.Class == name || slices.Contains(tells[f.Class], other.Class)
	})
}
