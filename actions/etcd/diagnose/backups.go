package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/unseen"
)

// Backup is a file of a backup directory.
type Backup struct {
	Path     string    `json:"path"`
	Modified time.Time `json:"modified"`
	Good     bool      `json:"good"`
	Reason   string    `json:"reason"`   // why not
	Revision int64     `json:"revision"` // of a damaged one, as far as it can be read
	Keys     int64     `json:"keys"`     // likewise
	Version  string    `json:"version"`
	Hash     bool      `json:"hash"` // it carries its SHA-256
}

// maxBackups bounds how many files are checked: each is read as a whole.
const maxBackups = 20

// readBackups checks the backups, the newest first, until one is good.
func (r *Report) readBackups(ctx context.Context) error {
	files := r.ourBackups()
	for _, b := range files[:min(len(files), maxBackups)] {
		info, err := inspect.File(ctx, b.Path)
		var damaged *inspect.Damaged
		switch {
		case errors.As(err, &damaged):
			b.Reason = damaged.Reason
			if d, err := ReadDB(ctx, b.Path); err == nil {
				b.Keys, b.Revision = d.Contents.Keys, d.Revision
			}
		case err != nil:
			return err
		default:
			b.Good, b.Revision, b.Keys, b.Version, b.Hash = true, info.Revision, info.Keys, info.StorageVersion, info.Hash != ""
		}
		r.judgeBackup(&b)
		r.Backups = append(r.Backups, b)
		if b.Good {
			return nil
		}
	}
	return nil
}

// ourBackups are the files, the newest first, of those of one time the one that
// got furthest, and those of another history last.
func (r *Report) ourBackups() []Backup {
	known := map[string]*left{}
	for _, l := range r.left {
		known[l.path] = l
	}
	strange := func(b Backup) int {
		l := known[b.Path]
		return boolRank(len(r.ours) == 0 || l == nil || !l.Readable() || r.ours[l])
	}
	files := backupFiles(r.Options.Backups)
	slices.SortStableFunc(files, func(a, b Backup) int {
		order := cmp.Or(strange(a)-strange(b), b.Modified.Compare(a.Modified))
		if x, y := known[a.Path], known[b.Path]; order == 0 && x != nil && y != nil {
			return cmp.Compare(y.Reach(), x.Reach())
		}
		return order
	})
	return files
}

// judgeBackup says what is wrong with a backup; one that is too new is no
// good.
func (r *Report) judgeBackup(b *Backup) {
	base := filepath.Base(b.Path)
	runs, wrote := minorOf(r.Version), minorOf(b.Version)
	switch {
	case strings.Contains(b.Reason, "don't match its SHA-256"):
		r.at("backup_hash", Damage, b.Path, "", fmt.Sprintf("The backup %s is damaged: %s. \"etcdutl snapshot status\" doesn't notice.", base, b.Reason), "Take an older backup; never restore this one with --skip-hash-check.")
	case !b.Good:
		r.at("backup_damaged", Damage, b.Path, "", fmt.Sprintf("The backup %s can't be used: %s.", base, b.Reason), "Take an older backup.")
	case runs.known() && wrote.known() && runs.before(wrote):
		b.Good, b.Reason = false, fmt.Sprintf("it is of etcd %s, and etcd %s is to run it", b.Version, r.Version)
		r.at("backup_too_new", Mistake, b.Path, "", fmt.Sprintf("The backup %s is of storage version %s, and etcd %s is to run it: 3.6 refuses what is newer, 3.5 takes it without a word.", base, b.Version, r.Version), "Run the etcd version that wrote it.")
	case !b.Hash:
		r.at("backup_without_hash", Note, b.Path, "", fmt.Sprintf("The backup %s was copied from a data directory: it carries no hash, and etcdutl says \"snapshot missing hash but --skip-hash-check=false\".", base), "Its structure was checked; that no value in it has changed can't be.")
	}
}

func backupFiles(dirs []string) []Backup {
	var files []Backup
	for _, dir := range dirs {
		entries, err := unseen.ReadDir(dir)
		if err != nil {
			continue // told as having no backup
		}
		for _, e := range entries {
			info, err := e.Info()
			if err == nil && info.Mode().IsRegular() && filepath.Ext(e.Name()) == ".db" && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, Backup{Path: filepath.Join(dir, e.Name()), Modified: info.ModTime().UTC().Truncate(time.Second)})
			}
		}
	}
	slices.SortStableFunc(files, func(a, b Backup) int { return b.Modified.Compare(a.Modified) })
	return files
}

// backup is the newest good one.
func (r *Report) backup() (Backup, bool) {
	for _, b := range r.Backups {
		if b.Good {
			return b, true
		}
	}
	return Backup{}, false
}
