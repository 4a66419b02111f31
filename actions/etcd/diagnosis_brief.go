package etcd

import (
	"slices"

	"runbook/engine"
)

// diagnosisLines say what a diagnosis has to say in a line for each element.
var diagnosisLines = map[string]string{
	"findings":   "{severity}: {finding}| {advice}| ({path})|\n$ {command}",
	"ladder":     "{cure}: {possible}|; {why}|. It loses {loss}",
	"candidates": "{path}: {kind}|, for {cure}|, revision {revision}|, {keys} keys|. {why}|. It loses {loss}",
	"backups":    "{path}: {good}, {modified}|, revision {revision}|: {reason}",
}

// diagnosisDetails are the results that are of use to few.
var diagnosisDetails = []string{
	"causes", "classes", "search_cut", "storage_version", "cluster_id", "member_id", "members", "alarms", "db_size", "db_whole",
	"compact_revision", "consistent_index", "objects", "encrypted", "damaged", "unreadable", "wal_entries", "wal_first_index",
	"wal_last_index", "wal_commit", "wal_snapshot_index", "wal_seen_index", "free_bytes", "free_inodes", "mount_point", "users", "processes",
}

// inBrief are the results of a diagnosis, with what is shown of them at first.
func inBrief(results []engine.Attribute) []engine.Attribute {
	for i, r := range results {
		results[i].Line, results[i].Detail = diagnosisLines[r.Name], slices.Contains(diagnosisDetails, r.Name)
	}
	return results
}
