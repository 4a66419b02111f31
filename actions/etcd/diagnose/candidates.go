package diagnose

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runbook/actions/etcd/inspect"
)

// Candidate is something on the host from which etcd could be brought back.
type Candidate struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
	// Cure is the one that makes use of it; empty where none can.
	Cure string `json:"cure"`
	// Whole says that all of it was read and nothing in it is damaged, Good that
	// the cure is possible with it.
	Whole    bool      `json:"whole"`
	Good     bool      `json:"good"`
	Revision int64     `json:"revision"`
	Keys     *int64    `json:"keys"` // that can be read; nil where they weren't counted
	Modified time.Time `json:"modified"`
	Loss     string    `json:"loss"`
	Why      string    `json:"why"`
}

// maxExamined bounds how many directories are read as a whole.
const maxExamined = 4

// examine reads what may be better than what is in place as a whole, what got
// furthest first, until something can be used.
func (r *Report) examine(ctx context.Context) error {
	if r.blocking(Repair) == "" {
		return nil // what is in place can be used
	}
	n := 0
	for _, l := range r.ranked() {
		if l.inPlace || l.backup || n >= maxExamined {
			continue
		}
		n++
		var err error
		if l.kind == KindDir {
			err = r.examineDir(ctx, l)
		} else {
			err = r.examineFile(ctx, l)
		}
		if err != nil || l.cure != "" {
			return err
		}
	}
	return nil
}

// examineDir judges a directory as if it were in place.
func (r *Report) examineDir(ctx context.Context, l *left) error {
	o := r.Options
	o.Version = r.Version
	sub, err := Directory(ctx, o, l.member, l.wal)
	if err != nil {
		return err
	}
	l.DB, l.WAL, l.looked = sub.DB, sub.WAL, true
	l.whole = sub.DB.Whole() && sub.WAL.Fault == nil && sub.WAL.Follows(sub.DB) == ""
	l.cure, l.why = sub.use()
	if l.cure == Adopt && r.overtaken(l) {
		l.cure, l.why = Salvage, l.why+"; revisions beyond it may have been served, so they are raised"
	}
	return nil
}

// Directory reads a directory "member", whatever it is called, and its log as a
// whole, and finds what keeps etcd from starting on them with the options.
func Directory(ctx context.Context, o Options, member, walDir string) (*Report, error) {
	o.DataDir, o.WALDir = filepath.Dir(member), walDir
	r := &Report{Member: true, memberDir: member, Options: o, Version: o.Version}
	if err := r.readFiles(ctx); err != nil {
		return nil, err
	}
	r.judgeDB()
	r.judgeWAL()
	r.judgeMembers()
	r.judgeVersion()
	return r, nil
}

// Unfit is the first finding for which etcd wouldn't start, or not as it is
// configured; nil if there is none.
func (r *Report) Unfit() *Finding {
	for i, f := range r.Findings {
		if f.Severity != Note && (f.Needs == Mend || rank(f.Needs) > rank(Restart)) || slices.Contains([]string{"url_mismatch", "restored_with_defaults"}, f.Class) {
			return &r.Findings[i]
		}
	}
	return nil
}

// use says which cure makes use of a directory, and why.
func (r *Report) use() (cure, why string) {
	d := r.DB
	switch {
	case !d.Whole():
		return "", whatIsWrong(d)
	case r.Unfit() == nil:
		return Adopt, fmt.Sprintf("database and log are whole: %d keys at revision %d", d.Contents.Keys, d.Revision)
	case r.Has("version_too_new"):
		return "", fmt.Sprintf("it is of etcd %s, and etcd %s is to run it", d.StorageVersion, r.Version)
	}
	return Salvage, fmt.Sprintf("the database is whole: %d keys at revision %d; as it is, etcd wouldn't start on it, or not well: %s", d.Contents.Keys, d.Revision, r.wrong())
}

// wrong are the classes of what isn't as it should be.
func (r *Report) wrong() string {
	var classes []string
	for _, f := range r.Findings {
		if f.Severity != Note && !slices.Contains(classes, f.Class) {
			classes = append(classes, f.Class)
		}
	}
	return strings.Join(classes, ", ")
}

// whatIsWrong says why a database can't be used, and what can be read of it.
func whatIsWrong(d DB) string {
	switch {
	case d.Fatal != "":
		return "the database can't be read: " + d.Fatal
	case d.Size == 0:
		return "the database is empty"
	case d.Short > 0:
		return fmt.Sprintf("the database is truncated by %d bytes; %d keys can still be read", d.Short, d.Contents.Keys)
	case d.Damaged > 0:
		return fmt.Sprintf("the database is damaged in %d places; %d keys can still be read", d.Damaged, d.Contents.Keys)
	}
	return "the database is none of etcd's"
}

// examineFile checks a database that lies about.
func (r *Report) examineFile(ctx context.Context, l *left) error {
	l.looked = true
	info, err := inspect.File(ctx, l.path)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		l.why = damaged.Reason
		l.DB, err = ReadDB(ctx, l.path)
		return err
	}
	if err != nil {
		return err
	}
	l.whole, l.cure = true, Restore
	l.DB.Contents.Keys = info.Keys
	l.why = fmt.Sprintf("it is whole: %d keys at revision %d", info.Keys, info.Revision)
	if info.Hash != "" {
		l.kind = KindSnapshot
	}
	return nil
}

// elsewhereBest is the best of what isn't in place and was found to be of use;
// nil if there is nothing.
func (r *Report) elsewhereBest() *left {
	for _, l := range r.ranked() {
		if l.cure != "" && !l.inPlace && !l.backup {
			return l
		}
	}
	return nil
}

// unwanted reports whether what is in place isn't the data that is wanted.
func (r *Report) unwanted() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Class == "foreign_directory" && f.Needs != "" })
}
