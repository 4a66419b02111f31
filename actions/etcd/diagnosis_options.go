package etcd

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"strings"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/member"
	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// What starts etcd where nobody says it.
const (
	usualManifest = "/etc/kubernetes/manifests/etcd.yaml"
	usualUnit     = "etcd.service"
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
	if o.DataDir == "" {
		return o, engine.Errorf("etcd_diagnosis", "which data directory to look at isn't known").
			WithHint("Set data_dir, or name what starts etcd with manifest, unit or config.").WithAttribute("data_dir")
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
	d.before(ctx, w, &o)
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
	source := memberData{Unit: d.Unit, Config: d.Config, Manifest: d.Manifest}
	if source == (memberData{}) {
		d.usual(ctx, w, o)
		return nil
	}
	err := source.expect(ctx, w, o)
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

// usual looks for what starts etcd where it usually is. It counts if it is of
// the same data directory.
func (d *diagnosisData) usual(ctx context.Context, w engine.World, o *diagnose.Options) {
	manifest, unit := usualManifest, usualUnit
	for _, source := range []memberData{{Manifest: &manifest}, {Unit: &unit}} {
		found := *o
		err := source.expect(ctx, w, &found)
		if err == nil && (d.DataDir == nil || filepath.Clean(*d.DataDir) == found.DataDir) {
			*o = found
			return
		}
	}
}

// expect reads what starts etcd into o.
func (d *memberData) expect(ctx context.Context, w engine.World, o *diagnose.Options) error {
	f, err := d.find(ctx, w)
	if err != nil {
		return err
	}
	if err := f.followConfig(ctx, w); err != nil {
		return err
	}
	m, err := member.Resolve(f.settings, f.dir, f.where)
	if err != nil {
		o.ConfigError = err.Error()
	}
	o.DataDir, o.WALDir, o.Version = filepath.Clean(m.DataDir), m.WALDir, f.version
	o.Name, o.PeerURLs = m.Name, m.PeerURLs
	o.Files = []string{m.CertFile, m.KeyFile, m.CAFile}
	o.CAFile = m.CAFile
	if d.Config == nil { // a configuration file doesn't say who runs etcd
		if uid, gid, err := lookup(f.owner, f.grp); err == nil {
			o.UID, o.GID = uid, gid
		}
	}
	o.Log.Unit = f.unit
	if d.Manifest != nil {
		o.Log.Paths = diagnose.PodLogs
		besideManifest(*d.Manifest, o)
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
