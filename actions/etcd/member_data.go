package etcd

import (
	"context"
	"fmt"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/locate"
	"runbook/actions/etcd/member"
	"runbook/engine"
)

// memberData reads how an etcd member of this host is configured.
type memberData struct {
	Unit     *string `cty:"unit"`
	Config   *string `cty:"config"`
	Manifest *string `cty:"manifest"`
}

var _ engine.DataSource = (*memberData)(nil)

func memberDataSpec() engine.DataSpec {
	return engine.DataSpec{
		Name: "etcd_member",
		Doc: "Reads how this host's etcd member is configured, from what starts it. " +
			"A restored data directory has to carry the same name and URLs, and the same owner.",
		Attributes: []engine.Attribute{
			{Name: "unit", Type: cty.String, Doc: "The systemd unit that starts etcd, such as etcd.service. Without unit, config and manifest it is found, as etcd_installation tells."},
			{Name: "config", Type: cty.String, Doc: "etcd's own configuration file, in place of unit."},
			{Name: "manifest", Type: cty.String, Doc: "The manifest of etcd's static pod, in place of unit."},
		},
		Results: memberResults(),
		Example: `data "etcd_member" "this" {}

data "etcd_member" "of_unit" {
  unit = "etcd.service"
}`,
		New: func() engine.DataSource { return &memberData{} },
	}
}

func memberResults() []engine.Attribute {
	urls := cty.List(cty.String)
	return []engine.Attribute{
		{Name: "name", Type: cty.String, Doc: "The member's name."},
		{Name: "data_dir", Type: cty.String, Doc: "Its data directory."},
		{Name: "wal_dir", Type: cty.String, Doc: "Its separate directory for the write-ahead log; empty if there is none."},
		{Name: "peer_urls", Type: urls, Doc: "The peer URLs that it advertises."},
		{Name: "listen_peer_urls", Type: urls, Doc: "The URLs at which it listens for peers."},
		{Name: "client_urls", Type: urls, Doc: "The client URLs that it advertises."},
		{Name: "listen_client_urls", Type: urls, Doc: "The URLs at which it listens for clients."},
		{Name: "initial_cluster", Type: cty.String, Doc: "The initial cluster, as name=url,name=url."},
		{Name: "initial_cluster_token", Type: cty.String, Doc: "The initial cluster's token."},
		{Name: "tls", Type: tlsType, Doc: "Certificate, key and CA with which a client on this host can connect; null without TLS."},
		{Name: "owner", Type: cty.String, Doc: "Whose the data directory is to be: its user, or the user that etcd runs as where that is another one than root, or where there is no directory."},
		{Name: "group", Type: cty.String, Doc: "Likewise the group."},
		{Name: "uid", Type: cty.Number, Doc: "The number of owner."},
		{Name: "gid", Type: cty.Number, Doc: "The number of group."},
		{Name: "mode", Type: cty.String, Doc: "The data directory's mode in octal; 0700 where there is none."},
		{Name: "unit", Type: cty.String, Doc: "The unit; empty if it was read from elsewhere."},
		{Name: "version", Type: cty.String, Doc: "etcd's version, where the manifest's image tells it; empty otherwise."},
		{Name: "sources", Type: urls, Doc: "The files that all this was read from."},
		{Name: "restored_from", Type: cty.String, Doc: "The content_hash of the snapshot that runbook restored the data directory from; empty if it didn't."},
	}
}

// Read implements engine.DataSource.
func (d *memberData) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	f, err := d.find(ctx, w)
	if err != nil {
		return nil, err
	}
	m, err := f.Member(ctx, w)
	if err != nil {
		return nil, err
	}
	res := memberResult(m, f)
	marker, err := readMarker(ctx, w, m.DataDir)
	if err != nil {
		return nil, err
	}
	if res["restored_from"] = ""; marker != nil {
		res["restored_from"] = marker.ContentHash
	}
	return res, ownership(ctx, w, m.DataDir, f, res)
}

// find reads the one source that is set, or finds it where none is.
func (d *memberData) find(ctx context.Context, w engine.World) (*locate.Starter, error) {
	set := 0
	for _, p := range []*string{d.Unit, d.Config, d.Manifest} {
		if p != nil {
			set++
		}
	}
	if set > 1 {
		return nil, engine.Errorf("etcd_member", "at most one of unit, config and manifest can be set; there are %d", set).
			WithHint("Name what starts etcd on this host, or set none of them to have it found.").WithAttribute("unit")
	}
	switch {
	case d.Unit != nil:
		return locate.ReadUnit(ctx, w, *d.Unit)
	case d.Config != nil:
		return locate.OfConfig(*d.Config), nil
	case d.Manifest != nil:
		return locate.ReadManifest(ctx, w, *d.Manifest)
	}
	return installed(ctx, w, "manifest=PATH, unit=NAME.service or config=PATH")
}

func memberResult(m member.Member, f *locate.Starter) engine.Result {
	res := engine.Result{
		"name": m.Name, "data_dir": m.DataDir, "wal_dir": m.WALDir,
		"peer_urls": m.PeerURLs, "listen_peer_urls": m.ListenPeerURLs,
		"client_urls": m.ClientURLs, "listen_client_urls": m.ListenClientURLs,
		"initial_cluster": m.InitialCluster, "initial_cluster_token": m.Token,
		"unit": f.Unit, "version": f.Version, "sources": f.Sources, "tls": nil,
	}
	if m.CertFile != "" || m.CAFile != "" {
		res["tls"] = map[string]string{"cert": m.CertFile, "key": m.KeyFile, "ca": m.CAFile}
	}
	return res
}

// linkTarget is where a symbolic link points.
func linkTarget(link engine.PathFact) string {
	if filepath.IsAbs(link.Link) {
		return link.Link
	}
	return filepath.Join(filepath.Dir(link.Path), link.Link)
}

// ownership adds whose the data directory is to be: whose it is, unless etcd
// runs as somebody else who couldn't use it, or it is gone.
func ownership(ctx context.Context, w engine.World, dataDir string, f *locate.Starter, res engine.Result) error {
	fact, err := w.Stat(ctx, dataDir)
	if err != nil {
		return err
	}
	if fact.Type == engine.TypeSymlink {
		if fact, err = w.Stat(ctx, linkTarget(fact)); err != nil {
			return err
		}
	}
	uid, gid, err := lookup(f.User, f.Group)
	if !fact.Exists {
		fact.Mode = 0o700
		if err != nil {
			return err
		}
	}
	if err == nil && (!fact.Exists || uid != 0 && uid != fact.UID) {
		fact.UID, fact.GID = uid, gid
		fact.Owner, fact.Group = ownerNames(uid, gid)
	}
	res["owner"], res["group"] = fact.Owner, fact.Group
	res["uid"], res["gid"] = fact.UID, fact.GID
	res["mode"] = fmt.Sprintf("%04o", fact.Mode)
	return nil
}

// lookup turns a user's and a group's name, or their numbers, into numbers.
// Without a group it is the user's own.
func lookup(owner, group string) (uid, gid int, err error) {
	uid, err = strconv.Atoi(owner)
	if err != nil {
		u, err := user.Lookup(owner)
		if err != nil {
			return 0, 0, engine.Errorf("user "+owner, "there is no such user on this host").
				WithHint("Create the user that etcd runs as, or set owner to one that exists.").WithAttribute("owner")
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			return 0, 0, engine.Errorf("user "+owner, "its number %q is none: %w", u.Uid, err)
		}
		if group == "" {
			group = u.Gid
		}
	}
	if u, err := user.LookupId(owner); group == "" && err == nil {
		group = u.Gid
	}
	if group == "" {
		return uid, uid, nil // a number that is nobody's
	}
	if gid, err = strconv.Atoi(group); err == nil {
		return uid, gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, 0, engine.Errorf("group "+group, "there is no such group on this host").
			WithHint("Create the group that etcd runs as, or set group to one that exists.").WithAttribute("group")
	}
	gid, err = strconv.Atoi(g.Gid)
	return uid, gid, err
}

// ownerNames are a user's and a group's name, or their numbers where they have
// none, as the facts of an existing path tell them.
func ownerNames(uid, gid int) (owner, group string) {
	owner, group = strconv.Itoa(uid), strconv.Itoa(gid)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner, group
}
