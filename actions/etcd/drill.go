package etcd

import (
	"context"
	"errors"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// drill rehearses a recovery from a snapshot, away from the member.
type drill struct {
	Snapshot string  `cty:"snapshot"`
	Scratch  string  `cty:"scratch"`
	DataDir  *string `cty:"data_dir"`
	Prefix   string  `cty:"prefix"`
	MaxBytes *int64  `cty:"max_bytes"`
	MustSave bool    `cty:"must_save"`
}

var _ engine.Action = (*drill)(nil)

func drillSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_snapshot_drill",
		Doc: "Rehearses a recovery: tells whether a snapshot would have saved you, and how long it would have taken. " +
			"It verifies the snapshot, restores it into a directory of its own, starts a real etcd on it that serves a socket there and nothing else, compares every key, " +
			"counts the objects of Kubernetes, and throws all that away. The member that runs isn't touched. " +
			"The drill runs with the lowest priority for processors and disks and is the first to go where memory is short.",
		ReadOnly:   true,
		Attributes: drillAttributes(),
		Results:    drillResults(),
		Example: `step "etcd_snapshot_drill" "rehearse" {
  snapshot = "/var/backups/etcd/backup-1.db"
  data_dir = "/var/lib/etcd"
}`,
		New: func() engine.Action { return &drill{} },
	}
}

func drillAttributes() []engine.Attribute {
	return []engine.Attribute{
		{Name: "snapshot", Type: cty.String, Required: true, Check: checkAbsolute, Doc: "The snapshot's path."},
		{Name: "scratch", Type: cty.String, Default: cty.StringVal("/var/tmp"), Check: checkAbsolute,
			Doc: "A directory that is neither in nor above a data directory. The drill works in a directory of its own there, " + scratchName + ", one drill at a time. " +
				"The times tell most where it is on a disk like that of the data."},
		{Name: "data_dir", Type: cty.String, Check: checkAbsolute, Doc: "The member's data directory, which scratch must not be in or above. Others are noticed where they are within reach."},
		{Name: "prefix", Type: cty.String, Default: cty.StringVal("/registry"), Check: checkAbsolute,
			Doc: "Where the API server keeps its objects, as in its flag --etcd-prefix."},
		{Name: "max_bytes", Type: cty.Number, Check: checkPositive,
			Doc: "How much of the disk the drill may take, in bytes. It is refused beforehand where it needs more. Default: half of what is free."},
		{Name: "must_save", Type: cty.Bool, Default: cty.True,
			Doc: "Whether to fail where the snapshot would not have saved you. Otherwise the result \"saved\" tells."},
	}
}

func drillResults() []engine.Attribute {
	return []engine.Attribute{
		{Name: "saved", Type: cty.Bool, Doc: "Whether the snapshot would have saved you."},
		{Name: "failed", Type: cty.String, Doc: `The part that failed: "verify", "restore", "boot", "compare" or "count"; empty if none did.`},
		{Name: "reason", Type: cty.String, Doc: "Why the snapshot would not have saved you; empty if it would have."},
		{Name: "revision", Type: cty.Number, Doc: "The newest revision in the snapshot; 0 if it isn't known."},
		{Name: "keys", Type: cty.Number, Doc: "How many live keys it holds; 0 if that isn't known."},
		{Name: "content_hash", Type: cty.String, Doc: "The digest of the live keys, as etcd_compare computes it; empty if it isn't known."},
		{Name: "objects", Type: cty.Map(cty.Number), Doc: `How many objects of Kubernetes it holds, by "RESOURCE.GROUP", without those that come and go by themselves.`},
		{Name: "seconds", Type: cty.Map(cty.Number), Doc: `How long each part took, in seconds: "verify", "restore", "boot", "compare", "count". Parts that were not begun are missing.`},
		{Name: "total_seconds", Type: cty.Number, Doc: "How long all but the count took together, in seconds: the part of a recovery that depends on the snapshot."},
	}
}

// Plan implements engine.Action.
func (a *drill) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	c := engine.Change{Checks: []string{a.Snapshot + " can be restored, etcd starts on it, and holds all its keys"}}
	if _, err := a.place(ctx, w); err != nil {
		return engine.Change{}, err
	}
	info, err := inspectSource(ctx, w, a.Snapshot)
	var unknown *engine.UnknownError
	var damaged *inspect.Damaged
	switch {
	case errors.As(err, &unknown):
		return c, nil // an earlier step will make it; Apply looks at it
	case errors.As(err, &damaged) && !a.MustSave:
		return c, nil
	case errors.As(err, &damaged):
		return engine.Change{}, unusable(a.Snapshot, damaged.Reason)
	case err != nil:
		return engine.Change{}, err
	}
	return c, a.checkRoom(ctx, w, info.Size)
}

// Apply implements engine.Action.
func (a *drill) Apply(ctx context.Context, _ engine.Change, rep engine.Reporter) (engine.Result, error) {
	dir, err := a.place(ctx, thisHost{})
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(a.Snapshot)
	if err != nil {
		return nil, err
	}
	s, err := openScratch(ctx, dir)
	if err != nil {
		return nil, err
	}
	got, err := a.rehearse(ctx, s, size, rep)
	if err = errors.Join(err, s.remove()); err != nil {
		return nil, err
	}
	if !got.Saved && a.MustSave {
		return nil, engine.Errorf(a.Snapshot, "it would not have saved you: %s failed: %s", got.Failed, got.Reason).
			WithHint("Take another snapshot and rehearse that one. The data source etcd_snapshot finds the newest that verifies.").WithAttribute("snapshot")
	}
	return got.result(), nil
}

// Undo implements engine.Action. There is nothing to undo but what a drill has
// left that was killed.
func (a *drill) Undo(ctx context.Context, _ engine.Change, _ engine.Reporter) error {
	return clearScratch(ctx, a.Scratch)
}

// drilled is what a drill found.
type drilled struct {
	Saved       bool               `json:"saved"`
	Failed      string             `json:"failed"`
	Reason      string             `json:"reason"`
	Revision    int64              `json:"revision"`
	Keys        int64              `json:"keys"`
	ContentHash string             `json:"content_hash"`
	Objects     map[string]int64   `json:"objects"`
	Seconds     map[string]float64 `json:"seconds"`
}

// The parts of a drill, in their order.
const (
	partVerify  = "verify"
	partRestore = "restore"
	partBoot    = "boot"
	partCompare = "compare"
	partCount   = "count"
)

func (d drilled) result() engine.Result {
	var total time.Duration
	for part, s := range d.Seconds {
		if part != partCount {
			total += time.Duration(s * float64(time.Second)).Round(time.Millisecond)
		}
	}
	return engine.Result{
		"saved": d.Saved, "failed": d.Failed, "reason": d.Reason,
		"revision": d.Revision, "keys": d.Keys, "content_hash": d.ContentHash,
		"objects": d.Objects, "seconds": d.Seconds, "total_seconds": total.Seconds(),
	}
}
