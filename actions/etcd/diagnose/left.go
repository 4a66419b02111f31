package diagnose

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runbook/actions/etcd/candidate"
)

// The kinds of a Candidate.
const (
	KindDir      = "data_dir"
	KindDatabase = "database"
	KindSnapshot = "snapshot"
)

// left is something that is left of an etcd on the host.
type left struct {
	Tip
	path    string // what a cure is told
	kind    string
	member  string // the directory "member"; empty for a file
	wal     string
	near    bool
	inPlace bool
	backup  bool // it is in a directory with backups

	cure   string // empty: none makes use of it
	why    string
	whole  bool
	looked bool // it was read as a whole
}

// maxLeft bounds how many directories and files are examined.
const maxLeft = 40

// gather finds what is left on the host and reads how far it got.
func (r *Report) gather(ctx context.Context) error {
	r.left = []*left{r.own()}
	o := candidate.Options{DataDir: r.Options.DataDir, Named: r.Options.Named}
	var found candidate.Found
	if r.elsewhere() {
		o.Roots = r.Options.Roots
		found = candidate.Search(ctx, o)
	} else {
		found = candidate.Beside(o)
	}
	r.Cut = found.Cut
	for _, d := range found.Dirs {
		r.left = append(r.left, &left{path: d.Path, kind: KindDir, member: d.Member, wal: r.logOf(d), near: d.Near})
	}
	backups := backupFiles(r.Options.Backups)
	for _, b := range backups {
		r.left = append(r.left, &left{path: b.Path, kind: KindSnapshot, near: true, backup: true})
	}
	for _, path := range found.Files {
		if !slices.ContainsFunc(backups, func(b Backup) bool { return b.Path == path }) {
			r.left = append(r.left, &left{path: path, kind: KindDatabase, near: true})
		}
	}
	r.left = r.left[:min(len(r.left), maxLeft)]
	if err := readLeft(ctx, r.left[1:]); err != nil {
		return err
	}
	return r.sortHistories(ctx)
}

// own is what is in the data directory, as it was read already.
func (r *Report) own() *left {
	member := filepath.Join(r.Options.DataDir, "member")
	l := &left{path: r.Options.DataDir, kind: KindDir, member: member, wal: r.WAL.Dir, near: true, inPlace: true, looked: true, whole: r.sound()}
	l.Tip = Tip{DB: r.DB, WAL: r.WAL, Marker: readMarker(member), Modified: lastWritten(place{DB: r.DB.Path, WAL: r.WAL.Dir})}
	return l
}

// elsewhere reports whether data has to be looked for that was moved: where
// what is in its place isn't whole, or was begun lately.
func (r *Report) elsewhere() bool {
	w := &r.WAL
	return !r.sound() || w.MemberID == "" || w.LastIndex < r.DB.ConsistentIndex || r.young()
}

// young reports whether the log still begins with the cluster's first entry:
// etcd began with an empty directory, and not long ago.
func (r *Report) young() bool {
	w := &r.WAL
	return readMarker(filepath.Join(r.Options.DataDir, "member")) == nil && w.FirstIndex <= 1 && len(w.Files) > 0 && strings.HasPrefix(w.Files[0].Name, "0000000000000000-")
}

// logOf is where the log of a directory that was kept is: in it, or, where
// etcd has a directory of its own for it, kept under the same name.
func (r *Report) logOf(d candidate.Dir) string {
	inside := filepath.Join(d.Member, "wal")
	o := r.Options
	if o.WALDir == "" || exists(inside) {
		return inside
	}
	if rest, ok := strings.CutPrefix(o.WALDir, o.DataDir+"/"); ok {
		return filepath.Join(filepath.Dir(d.Member), rest)
	}
	if suffix, ok := strings.CutPrefix(d.Path, o.DataDir); ok && exists(o.WALDir+suffix) {
		return o.WALDir + suffix
	}
	return inside
}

// readLeft reads how far each got.
func readLeft(ctx context.Context, all []*left) error {
	places := make([]place, len(all))
	for i, l := range all {
		places[i] = l.place()
	}
	found, err := tips(ctx, places)
	if err != nil {
		return err
	}
	for i, l := range all {
		l.Tip = found[i]
	}
	return nil
}

func (l *left) place() place {
	if l.kind != KindDir {
		return place{DB: l.path}
	}
	return place{DB: filepath.Join(l.member, "snap", "db"), WAL: l.wal, Member: l.member}
}

// empty reports whether nobody has written anything to it.
func (l *left) empty() bool { return l.Reach() <= 1 }

// written is when it was last written, for people.
func (l *left) written() string { return l.Modified.Format(time.RFC3339) }
