package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// verify checks a snapshot and what it holds.
type verify struct {
	Path        string  `cty:"path"`
	Hash        *string `cty:"hash"`
	MinRevision *int64  `cty:"min_revision"`
	MinKeys     *int64  `cty:"min_keys"`
}

var _ engine.Action = (*verify)(nil)

func verifySpec() engine.Spec {
	return engine.Spec{
		Name: "etcd_snapshot_verify",
		Doc: "Checks a snapshot of etcd completely: its SHA-256, the structure of its database and every value in it. " +
			"It is checked while planning already, if it is there then.",
		ReadOnly: true,
		Attributes: []engine.Attribute{
			{Name: "path", Type: cty.String, Required: true, Check: checkAbsolute, Doc: "The snapshot's path."},
			{Name: "hash", Type: cty.String, Check: checkHash, Doc: "The SHA-256 that it must have, in hexadecimal: on all members of a cluster the same."},
			{Name: "min_revision", Type: cty.Number, Check: checkCount, Doc: "The revision that it must have reached."},
			{Name: "min_keys", Type: cty.Number, Check: checkCount, Doc: "How many live keys it must hold at least."},
		},
		Results: snapshotResults(),
		Example: `step "etcd_snapshot_verify" "backup_is_good" {
  path     = "/var/backups/etcd/backup-1.db"
  min_keys = 100
}`,
		New: func() engine.Action { return &verify{} },
	}
}

func checkHash(v cty.Value) error {
	if sum, err := hex.DecodeString(v.AsString()); err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("%q is not a SHA-256: that is 64 hexadecimal digits", v.AsString())
	}
	return nil
}

// Plan implements engine.Action.
func (a *verify) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	c := engine.Change{Checks: []string{a.Path + " verifies as a snapshot"}}
	info, err := inspectSource(ctx, w, a.Path)
	var unknown *engine.UnknownError
	if errors.As(err, &unknown) {
		return c, nil // an earlier step will make it; Apply verifies it
	}
	if err != nil {
		return engine.Change{}, a.refusal(err)
	}
	if err := a.expect(info); err != nil {
		return engine.Change{}, err
	}
	c.Checks = []string{fmt.Sprintf("%s verifies as a snapshot at revision %d with %d keys", a.Path, info.Revision, info.Keys)}
	c.Results = snapshotResult(info)
	return c, nil
}

// Apply implements engine.Action.
func (a *verify) Apply(ctx context.Context, _ engine.Change, rep engine.Reporter) (engine.Result, error) {
	info, err := watched(ctx, a.Path, rep)
	if err != nil {
		return nil, a.refusal(err)
	}
	return snapshotResult(info), a.expect(info)
}

// watched checks the file at path completely and reports how far it is.
func watched(ctx context.Context, path string, rep engine.Reporter) (inspect.Info, error) {
	var total int64
	if st, err := os.Stat(path); err == nil {
		total = st.Size()
	}
	tell := func(done int64) {
		rep.Progress(engine.Progress{Doing: "verifying " + path, Done: done, Total: total})
	}
	tell(0)
	return inspect.Watched(ctx, path, tell)
}

// Undo implements engine.Action; there is nothing to undo.
func (a *verify) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }

func (a *verify) refusal(err error) error {
	var damaged *inspect.Damaged
	if !errors.As(err, &damaged) {
		return err
	}
	return engine.Errorf(a.Path, "the snapshot can't be used: %s", damaged.Reason).
		WithHint("Take another snapshot; the data source etcd_snapshot finds the newest that verifies.").WithAttribute("path")
}

// expect compares a sound snapshot with what the step asks of it.
func (a *verify) expect(info inspect.Info) error {
	hint := "It may be another cluster's snapshot, or one taken before the data was there: take another."
	switch {
	case a.Hash != nil && !strings.EqualFold(*a.Hash, info.Hash):
		return engine.Errorf(a.Path, "its SHA-256 is %q and not %q", info.Hash, *a.Hash).WithHint("%s", hint).WithAttribute("hash")
	case a.MinRevision != nil && info.Revision < *a.MinRevision:
		return engine.Errorf(a.Path, "its revision is %d, less than %d", info.Revision, *a.MinRevision).WithHint("%s", hint).WithAttribute("min_revision")
	case a.MinKeys != nil && info.Keys < *a.MinKeys:
		return engine.Errorf(a.Path, "it holds %d keys, fewer than %d", info.Keys, *a.MinKeys).WithHint("%s", hint).WithAttribute("min_keys")
	}
	return nil
}
