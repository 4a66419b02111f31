package etcd

import (
	"path/filepath"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// adopt puts another data directory in the place of the one that etcd is
// started with.
type adopt struct {
	From        string         `cty:"from"`
	FromWAL     *string        `cty:"from_wal"`
	Member      *restoreMember `cty:"member"`
	DataDir     *string        `cty:"data_dir"`
	WALDir      *string        `cty:"wal_dir"`
	Name        *string        `cty:"name"`
	PeerURLs    []string       `cty:"initial_advertise_peer_urls"`
	Owner       *string        `cty:"owner"`
	Group       *string        `cty:"group"`
	EtcdVersion *string        `cty:"etcd_version"`
}

var _ engine.Action = (*adopt)(nil)

func adoptSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_adopt",
		Doc: "Puts a data directory that was moved, copied or kept in the place of the one that etcd is started with, and keeps what was there beside it. " +
			"Database and log have to be whole, and of the member as it is configured; nothing in them is changed, so the cluster stays the same one. " +
			"The directory is moved; from another file system it is copied, and checked. etcd must be stopped. " +
			"A directory is refused where what is in place has served revisions beyond it: they would be served again with other contents. etcd_salvage takes it then, and raises the revision.",
		Attributes: []engine.Attribute{
			{Name: "from", Type: cty.String, Required: true, Check: checkAbsolute, Doc: "The directory: a data directory, or a directory \"member\", whatever it is called. Only what etcd calls member is taken out of it."},
			{Name: "from_wal", Type: cty.String, Check: checkAbsolute, Doc: "Its log, where etcd is started with a directory of its own for it. Default: the one inside of from, else the log that is in place, if it fits."},
			{Name: "member", Type: restoreMemberType, Doc: "The member as data.etcd_member reads it. The other attributes default to what it says."},
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory that etcd is started with. Required without member."},
			{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The separate directory of the write-ahead log, if etcd is started with one."},
			{Name: "name", Type: cty.String, Doc: "The member's name. Required without member, and equal to the member's with it."},
			{Name: "initial_advertise_peer_urls", Type: cty.List(cty.String), Doc: "The member's peer URLs. Required without member, and equal to the member's with it."},
			{Name: "owner", Type: cty.String, Doc: "The directory's user from then on, by name or number. Default: the member's, else that of what is in place, else as it is."},
			{Name: "group", Type: cty.String, Doc: "Likewise the group."},
			{Name: "etcd_version", Type: cty.String, Doc: "The version of the etcd that will run on the data, such as 3.5.21. Default: the member's, if it is known. A database that is too new for it is refused."},
		},
		Results: []engine.Attribute{
			{Name: "data_dir", Type: cty.String, Doc: "The data directory, links resolved."},
			{Name: "kept", Type: cty.String, Doc: "Where what was in place is; empty if there was nothing."},
			{Name: "from", Type: cty.String, Doc: "The directory \"member\" that was taken."},
			{Name: "revision", Type: cty.Number, Doc: "The newest revision in its database; what its log adds comes on top."},
			{Name: "keys", Type: cty.Number, Doc: "How many live keys its database holds."},
			{Name: "cluster_id", Type: cty.String, Doc: "The cluster's ID, in hexadecimal."},
			{Name: "member_id", Type: cty.String, Doc: "The member's ID, in hexadecimal."},
		},
		Example: `step "etcd_adopt" "take_back" {
  from     = "/var/lib/etcd.old"
  data_dir = "/var/lib/etcd"
  name     = "cp1"

  initial_advertise_peer_urls = ["https://10.0.0.1:2380"]
}`,
		New: func() engine.Action { return &adopt{} },
	}
}

// adoptName is the adoption's record inside the directory "member". That of
// the restore which the directory may be from stays beside it.
const adoptName = "runbook-adopt.json"

// adopted is what an adoption adds to the record of a restore.
type adopted struct {
	Data origin `json:"data"`
	// Log is a separate log that comes with it; nil if none does.
	Log *origin `json:"log,omitempty"`
	// Copy says that it is on another file system, and stays there.
	Copy bool `json:"copy,omitempty"`
	// Record is that of an earlier adoption, which this one's replaces.
	Record string `json:"record,omitempty"`
	// Reach is the newest revision that it can have served.
	Reach int64 `json:"reach"`
}

// origin is a directory that is taken from its place, and whose it was.
type origin struct {
	From string   `json:"from"`
	ID   identity `json:"id"`
	UID  int      `json:"uid"`
	GID  int      `json:"gid"`
	Mode uint32   `json:"mode"`
}

// restore is the restore whose machinery an adoption uses.
func (a *adopt) restore() *restore {
	return &restore{
		Snapshot: filepath.Clean(a.From), Member: a.Member, DataDir: a.DataDir, WALDir: a.WALDir,
		Name: a.Name, PeerURLs: a.PeerURLs, Owner: a.Owner, Group: a.Group, EtcdVersion: a.EtcdVersion,
	}
}

func (r *restored) adoptResult() engine.Result {
	kept := ""
	if r.Data.Existed {
		kept = r.Data.Kept
	}
	return engine.Result{
		"data_dir": r.DataDir, "kept": kept, "from": r.Adopt.Data.From, "revision": r.Revision, "keys": r.Keys,
		"cluster_id": r.ClusterID, "member_id": r.MemberID,
	}
}
