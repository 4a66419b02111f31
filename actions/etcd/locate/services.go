package locate

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// services are the services of a host that matter here, by name.
type services struct {
	etcd      []string // those that speak of etcd, or have drop-ins that may
	schedules []string // those that take backups, as etcd-backup-schedule.hcl wrote them
	enabled   map[string]bool
	kubelet   string // kubelet's; empty where there is none
}

const (
	kubeletUnit = "kubelet.service"
	usualUnit   = "etcd.service"
	// backupDir and backupCopies are what a schedule's service is given.
	backupDir    = "RUNBOOK_VAR_backup_dir"
	backupCopies = "RUNBOOK_VAR_copies"
)

// services looks over all of systemd's directories.
func (l *look) services(ctx context.Context) services {
	found := services{enabled: map[string]bool{}}
	etcd, schedules, seen := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, dir := range unitPath {
		for _, e := range l.list(ctx, dir) {
			name := e.Name()
			switch filepath.Ext(name) {
			case ".wants", ".requires":
				for _, link := range l.list(ctx, filepath.Join(dir, name)) {
					found.enabled[link.Name()] = true
				}
			case ".d":
				etcd[strings.TrimSuffix(name, ".d")] = true
			case ".service":
				text := l.unitText(ctx, dir, name, seen)
				etcd[name] = etcd[name] || bytes.Contains(text, []byte("etcd"))
				schedules[name] = schedules[name] || bytes.Contains(text, []byte(backupDir+"="))
			}
		}
	}
	if seen[kubeletUnit] {
		found.kubelet = kubeletUnit
	}
	found.etcd = instances(those(etcd), found.enabled)
	found.schedules = those(schedules)
	return found
}

// unitText is a service's file where no earlier directory has one. A mask is
// none.
func (l *look) unitText(ctx context.Context, dir, name string, seen map[string]bool) []byte {
	if seen[name] {
		return nil
	}
	text := l.read(ctx, filepath.Join(dir, name))
	seen[name] = len(text) > 0
	return text
}

// those are the names for which something holds, in order.
func those(names map[string]bool) []string {
	maps.DeleteFunc(names, func(_ string, holds bool) bool { return !holds })
	return slices.Sorted(maps.Keys(names))
}

// instances are the services among names, with the enabled instances of a template
// in its place.
func instances(names []string, enabled map[string]bool) []string {
	found := map[string]bool{}
	for _, name := range names {
		if filepath.Ext(name) != ".service" {
			continue
		}
		stem, instance, ok := strings.Cut(name, "@")
		if !ok || instance != ".service" {
			found[name] = true
			continue
		}
		for other := range enabled {
			if strings.HasPrefix(other, stem+"@") && other != name {
				found[other] = true
			}
		}
	}
	return those(found)
}

// units are the services that start an etcd, with what they say of it.
func (l *look) units(ctx context.Context, s services) []candidate {
	var found []candidate
	for _, name := range s.etcd {
		u, _, err := loadUnit(ctx, l.files, name)
		if err != nil {
			l.failed(name, err)
			continue
		}
		c := candidate{unit: name, starts: s.enabled[name]}
		starter, err := ReadUnit(ctx, l.files, name)
		switch {
		case err == nil:
			c.starter = starter
		case u.Command(u.Environment) == nil:
			continue // it starts something else
		default:
			l.fault(name, err)
		}
		found = append(found, c)
	}
	return found
}
