package locate

import (
	"context"
	"path/filepath"
)

// usualConfigs is where etcd's configuration file is where nothing names it.
var usualConfigs = []string{"/etc/etcd/etcd.conf.yml", "/etc/etcd/etcd.conf.yaml", "/etc/etcd/etcd.yml", "/etc/etcd/etcd.yaml", "/etc/etcd.conf.yml"}

// choose takes over what the first of the candidates tells.
func (i *Installation) choose(ctx context.Context, l *look, all []candidate) {
	for _, c := range all {
		if c.starter != nil {
			i.Starters = append(i.Starters, c.starter)
		}
	}
	switch {
	case len(all) == 0:
		i.withoutStarter(ctx, l)
	case all[0].unit != "":
		i.RunsAs = Unit
		i.take(all[0])
	default:
		i.RunsAs = StaticPod
		i.take(all[0])
	}
	if i.DataDir != "" {
		return
	}
	if i.RunsAs == StaticPod || l.exists(ctx, filepath.Join(usualData, "member")) {
		l.tell(usualData, "etcd's data is usually here")
		i.DataDir = usualData
	}
}

func (i *Installation) take(c candidate) {
	i.Unit, i.Manifest, i.ManifestFound = c.unit, c.manifest, c.found
	i.Config, i.DataDir, i.WALDir = c.config, c.dataDir, c.walDir
}

// withoutStarter looks for an etcd that nothing starts, as far as can be seen.
// Its configuration file and its data may be left.
func (i *Installation) withoutStarter(ctx context.Context, l *look) {
	for _, path := range usualConfigs {
		if !l.exists(ctx, path) {
			continue
		}
		c := candidate{starter: OfConfig(path), found: path}
		if l.measure(ctx, &c); c.dataDir != "" {
			c.found = ""
			i.take(c)
			i.Starters = []*Starter{c.starter}
			return
		}
	}
}
