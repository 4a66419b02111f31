package etcd

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/locate"
	"runbook/actions/etcd/member"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// options gathers where to look, and what to expect there.
func (d *diagnosisData) options(ctx context.Context, w engine.World) (diagnose.Options, error) {
	o := diagnose.Options{UID: -1, GID: -1, Backups: d.Backups, Roots: d.Search, Keys: valueOf(d.Keys), ClusterID: valueOf(d.ClusterID)}
	if err := d.configured(ctx, w, &o); err != nil {
		return o, err
	}
	if d.DataDir != nil {
		o.DataDir = filepath.Clean(*d.DataDir)
	}
	if d.WALDir != nil {
		o.WALDir = *d.WALDir
	}
	if d.Version != nil {
		o.Version = *d.Version
	}
	if d.Journal != nil {
		o.Log.Unit = *d.Journal
	}
	if d.Logs != nil {
		o.Log.Paths = d.Logs
	}
	before(ctx, w, &o)
	var err error
	o.MountPoint, err = isMountPoint(o.DataDir)
	return o, err
}

func valueOf[T any](p *T) T {
	if p == nil {
		var none T
		return none
	}
	return *p
}

// configured learns what it can from what starts etcd. Where that was named
// and can't be read, it is a finding, unless the data directory is in it.
func (d *diagnosisData) configured(ctx context.Context, w engine.World, o *diagnose.Options) error {
	o.Manifest, o.Unit, o.Config = valueOf(d.Manifest), valueOf(d.Unit), valueOf(d.Config)
	source := memberData{Unit: d.Unit, Config: d.Config, Manifest: d.Manifest}
	if source == (memberData{}) {
		return d.discover(ctx, w, o)
	}
	s, err := source.find(ctx, w)
	if err == nil {
		err = expect(ctx, w, s, o)
	}
	var unknown *engine.UnknownError
	switch {
	case err == nil:
		return nil
	case d.DataDir == nil, errors.As(err, &unknown), errors.Is(err, context.Canceled):
		return err
	}
	o.Unconfigured = err.Error()
	return nil
}

// discover looks for what starts etcd. Where a data directory was named, it
// counts if it is of the same one.
func (d *diagnosisData) discover(ctx context.Context, w engine.World, o *diagnose.Options) error {
	i, err := locate.Find(ctx, w)
	if err != nil {
		return err
	}
	if d.DataDir != nil {
		return d.ofDirectory(ctx, w, i, o)
	}
	if d.Backups == nil {
		o.Backups = i.BackupDirs
	}
	o.Manifest, o.Unit, o.Config = i.Manifest, i.Unit, i.Config
	s, err := starter(ctx, w, i, "data_dir=PATH, manifest=PATH, unit=NAME.service or config=PATH")
	if err == nil {
		err = expect(ctx, w, s, o)
	}
	if err == nil {
		return nil
	}
	if i.DataDir == "" {
		return err
	}
	o.DataDir, o.WALDir, o.Unconfigured = i.DataDir, i.WALDir, err.Error()
	return ctx.Err()
}

// ofDirectory reads what starts etcd on the data directory that was named.
func (d *diagnosisData) ofDirectory(ctx context.Context, w engine.World, i locate.Installation, o *diagnose.Options) error {
	for _, s := range i.Starters {
		found := *o
		if err := expect(ctx, w, s, &found); err == nil && filepath.Clean(*d.DataDir) == found.DataDir {
			*o = found
			break
		}
	}
	return ctx.Err()
}

// expect reads what starts etcd into o.
func expect(ctx context.Context, w engine.World, s *locate.Starter, o *diagnose.Options) error {
	m, err := s.Member(ctx, w)
	var inconsistent *locate.Inconsistent
	if errors.As(err, &inconsistent) {
		o.ConfigError = err.Error()
	} else if err != nil {
		return err
	}
	o.DataDir, o.WALDir, o.Version = filepath.Clean(m.DataDir), m.WALDir, s.Version
	o.Name, o.PeerURLs = m.Name, m.PeerURLs
	o.CAFile = m.CAFile
	if s.Config == "" { // a configuration file doesn't say who runs etcd
		if uid, gid, err := lookup(s.User, s.Group); err == nil {
			o.UID, o.GID = uid, gid
		}
	}
	o.Unit, o.Log.Unit = s.Unit, s.Unit
	if s.Manifest != "" {
		o.Log.Paths = diagnose.PodLogs
		besideManifest(s.Manifest, o)
	}
	return nil
}

var encryptionFlag = regexp.MustCompile(`--encryption-provider-config[= ]["']?([^\s"',\]]+)`)

// besideManifest looks at the other files of the manifest's directory: a
// second etcd, and how the API server encrypts.
func besideManifest(manifest string, o *diagnose.Options) {
	const most = 1 << 20
	o.Manifest = manifest
	dir := filepath.Dir(manifest)
	entries, err := unseen.ReadDir(dir)
	if err != nil {
		return // the manifest itself was read
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if path == filepath.Clean(manifest) || strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() {
			continue
		}
		text, err := unseen.ReadFile(path, most)
		if err != nil {
			continue
		}
		if _, err := member.ParseManifest(text, path); err == nil {
			o.SecondManifests = append(o.SecondManifests, path)
		}
		if strings.Contains(string(text), "kube-apiserver") {
			o.APIServer = true
			if m := encryptionFlag.FindSubmatch(text); m != nil {
				o.EncryptionConfig = string(m[1])
			}
		}
	}
}
