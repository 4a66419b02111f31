package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// compare checks that a running etcd holds what a snapshot holds.
type compare struct {
	Endpoints []string  `cty:"endpoints"`
	TLS       *tlsFiles `cty:"tls"`
	Timeout   int64     `cty:"timeout_seconds"`
	Snapshot  string    `cty:"snapshot"`
	Revision  *int64    `cty:"revision"`
}

var _ engine.Action = (*compare)(nil)

func compareSpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_compare",
		Doc: "Compares the keys of a running etcd with those of a snapshot, every key and value with its revisions. " +
			"Keys that were written since are counted and don't fail it; missing and differing ones do. Healthy and empty is not restored: this tells.",
		ReadOnly: true,
		Attributes: append(connectionAttributes(),
			engine.Attribute{Name: "snapshot", Type: cty.String, Required: true, Check: checkAbsolute, Doc: "The snapshot's path."},
			engine.Attribute{Name: "revision", Type: cty.Number, Check: checkPositive,
				Doc: "Read the keys as they were at this revision, such as the one that etcd_snapshot_restore results in. Then all have to be equal. Default: as they are now."}),
		Results: differenceResults(),
		Example: `step "etcd_compare" "data_is_back" {
  endpoints = ["http://127.0.0.1:2379"]
  snapshot  = "/var/backups/etcd/backup-1.db"
}`,
		New: func() engine.Action { return &compare{} },
	}
}

func differenceResults() []engine.Attribute {
	return []engine.Attribute{
		{Name: "equal", Type: cty.Bool, Doc: "Whether the live keys are exactly the snapshot's."},
		{Name: "revision", Type: cty.Number, Doc: "The revision at which the live keys were read."},
		{Name: "keys", Type: cty.Number, Doc: "How many live keys there are."},
		{Name: "content_hash", Type: cty.String, Doc: "The digest of the live keys."},
		{Name: "same", Type: cty.Number, Doc: "How many are as in the snapshot."},
		{Name: "newer", Type: cty.Number, Doc: "How many were written since."},
		{Name: "missing", Type: cty.Number, Doc: "How many of the snapshot's keys are gone."},
		{Name: "expired", Type: cty.Number, Doc: "How many of those that are gone had a lease, which may have run out."},
	}
}

func (d *difference) result(info inspect.Info) engine.Result {
	return engine.Result{
		"equal": d.live.String() == info.ContentHash, "revision": d.revision, "keys": d.live.Keys(),
		"content_hash": d.live.String(), "same": d.same, "newer": d.newer, "missing": d.missing + d.expired, "expired": d.expired,
	}
}

// Plan implements engine.Action.
func (a *compare) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	c := engine.Change{Checks: []string{fmt.Sprintf("%s holds what %s holds", strings.Join(a.Endpoints, ", "), a.Snapshot)}}
	_, err := inspectSource(ctx, w, a.Snapshot)
	var unknown *engine.UnknownError
	var damaged *inspect.Damaged
	switch {
	case errors.As(err, &unknown):
		return c, nil
	case errors.As(err, &damaged):
		return engine.Change{}, unusable(a.Snapshot, damaged.Reason)
	}
	return c, err
}

// Apply implements engine.Action. Each endpoint is compared: the members of a
// cluster may hold different data and know nothing of it.
func (a *compare) Apply(ctx context.Context, _ engine.Change, rep engine.Reporter) (engine.Result, error) {
	info, err := inspect.File(ctx, a.Snapshot)
	var damaged *inspect.Damaged
	if errors.As(err, &damaged) {
		return nil, unusable(a.Snapshot, damaged.Reason)
	}
	if err != nil {
		return nil, err
	}
	var res engine.Result
	for _, endpoint := range a.Endpoints {
		rep.Progress(engine.Progress{Doing: "comparing the keys of " + endpoint + " with the snapshot's"})
		d, err := a.at(ctx, endpoint, info)
		if err != nil {
			return nil, err
		}
		if err := a.judge(endpoint, d, info); err != nil {
			return nil, err
		}
		res = d.result(info)
	}
	return res, nil
}

// at compares one endpoint. The timeout is for its first answer; the walk
// after that takes as long as there are keys.
func (a *compare) at(ctx context.Context, endpoint string, info inspect.Info) (*difference, error) {
	conn := connection{endpoints: a.Endpoints, tls: a.TLS, timeout: time.Duration(a.Timeout) * time.Second}
	cli, err := conn.dial(endpoint)
	if err != nil {
		return nil, err
	}
	defer cli.Close() // its error is the context's
	probe, cancel := context.WithTimeout(ctx, conn.timeout)
	defer cancel()
	if _, err := cli.Get(probe, "health"); err != nil {
		return nil, notHealthy(endpoint, err)
	}
	var revision int64
	if a.Revision != nil {
		revision = *a.Revision
	}
	d, err := compareWith(ctx, cli, info, a.Snapshot, revision)
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil, engine.Errorf(endpoint, "revision %d has been compacted since: %w", revision, err).
			WithHint("Leave revision out: keys that were written since are then counted as newer.").WithAttribute("revision")
	}
	if errors.Is(err, rpctypes.ErrFutureRev) {
		return nil, engine.Errorf(endpoint, "it hasn't reached revision %d: %w", revision, err).
			WithHint("Was etcd started on the restored directory? Its first revision is the result \"revision\" of etcd_snapshot_restore.").WithAttribute("revision")
	}
	if err != nil {
		return nil, engine.Errorf(endpoint, "comparing its keys with the snapshot's: %w", err)
	}
	return d, nil
}

// judge fails where the endpoint doesn't hold what the snapshot holds.
func (a *compare) judge(endpoint string, d *difference, info inspect.Info) error {
	exact := a.Revision == nil || d.live.String() == info.ContentHash
	if d.holds() && exact {
		return nil
	}
	return engine.Errorf(endpoint, "it doesn't hold what %s holds: %s; %s", a.Snapshot, d, d.exampleText()).
		WithHint("Don't let clients in. Was etcd started on the restored directory, and on every member from the same snapshot?").
		WithAttribute("snapshot")
}

// Undo implements engine.Action; there is nothing to undo.
func (a *compare) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
