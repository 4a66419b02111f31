package locate

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// usualBackups is where backups are where nobody says it, and usualPlaces are
// other places that people choose.
const usualBackups = "/var/backups/etcd"

var usualPlaces = []string{
	usualBackups, "/var/lib/etcd-backup", "/var/lib/etcd-backups", "/opt/etcd-backup", "/opt/etcd-backups",
	"/backup/etcd", "/backups/etcd", "/var/backup/etcd", "/root/etcd-backup", "/root/etcd-backups",
}

// backups are the directories of backups: those of the installed schedules
// first, whether they are there or not, then the usual ones that are.
func (l *look) backups(ctx context.Context, s services) []string {
	var dirs []string
	for _, name := range s.schedules {
		u, paths, err := loadUnit(ctx, l.files, name)
		if err != nil {
			l.failed(name, err)
			continue
		}
		from := []string{u.Environment[backupDir]}
		var copies []string
		if text := u.Environment[backupCopies]; text != "" {
			if err := json.Unmarshal([]byte(text), &copies); err != nil {
				l.tell(paths[0], "%s can't be read: %v", backupCopies, err)
			}
		}
		from = append(from, copies...)
		l.tell(paths[0], "backups are in %s", strings.Join(from, ", "))
		dirs = append(dirs, from...)
	}
	for _, dir := range usualPlaces {
		if l.exists(ctx, dir) {
			dirs = append(dirs, dir)
		}
	}
	return unique(append(dirs, fallback(dirs)...))
}

// fallback is where backups would be, where there are none anywhere.
func fallback(dirs []string) []string {
	if slices.ContainsFunc(dirs, filepath.IsAbs) {
		return nil
	}
	return []string{usualBackups}
}

// unique keeps the absolute paths, each once and in their order.
func unique(paths []string) []string {
	var kept []string
	for _, path := range paths {
		if filepath.IsAbs(path) && !slices.Contains(kept, filepath.Clean(path)) {
			kept = append(kept, filepath.Clean(path))
		}
	}
	return kept
}

// archives are those that were saved beside the snapshots, the newest first.
func (l *look) archives(ctx context.Context, dirs []string) []string {
	found := []string{}
	changed := map[string]time.Time{}
	for _, dir := range dirs {
		for _, e := range l.list(ctx, dir) {
			if strings.HasSuffix(e.Name(), ".tar.gz") && !strings.HasPrefix(e.Name(), ".") {
				path := filepath.Join(dir, e.Name())
				changed[path] = l.changed(ctx, path)
				found = append(found, path)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return changed[b].Compare(changed[a]) })
	return found
}
