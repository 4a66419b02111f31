package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"go.etcd.io/etcd/client/pkg/v3/types"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// chooseBump decides how far the revision is raised. The new member must not
// serve a revision again that the old one has served with other contents.
//
// What the old one has served is at most its database's revision and one more
// for each entry of its log behind the entry that the database has: nothing is
// served that isn't in the log, and no entry makes more than one revision. So
// the bump is exact where both can be read and go on from the snapshot, and
// defaultBump where they don't: over all that is left of the same history.
// The members of a cluster can't each choose one of their own: there it is
// defaultBump too, over the snapshot, which is the same for all.
func (a *restore) chooseBump(ctx context.Context, w engine.World, r *restored) error {
	if a.Bump != nil {
		r.Bump = *a.Bump
		return nil
	}
	r.Bump = defaultBump
	urls, err := types.NewURLsMap(r.Cluster)
	if err != nil {
		return engine.Errorf("the restored member", "the initial cluster: %w", err).WithAttribute("initial_cluster")
	}
	served, known, err := a.lastServed(ctx, w, r)
	switch {
	case err != nil:
		return err
	case len(urls) > 1 && known >= r.Revision+defaultBump:
		return engine.Errorf(r.oldAt, "the old member has served revision %d, further beyond the snapshot's %d than the %d by which all members raise it", known, r.Revision, r.Bump).
			WithHint("Set bump_revision to %d or more, and to the same on every member.", known-r.Revision+defaultBump).WithAttribute("bump_revision")
	case len(urls) > 1:
		r.BumpNote = humanize.Comma(defaultBump) + " more, on every member"
	case served.doubt == "":
		r.Bump = max(served.last-r.Revision, 0) + 1
		r.BumpNote = "the old member served at most " + served.how
	case known > r.Revision:
		r.Bump = known - r.Revision + defaultBump
		r.BumpNote = fmt.Sprintf("%s more than revision %d, which was served: %s", humanize.Comma(defaultBump), known, served.doubt)
	default:
		r.BumpNote = fmt.Sprintf("%s more: %s", humanize.Comma(defaultBump), served.doubt)
	}
	return nil
}

// served is the last revision that the old member can have served.
type served struct {
	last  int64
	how   string
	doubt string // why it isn't known; empty if it is
}

// lastServed looks into the old data, and at what else is left of the
// snapshot's history. It also returns the newest revision that is known to have
// been served, which is 0 where nothing is known.
func (a *restore) lastServed(ctx context.Context, w engine.World, r *restored) (s served, known int64, err error) {
	s, known, err = a.servedInPlace(ctx, w, r)
	if err != nil {
		return s, known, err
	}
	path, most, err := a.servedElsewhere(ctx, w, r, s.doubt != "")
	if err == nil && most > max(known, s.last) {
		known = most
		if s.doubt == "" {
			s.doubt = fmt.Sprintf("%s is of the same history, and has gone further", path)
		}
	}
	return s, known, err
}

// servedInPlace looks into the old data.
func (a *restore) servedInPlace(ctx context.Context, w engine.World, r *restored) (s served, known int64, err error) {
	known, err = r.startedAt(ctx, w)
	if err != nil {
		return s, 0, err
	}
	if !r.Data.Existed {
		return served{doubt: "there is no old data that would tell what was served"}, known, nil
	}
	db, doubt, err := r.oldDatabase(ctx, w)
	if err != nil || doubt != "" {
		return served{doubt: doubt}, known, err
	}
	known = max(known, db.Revision)
	if len(db.Members) != 1 {
		return served{doubt: fmt.Sprintf("the old cluster had %d members, and each may have served more", len(db.Members))}, known, nil
	}
	if doubt, err := a.continues(ctx, w, r); err != nil || doubt != "" {
		return served{doubt: doubt}, known, err
	}
	log, doubt, err := r.oldLog(ctx, w)
	if err != nil || doubt != "" {
		return served{doubt: doubt}, known, err
	}
	s = bound(db, log, known)
	if s.doubt == "" && s.last < r.Revision {
		s = served{doubt: fmt.Sprintf("the data in place ends at revision %d, before the snapshot", s.last)}
	}
	return s, known, nil
}

// bound is the calculation: log's last index less the database's.
// db has one member.
func bound(db inspect.Info, log diagnose.WAL, known int64) served {
	behind := log.SeenIndex - db.ConsistentIndex
	switch {
	case log.SeenIndex < db.ConsistentIndex:
		return served{doubt: fmt.Sprintf("the old log ends at entry %d, before the database's, %d", log.SeenIndex, db.ConsistentIndex)}
	case db.Members[0].ID != log.MemberID:
		return served{doubt: "the old log isn't that of the old database"}
	case behind > math.MaxInt32:
		return served{doubt: "the old log doesn't fit the old database"}
	}
	last := max(db.Revision+int64(behind), known)
	return served{last: last, how: fmt.Sprintf("revision %d: its database's %d and %d log entries behind it", last, db.Revision, behind)}
}

// startedAt is the revision at which an earlier restore started the old data.
func (r *restored) startedAt(ctx context.Context, w engine.World) (int64, error) {
	if r.oldAt == "" {
		return 0, nil
	}
	m, err := readMarker(ctx, w, r.oldAt)
	if err != nil || m == nil {
		return 0, err
	}
	return m.Revision + m.Bump, nil
}

// oldDatabase reads the newest revision of the old database, or says why it
// can't be told.
func (r *restored) oldDatabase(ctx context.Context, w engine.World) (inspect.Info, string, error) {
	path, doubt, err := source(ctx, w, filepath.Join(r.oldMember(), "snap", "db"), "the old database")
	if err != nil || doubt != "" {
		return inspect.Info{}, doubt, err
	}
	info, err := inspect.Tip(ctx, path)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return info, "the old database can't be read: " + damaged.Reason, nil
	}
	return info, "", err
}

// oldLogNow is where the old log can be read now, or why it can't.
func (r *restored) oldLogNow(ctx context.Context, w engine.World) (path, doubt string, err error) {
	dir := filepath.Join(r.oldMember(), "wal")
	if r.WAL != nil {
		dir = r.oldLogAt
	} else if rest, inside := below(r.WALDir, r.DataDir); inside && r.WALDir != "" {
		dir = filepath.Join(r.oldAt, rest)
	}
	return source(ctx, w, dir, "the old log")
}

// oldLog reads the old log.
func (r *restored) oldLog(ctx context.Context, w engine.World) (diagnose.WAL, string, error) {
	path, doubt, err := r.oldLogNow(ctx, w)
	if err != nil || doubt != "" {
		return diagnose.WAL{}, doubt, err
	}
	log, err := diagnose.ReadLog(ctx, path)
	if ctx.Err() != nil {
		return log, "", context.Cause(ctx)
	}
	if err != nil {
		return log, unreadLog(err), nil
	}
	return log, log.Lacks(), nil
}

func unreadLog(err error) string { return "the old log can't be read: " + err.Error() }

// oldMember is the old directory "member", wherever it is now.
func (r *restored) oldMember() string {
	if r.onlyMember() {
		return r.oldAt
	}
	return filepath.Join(r.oldAt, "member")
}

// source is where what will be at path can be read now.
func source(ctx context.Context, w engine.World, path, what string) (now, doubt string, err error) {
	now, err = w.Source(ctx, path)
	var unknown *engine.UnknownError
	switch {
	case errors.As(err, &unknown):
		return "", fmt.Sprintf("%s isn't known before step %s", what, unknown.Step), nil
	case errors.Is(err, fs.ErrNotExist):
		return "", what + " is gone", nil
	}
	return now, "", err
}
