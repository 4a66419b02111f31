package etcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// salvage makes a new data directory from the database of a broken one.
type salvage struct {
	From        *string        `cty:"from"`
	Member      *restoreMember `cty:"member"`
	DataDir     *string        `cty:"data_dir"`
	WALDir      *string        `cty:"wal_dir"`
	Name        *string        `cty:"name"`
	PeerURLs    []string       `cty:"initial_advertise_peer_urls"`
	Token       *string        `cty:"initial_cluster_token"`
	Owner       *string        `cty:"owner"`
	Group       *string        `cty:"group"`
	EtcdVersion *string        `cty:"etcd_version"`
}

var _ engine.Action = (*salvage)(nil)

func salvageSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_salvage",
		Doc: "Makes a fresh data directory from the database of a broken one, as a restore makes it from a snapshot, and keeps the broken one beside it. " +
			"It loses less than any backup: what the write-ahead log has behind the database is replayed by etcd's own code as far as the log can be read, and counted where it can't. " +
			"The database has to be whole and etcd has to be stopped. The member starts as a cluster of its own; other members join it afterwards, with empty directories.",
		Attributes: []engine.Attribute{
			{Name: "from", Type: cty.String, Check: checkAbsolute, Doc: "Another directory whose database is salvaged, with its own log: a data directory, or a directory \"member\", whatever it is called. It stays as it is; what is made of it takes the place of data_dir. Default: the data directory's own."},
			{Name: "member", Type: restoreMemberType, Doc: "The member as data.etcd_member reads it. The other attributes default to what it says."},
			{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The data directory that etcd is started with, and that is salvaged without from. Required without member."},
			{Name: "wal_dir", Type: cty.String, Check: checkAbsolute, Doc: "The separate directory of the write-ahead log, if etcd is started with one."},
			{Name: "name", Type: cty.String, Doc: "The member's name. Required without member, and equal to the member's with it."},
			{Name: "initial_advertise_peer_urls", Type: cty.List(cty.String), Doc: "The member's peer URLs. Required without member, and equal to the member's with it."},
			{Name: "initial_cluster_token", Type: cty.String, Doc: "The new cluster's token, never the old one. Default: one made from the runbook and the run."},
			{Name: "owner", Type: cty.String, Doc: "The new directory's user, by name or number. Default: the old directory's."},
			{Name: "group", Type: cty.String, Doc: "Likewise the group."},
			{Name: "etcd_version", Type: cty.String, Doc: "The version of the etcd that will run on the data, such as 3.5.21. Default: the member's, if it is known. A database that is too new for it is refused."},
		},
		Results: []engine.Attribute{
			{Name: "data_dir", Type: cty.String, Doc: "The data directory, links resolved."},
			{Name: "kept", Type: cty.String, Doc: "Where what was in place is; empty if there was nothing."},
			{Name: "database_revision", Type: cty.Number, Doc: "The newest revision in the old database."},
			{Name: "last_revision", Type: cty.Number, Doc: "The newest revision once the log was replayed."},
			{Name: "revision", Type: cty.Number, Doc: "The revision at which the member starts: beyond all that was served."},
			{Name: "replayed", Type: cty.Number, Doc: "How many entries of the log were replayed."},
			{Name: "lost", Type: cty.Number, Doc: "How many entries of the log can be seen and couldn't be replayed, as they are behind a damage or don't follow on the database. Null where the log couldn't be read."},
			{Name: "keys", Type: cty.Number, Doc: "How many live keys were salvaged."},
			{Name: "content_hash", Type: cty.String, Doc: "The digest of the live keys, as etcd_compare computes it."},
			{Name: "cluster_token", Type: cty.String, Doc: "The new cluster's token."},
			{Name: "cluster_id", Type: cty.String, Doc: "The new cluster's ID, in hexadecimal."},
			{Name: "member_id", Type: cty.String, Doc: "The member's new ID, in hexadecimal."},
		},
		Example: `step "etcd_salvage" "salvage" {
  data_dir = "/var/lib/etcd"
  name     = "cp1"

  initial_advertise_peer_urls = ["https://10.0.0.1:2380"]
}`,
		New: func() engine.Action { return &salvage{} },
	}
}

// salvaged is what a salvage adds to the record of a restore.
type salvaged struct {
	// Replayed and Lost count the log's entries, and there is no Lost where the
	// log couldn't be read; Revision is the newest once they were replayed.
	Replayed int64  `json:"replayed"`
	Lost     *int64 `json:"lost"`
	Revision int64  `json:"revision"`
	// Unread is why the plan does without the log: it can't be read. Empty if
	// it can, or if it isn't there.
	Unread string `json:"unread,omitempty"`
	// From is another directory "member" whose database it is, and Log its log;
	// empty where it is the data directory's own.
	From string `json:"from,omitempty"`
	Log  string `json:"log,omitempty"`
}

// tag is the part of the names of the swap that tells the step: a run may
// salvage a directory and then restore it, and either of it more than once.
func (r *restored) tag() string {
	tag := r.Run
	if r.Salvage != nil {
		tag += "-salvaged"
	}
	if r.Adopt != nil {
		tag += "-adopted"
	}
	if r.number > 1 {
		tag += "." + strconv.Itoa(r.number)
	}
	return tag
}

// restore is the restore that a salvage is: from the old database to a
// cluster of one.
func (a *salvage) restore() *restore {
	r := &restore{
		DataDir: a.DataDir, WALDir: a.WALDir, Name: a.Name, PeerURLs: a.PeerURLs,
		Token: a.Token, Owner: a.Owner, Group: a.Group, EtcdVersion: a.EtcdVersion,
	}
	if a.Member != nil {
		m := *a.Member
		alone := alone(m.Name, m.PeerURLs)
		m.InitialCluster = &alone
		r.Member = &m
	}
	return r
}

// Plan implements engine.Action.
func (a *salvage) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	as := a.restore()
	r := &restored{Run: w.Run().ID, Step: w.Run().Step, Salvage: &salvaged{}}
	if err := as.settle(r); err != nil {
		return engine.Change{}, err
	}
	if err := as.place(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	r.Snapshot = filepath.Join(r.DataDir, "member", "snap", "db")
	if a.From != nil {
		r.Snapshot = filepath.Clean(*a.From)
	}
	if done, err := as.finished(ctx, w, r); err != nil || done != nil {
		return engine.Change{Results: done}, err
	}
	if err := a.find(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	db, err := r.wholeDatabase(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	if err := as.checkVersion(inspect.Info{StorageVersion: db.StorageVersion}); err != nil {
		return engine.Change{}, err
	}
	r.Revision, r.Keys, r.Size = db.Revision, db.Contents.Keys, db.Size
	if err := as.chooseBump(ctx, w, r); err != nil {
		return engine.Change{}, err
	}
	if err := as.identify(r, w.Run()); err != nil {
		return engine.Change{}, err
	}
	if err := as.checkSpace(ctx, w, r, inspect.Info{Size: db.Size}); err != nil {
		return engine.Change{}, err
	}
	told, err := r.tellLog(ctx, w, db)
	if err != nil {
		return engine.Change{}, err
	}
	return r.salvageChange(told)
}

// find finds the directory whose database it is, where that is another one.
func (a *salvage) find(ctx context.Context, w engine.World, r *restored) error {
	if a.From == nil {
		return nil
	}
	member, err := findMember(ctx, w, r.Snapshot, r.DataDir)
	if err == nil && member == "" {
		err = noMember(r.Snapshot)
	}
	r.Salvage.From, r.Salvage.Log = member, filepath.Join(member, "wal")
	return err
}

// salvagedDB is where the database is until the directories are swapped.
func (r *restored) salvagedDB() string {
	if r.Salvage.From != "" {
		return filepath.Join(r.Salvage.From, "snap", "db")
	}
	return r.Snapshot
}

// wholeDatabase reads the old database, which has to be whole. That of an etcd
// that runs yet may look damaged for a moment.
func (r *restored) wholeDatabase(ctx context.Context, w engine.World) (diagnose.DB, error) {
	at := filepath.Join(r.oldMember(), "snap", "db")
	if r.Salvage.From != "" {
		at = r.salvagedDB()
	}
	path, err := w.Source(ctx, at)
	if errors.Is(err, fs.ErrNotExist) {
		return diagnose.DB{}, notSalvageable(r.Snapshot, "the old database is gone")
	}
	if err != nil {
		return diagnose.DB{}, err
	}
	var db diagnose.DB
	for range 3 {
		if db, err = diagnose.ReadDB(ctx, path); err != nil || db.Whole() {
			return db, err
		}
	}
	return db, notSalvageable(r.Snapshot, whatIsWrong(db))
}

func notSalvageable(path, reason string) error {
	return engine.Errorf(path, "the database can't be salvaged: %s", reason).
		WithHint("Restore a backup. runbook read etcd_diagnosis tells which keys can still be read, and what else is possible.").WithAttribute("data_dir")
}

// whatIsWrong says why a database isn't whole.
func whatIsWrong(db diagnose.DB) string {
	switch {
	case db.Fatal != "":
		return db.Fatal
	case db.Size == 0:
		return "it is empty"
	case db.Short > 0:
		return fmt.Sprintf("it is truncated by %d bytes", db.Short)
	case db.Damaged > 0:
		return fmt.Sprintf("it is damaged in %d places, the first in page %d: %s", db.Damaged, db.Damage[0].Page, db.Damage[0].Reason)
	}
	return "it is none of etcd's"
}

// tellLog says what the log adds to the database.
func (r *restored) tellLog(ctx context.Context, w engine.World, db diagnose.DB) (string, error) {
	path, doubt, err := r.salvagedLog(ctx, w)
	if err != nil {
		return "", err
	}
	if doubt != "" {
		return "nothing is replayed: " + doubt, nil
	}
	log, err := diagnose.ReadLog(ctx, path)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil && !diagnose.Unreadable(err) {
		return "", err
	}
	if err != nil {
		r.Salvage.Unread = unreadLog(err)
		return "nothing is replayed: " + r.Salvage.Unread, nil
	}
	if doubt := log.Lacks(); doubt != "" && log.MemberID == "" {
		if log.Fault != nil {
			r.Salvage.Unread = doubt
		}
		return "nothing is replayed: " + doubt, nil
	}
	if why := log.Follows(db); why != "" {
		return "nothing is replayed: " + why, nil
	}
	told := fmt.Sprintf("%d entries of the log are replayed", log.LastIndex-db.ConsistentIndex)
	if lost := log.SeenIndex - log.LastIndex; lost > 0 {
		told += fmt.Sprintf(", %d behind its damage are lost", lost)
	}
	return told, nil
}

// salvagedLog is where the log that belongs to the database can be read now.
func (r *restored) salvagedLog(ctx context.Context, w engine.World) (path, doubt string, err error) {
	if r.Salvage.Log != "" {
		return source(ctx, w, r.Salvage.Log, "the old log")
	}
	return r.oldLogNow(ctx, w)
}

// salvageChange is the plan that the record describes. The numbers are notes:
// an etcd that is to be stopped first may still change them.
func (r *restored) salvageChange(told string) (engine.Change, error) {
	s := r.Data
	c := engine.Change{Results: r.salvageResult(), UndoKept: []string{s.Undone}, UndoNote: s.undoNote(s.Undone)}
	for _, later := range []string{"database_revision", "last_revision", "revision", "replayed", "lost", "keys", "content_hash"} {
		delete(c.Results, later)
	}
	c.Items = []engine.Item{{Target: s.Target, Before: r.salvageBefore(), After: r.salvageAfter(),
		Note: fmt.Sprintf("%d keys at revision %d, %s; %s", r.Keys, r.Revision, humanize.IBytes(uint64(r.Size)), told)}}
	if s.Existed {
		c.Items = append(c.Items, engine.Item{Target: s.Kept, Before: "absent", After: "the data that was in " + s.Target})
		c.Effects = append(c.Effects, engine.Effect{Moved: &engine.Moved{From: s.Target, To: s.Kept}})
		c.Kept = append(c.Kept, s.Kept)
	}
	c.Items = append(c.Items,
		engine.Item{Target: s.Target, Attribute: "cluster token", Before: r.oldToken(), After: r.Token},
		engine.Item{Target: s.Target, Attribute: "revision", Before: "the database's", After: "beyond what was served",
			Note: fmt.Sprintf("%d; %s", r.Revision+r.Bump, r.BumpNote)})
	c.Effects = append(c.Effects, engine.Effect{Created: &engine.Created{Fact: r.fact(s.Target), Bytes: space(inspect.Info{Size: r.Size})}})
	r.changeWAL(&c)
	c.Checks = []string{s.Target + " is not in use", "the database is whole before the log is replayed, and after", "the new directory's keys are the salvaged ones"}
	return c, c.SetData(r)
}

func (r *restored) salvageBefore() string {
	switch {
	case !r.Data.Existed:
		return "absent"
	case r.Salvage.From != "":
		return "existing data"
	}
	return "broken data"
}

func (r *restored) salvageAfter() string {
	whose := "its"
	if r.Salvage.From != "" {
		whose = r.Snapshot + "'s"
	}
	if r.Salvage.Unread != "" {
		return fmt.Sprintf("what %s database holds", whose)
	}
	return fmt.Sprintf("what %s database and %s log hold", whose, whose)
}

func (r *restored) salvageResult() engine.Result {
	res := r.restoreResult()
	delete(res, "snapshot_revision")
	res["database_revision"] = r.Revision
	res["last_revision"] = r.Salvage.Revision
	res["replayed"], res["lost"] = r.Salvage.Replayed, nil
	if lost := r.Salvage.Lost; lost != nil {
		res["lost"] = *lost
	}
	return res
}
