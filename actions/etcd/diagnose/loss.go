package diagnose

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"runbook/engine"
)

// taskLoss compares a backup with what a directory still shows.
const taskLoss = "loss"

// LossOptions say what to compare.
type LossOptions struct {
	DB       string `json:"db"`
	WAL      string `json:"wal"`
	Snapshot string `json:"snapshot"` // empty: nothing would be restored
	Prefix   string `json:"prefix"`   // below which Kubernetes keeps its objects
	Limit    int    `json:"limit"`    // how many keys are told one by one
}

// Loss is what restoring a backup would lose.
type Loss struct {
	// Complete says that nothing is hidden: the database is whole and so is
	// the log. Hidden says what is.
	Complete bool     `json:"complete"`
	Hidden   []string `json:"hidden"`
	// Revision is the newest that the directory shows, and SnapshotRevision
	// the backup's.
	Revision         int64        `json:"revision"`
	SnapshotRevision int64        `json:"snapshot_revision"`
	Writes           int64        `json:"writes"` // between the two
	Keys             int64        `json:"keys"`
	SnapshotKeys     int64        `json:"snapshot_keys"`
	Replayed         int64        `json:"replayed"` // entries of the log
	Created          int64        `json:"created"`
	Changed          int64        `json:"changed"`
	Deleted          int64        `json:"deleted"`
	Kinds            []KindLoss   `json:"kinds"`
	Lost             []LostChange `json:"lost"` // the first ones
}

// KindLoss counts what is lost of one resource; that of keys that are no
// objects of Kubernetes is empty.
type KindLoss struct {
	Resource string `json:"resource"`
	Created  int64  `json:"created"`
	Changed  int64  `json:"changed"`
	Deleted  int64  `json:"deleted"`
}

// LostChange is one change that is lost.
type LostChange struct {
	Change    string `json:"change"` // created, changed or deleted
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

// FindLoss compares in a child process.
func FindLoss(ctx context.Context, o LossOptions) (Loss, error) {
	spec, err := json.Marshal(o)
	if err != nil {
		return Loss{}, err
	}
	var l Loss
	err = inChild(ctx, taskLoss, string(spec), &l)
	var end *crashed
	if errors.As(err, &end) {
		return l, fmt.Errorf("comparing %s with %s ended the process that did it: %w", o.DB, o.Snapshot, err)
	}
	// What a reading is of is the order there, and not a file.
	var told *engine.Error
	if errors.As(err, &told) {
		told.Where = o.DB
	}
	return l, err
}

func findLoss(spec string) (Loss, error) {
	var o LossOptions
	if err := json.Unmarshal([]byte(spec), &o); err != nil {
		return Loss{}, err
	}
	then := newState(o.Prefix, nil)
	if o.Snapshot != "" {
		if err := then.load(o.Snapshot); err != nil {
			return Loss{}, err
		}
		if !then.db.Whole() {
			return Loss{}, fmt.Errorf("the backup %s is damaged", o.Snapshot)
		}
	}
	l := Loss{Hidden: []string{}, Kinds: []KindLoss{}, Lost: []LostChange{}, SnapshotRevision: then.revision, SnapshotKeys: int64(len(then.keys))}
	now, err := l.now(o)
	if err != nil {
		return l, err
	}
	l.Complete, l.Revision, l.Keys = len(l.Hidden) == 0, now.revision, int64(len(now.keys))
	l.Writes = writes(l.SnapshotRevision, l.Revision, raises(now.db, readMarker(filepath.Dir(filepath.Dir(o.DB)))))
	if o.Snapshot != "" {
		if err := l.sameHistory(o); err != nil {
			return l, err
		}
	}
	l.compare(then, now, o.Limit)
	return l, nil
}

// sameHistory says where what is compared has nothing to do with the other.
func (l *Loss) sameHistory(o LossOptions) error {
	kin, err := kinships([]string{o.Snapshot, o.DB})
	if err == nil && kin[0][1] == Stranger {
		l.hide("the directory is of another history than the backup: another cluster was begun in it, and this counts what that holds")
		l.Complete = false
	}
	return err
}

// now is what the directory shows.
func (l *Loss) now(o LossOptions) (*state, error) {
	probe, err := readDB(o.DB)
	if err != nil {
		return nil, err
	}
	log, entries, err := Entries(o.WAL, probe.ConsistentIndex)
	if err != nil {
		return nil, err
	}
	now := newState(o.Prefix, lookedAt(entries))
	if err := now.load(o.DB); err != nil {
		return nil, err
	}
	// A log from its first entry on stands for a database that is gone.
	follows := log.Follows(now.db)
	if alone := (!now.db.Exists || now.db.Size == 0) && log.Entries > 0 && log.FirstIndex <= 1; alone {
		follows, now.revision = "", 1
	}
	if !now.db.Whole() && follows != "" || now.db.Exists && !now.db.Whole() {
		l.hide("the database isn't whole: what it hides isn't counted")
	}
	if follows == "" {
		now.replay(entries)
		l.Replayed = int64(len(entries))
	} else {
		l.hide("nothing of the log is counted: " + follows)
	}
	if behind := log.SeenIndex - log.LastIndex; log.SeenIndex > log.LastIndex {
		l.hide(fmt.Sprintf("%d entries of the log are behind a damage", behind))
	} else if log.Fault != nil && !log.Fault.Tail() {
		l.hide("the log is damaged: " + log.Fault.Reason)
	}
	return now, nil
}

func (l *Loss) hide(what string) { l.Hidden = append(l.Hidden, what) }

// compare counts what is in now and not in then. A key of a damaged database
// that isn't seen needn't be deleted.
func (l *Loss) compare(then, now *state, limit int) {
	count := counter{loss: l, kinds: map[string]*KindLoss{}}
	for key, k := range now.keys {
		switch old, ok := then.keys[key]; {
		case !ok:
			count.note("created", key, k)
		case old.sum != k.sum || old.changed != k.changed:
			count.note("changed", key, k)
		}
	}
	seen := l.Revision > 0
	for key, k := range then.keys {
		if _, ok := now.keys[key]; !ok && seen && (now.deleted[key] || now.db.Whole()) {
			count.note("deleted", key, k)
		}
	}
	count.finish(limit)
}

// counter sorts and counts changes.
type counter struct {
	loss  *Loss
	kinds map[string]*KindLoss
}

func (c *counter) note(change, key string, k kept) {
	lost := LostChange{Change: change, Key: printable([]byte(key)), Resource: k.object.Resource, Namespace: k.object.Namespace}
	if k.isObject {
		lost.Name = printable([]byte(key[strings.LastIndex(key, "/")+1:]))
	}
	kind := c.kinds[lost.Resource]
	if kind == nil {
		kind = &KindLoss{Resource: lost.Resource}
		c.kinds[lost.Resource] = kind
	}
	switch change {
	case "created":
		c.loss.Created++
		kind.Created++
	case "changed":
		c.loss.Changed++
		kind.Changed++
	default:
		c.loss.Deleted++
		kind.Deleted++
	}
	c.loss.Lost = append(c.loss.Lost, lost)
}

// finish orders what was counted: objects before other keys.
func (c *counter) finish(limit int) {
	for _, k := range c.kinds {
		c.loss.Kinds = append(c.loss.Kinds, *k)
	}
	last := func(resource string) int {
		if resource == "" {
			return 1
		}
		return 0
	}
	slices.SortFunc(c.loss.Kinds, func(a, b KindLoss) int {
		return cmp.Or(last(a.Resource)-last(b.Resource), cmp.Compare(a.Resource, b.Resource))
	})
	slices.SortFunc(c.loss.Lost, func(a, b LostChange) int {
		return cmp.Or(last(a.Resource)-last(b.Resource), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Key, b.Key))
	})
	c.loss.Lost = slices.Clip(c.loss.Lost[:min(len(c.loss.Lost), limit)])
}

// DefaultPrefix is where the API server keeps its objects, unless told
// otherwise.
const DefaultPrefix = "/registry"
