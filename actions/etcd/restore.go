package etcd

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
	"runbook/engine/durable"
)

// restore rebuilds a member's data directory from a snapshot.
type restore struct {
	Snapshot       string         `cty:"snapshot"`
	Member         *restoreMember `cty:"member"`
	DataDir        *string        `cty:"data_dir"`
	WALDir         *string        `cty:"wal_dir"`
	Name           *string        `cty:"name"`
	InitialCluster *string        `cty:"initial_cluster"`
	Token          *string        `cty:"initial_cluster_token"`
	PeerURLs       []string       `cty:"initial_advertise_peer_urls"`
	Owner          *string        `cty:"owner"`
	Group          *string        `cty:"group"`
	Bump           *int64         `cty:"bump_revision"`
	EtcdVersion    *string        `cty:"etcd_version"`
	MarkCompacted  *bool          `cty:"mark_compacted"`
}

var _ engine.Action = (*restore)(nil)

// restoreMember is what of data.etcd_member a restore uses.
type restoreMember struct {
	Name           string   `cty:"name"`
	DataDir        string   `cty:"data_dir"`
	WALDir         *string  `cty:"wal_dir"`
	PeerURLs       []string `cty:"peer_urls"`
	InitialCluster *string  `cty:"initial_cluster"`
	Token          *string  `cty:"initial_cluster_token"`
	UID            *int     `cty:"uid"`
	GID            *int     `cty:"gid"`
	Mode           *string  `cty:"mode"`
	Version        *string  `cty:"version"`
}

var restoreMemberType = cty.ObjectWithOptionalAttrs(map[string]cty.Type{
	"name": cty.String, "data_dir": cty.String, "wal_dir": cty.String, "peer_urls": cty.List(cty.String),
	"initial_cluster": cty.String, "initial_cluster_token": cty.String,
	"uid": cty.Number, "gid": cty.Number, "mode": cty.String, "version": cty.String,
}, []string{"wal_dir", "peer_urls", "initial_cluster", "initial_cluster_token", "uid", "gid", "mode", "version"})

// defaultBump is more revisions than any cluster serves between two
// snapshots. It is OpenShift's choice too.
const defaultBump = 1_000_000_000

func restoreSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_snapshot_restore",
		Doc: "Rebuilds an etcd member's data directory from a snapshot and keeps the old directory beside it. " +
			"The snapshot is verified while planning; the new directory is made and verified beside the old one and takes its place in one instant. " +
			"etcd must be stopped. Revisions are raised, so that clients which watched the old cluster notice, and stale alarms are cleared.",
		Attributes: append(restoreAttributes(), restoreIdentity()...),
		Results: []engine.Attribute{
			{Name: "data_dir", Type: cty.String, Doc: "The data directory, links resolved."},
			{Name: "kept", Type: cty.String, Doc: "Where the old data is; empty if there was none."},
			{Name: "snapshot_revision", Type: cty.Number, Doc: "The newest revision in the snapshot."},
			{Name: "revision", Type: cty.Number, Doc: "The revision at which the restored member starts."},
			{Name: "keys", Type: cty.Number, Doc: "How many live keys were restored."},
			{Name: "content_hash", Type: cty.String, Doc: "The digest of the live keys, as etcd_compare computes it."},
			{Name: "cluster_token", Type: cty.String, Doc: "The new cluster's token."},
			{Name: "cluster_id", Type: cty.String, Doc: "The new cluster's ID, in hexadecimal."},
			{Name: "member_id", Type: cty.String, Doc: "The member's new ID, in hexadecimal."},
		},
		Example: `step "etcd_snapshot_restore" "restore" {
  snapshot = "/var/backups/etcd/backup-1.db"
  member = {
    name            = "cp1"
    data_dir        = "/var/lib/etcd"
    peer_urls       = ["https://10.0.0.1:2380"]
    initial_cluster = "cp1=https://10.0.0.1:2380"
  }
}`,
		New: func() engine.Action { return &restore{} },
	}
}

func restoreAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "snapshot", Type: cty.String, Required: true, Check: checkAbsolute,
			Doc: "The snapshot's path. A member/snap/db from a data directory will do too."},
		{Name: "member", Type: restoreMemberType,
			Doc: "The member as data.etcd_member reads it. The other attributes default to what it says."},
		{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory to rebuild. Required without member."},
		{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The separate directory of the write-ahead log, if etcd is started with one."},
		{Name: "owner", Type: cty.String, Doc: "The new directory's user, by name or number. Default: the member's, else the old directory's."},
		{Name: "group", Type: cty.String, Doc: "Likewise the group."},
		{Name: "bump_revision", Type: cty.Number, Check: checkBump,
			Doc: "How many revisions to skip, so that none is served twice with different contents; 0 for none. " +
				"Default: as many as the old data shows to be enough, where its database and its log can be read and it was the only member; otherwise 1,000,000,000."},
		{Name: "etcd_version", Type: cty.String, Doc: "The version of the etcd that will run on the data, such as 3.5.21. Default: the member's, if it is known. A snapshot that is too new for it is refused."},
		{Name: "mark_compacted", Type: cty.Bool,
			Doc: "Whether to mark the skipped revisions as compacted, which makes watchers start afresh. It goes with bump_revision and is its default."},
	}
}

func restoreIdentity() []engine.Attribute {
	return []engine.Attribute{
		{Name: "name", Type: cty.String, Doc: "The member's name. Required without member, and equal to the member's with it."},
		{Name: "initial_advertise_peer_urls", Type: cty.List(cty.String), Doc: "The member's peer URLs. Required without member, and equal to the member's with it."},
		{Name: "initial_cluster", Type: cty.String, Doc: "All members as name=url,name=url. Default: the member's, else this member alone."},
		{Name: "initial_cluster_token", Type: cty.String,
			Doc: "The new cluster's token, the same on all its members and never the old one. Default: one made from the runbook, the run and the snapshot's hash."},
	}
}

func checkAbsolute(v cty.Value) error {
	if s := v.AsString(); s == "" || s[0] != '/' {
		return fmt.Errorf("%q is not an absolute path", v.AsString())
	}
	return nil
}

func checkBump(v cty.Value) error {
	n, acc := v.AsBigFloat().Int64()
	if acc != big.Exact || n < 0 || n > 1<<40 {
		return fmt.Errorf("it has to be a whole number from 0 to 2^40")
	}
	return nil
}

// restored is the record of one restore: the action's own part of the Change,
// and, as a file inside the new directory, the mark by which Plan knows it.
type restored struct {
	Run         string   `json:"run"`
	Step        string   `json:"step,omitempty"`
	Snapshot    string   `json:"snapshot"`
	Hash        string   `json:"hash"` // the trailing one; empty if there is none
	Sum         string   `json:"sum"`  // the SHA-256 of the database in it
	Size        int64    `json:"size"` // of the file, in bytes
	ContentHash string   `json:"content_hash"`
	Revision    int64    `json:"revision"` // the snapshot's
	Keys        int64    `json:"keys"`
	Bump        int64    `json:"bump"`
	BumpNote    string   `json:"bump_note,omitempty"` // how it was found, if it was
	Name        string   `json:"name"`
	Cluster     string   `json:"initial_cluster"`
	Token       string   `json:"initial_cluster_token"`
	PeerURLs    []string `json:"initial_advertise_peer_urls"`
	ClusterID   string   `json:"cluster_id"`
	MemberID    string   `json:"member_id"`
	DataDir     string   `json:"data_dir"`
	WALDir      string   `json:"wal_dir,omitempty"`
	UID         int      `json:"uid"`
	GID         int      `json:"gid"`
	Mode        uint32   `json:"mode"`
	// Data is the swap of the data directory, or of the directory "member" in
	// it where it is a mount point. WAL is that of a separate log.
	Data swap  `json:"data"`
	WAL  *swap `json:"wal,omitempty"`
	// Salvage is set where the snapshot is the old directory's own database.
	Salvage *salvaged `json:"salvage,omitempty"`
	// Adopt is set where it is another data directory, as it is.
	Adopt *adopted `json:"adopt,omitempty"`

	// number tells the names of the swaps from those of earlier steps of the run.
	// oldAt is where the old data is found while planning, and oldLogAt where a
	// separate log.
	number          int
	oldAt, oldLogAt string
	// kin is how the old data is related to what is restored, once that is known,
	// and lost is what of it is left behind.
	kin  *diagnose.Kinship
	lost string
	// dataNow and logNow are where what is adopted is found while planning.
	dataNow, logNow string
	// pin holds the directory in which the new data is made while it is made,
	// and walPin that of a separate log.
	pin, walPin *durable.Pin
}

// swaps are those that change places.
func (r *restored) swaps() []*swap {
	if r.WAL == nil {
		return []*swap{&r.Data}
	}
	return []*swap{&r.Data, r.WAL}
}

// onlyMember reports whether the swap is of "member" inside the data
// directory.
func (r *restored) onlyMember() bool { return r.Data.Target != r.DataDir }

// recordName is what the record is called in the new directory "member".
func (r *restored) recordName() string {
	if r.Adopt != nil {
		return adoptName
	}
	return markerName
}

func (r *restored) result() engine.Result {
	switch {
	case r.Salvage != nil:
		return r.salvageResult()
	case r.Adopt != nil:
		return r.adoptResult()
	}
	return r.restoreResult()
}

func (r *restored) restoreResult() engine.Result {
	kept := ""
	if r.Data.Existed {
		kept = r.Data.Kept
	}
	return engine.Result{
		"data_dir": r.DataDir, "kept": kept, "snapshot_revision": r.Revision,
		"revision": r.Revision + r.Bump, "keys": r.Keys, "content_hash": r.ContentHash,
		"cluster_token": r.Token, "cluster_id": r.ClusterID, "member_id": r.MemberID,
	}
}

// parseMode reads a mode in octal.
func parseMode(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 {
		return 0, engine.Errorf("mode "+s, "it is not a mode in octal").
			WithHint("Write it as chmod does, such as 0700.").WithAttribute("member")
	}
	return uint32(n), nil
}
