package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/child"
	"runbook/actions/etcd/inspect"
	"runbook/engine"
)

// drillArgument is the hidden first argument that makes the binary a drill's
// child.
const drillArgument = "__drill-etcd"

// drillMain is the child.
func drillMain(args []string) bool {
	if len(args) != 2 || args[0] != drillArgument {
		return false
	}
	// The inherited lock is this process's alone.
	unix.CloseOnExec(3)
	child.EndWithParent()
	d := drillWork{out: json.NewEncoder(os.Stdout), found: drilled{Objects: map[string]int64{}, Seconds: map[string]float64{}}}
	err := json.Unmarshal([]byte(args[1]), &d.order)
	if err == nil {
		err = drillBounds(d.order.Memory)
	}
	if err == nil {
		err = d.run(context.Background())
	}
	if err != nil {
		_ = d.out.Encode(drillLine{Error: err.Error(), Hint: engine.HintOf(err)}) // a parent that is gone can't be told
	}
	return true
}

// drillBounds keeps the drill from being in the way: it gets the processors
// and disks when nobody else wants them, it may take so many bytes of memory,
// and where the host runs out of memory it is the first to go. All of it is
// inherited by the children that look into files.
func drillBounds(memory int64) error {
	const whoPgrp, classIdle = 2, 3 << 13 // as in linux/ioprio.h
	_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoPgrp, 0, classIdle)
	if errno != 0 {
		return fmt.Errorf("lowering the priority for disks: %w", errno)
	}
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, 19); err != nil {
		return fmt.Errorf("lowering the priority for processors: %w", err)
	}
	// Raising it is always allowed. Where it is hidden the bound below holds.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("offering to be ended first: %w", err)
	}
	return child.Limit(uint64(memory), 0)
}

// drillWork is a drill in hand.
type drillWork struct {
	order   drillOrder
	out     *json.Encoder
	found   drilled
	restore restore
	change  engine.Change
	etcd    *embed.Etcd
}

// run carries the parts out. Its error is the host's fault; what is the
// snapshot's is found.
func (d *drillWork) run(ctx context.Context) error {
	for _, p := range []struct {
		name string
		do   func(context.Context) error
	}{
		{partVerify, d.verify}, {partRestore, d.restored}, {partBoot, d.boot}, {partCompare, d.compare}, {partCount, d.count},
	} {
		if err := d.out.Encode(drillLine{Part: p.name}); err != nil {
			return err
		}
		began := time.Now()
		err := p.do(ctx)
		d.found.Seconds[p.name] = time.Since(began).Round(time.Millisecond).Seconds()
		if err != nil && !drillFinding(p.name, err) {
			return err
		}
		if err != nil {
			d.found.Failed, d.found.Reason = p.name, drillReason(err)
			return d.out.Encode(drillLine{Found: &d.found})
		}
		d.found.Saved = p.name == partCount
		if err := d.out.Encode(drillLine{Found: &d.found}); err != nil {
			return err
		}
	}
	return nil
}

// drillReason is what happened, without the names of the drill's own files.
func drillReason(err error) string {
	var e *engine.Error
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// verify plans the restore, which checks the snapshot completely. It is the
// action that a recovery uses, with a name, URLs and a token of its own: none
// of them is ever dialled or listened on.
func (d *drillWork) verify(ctx context.Context) error {
	name, data := "drill", filepath.Join(d.order.Dir, "etcd")
	d.restore = restore{Snapshot: d.order.Snapshot, Name: &name, DataDir: &data, PeerURLs: []string{drillPeerURL}}
	var err error
	if d.change, err = d.restore.Plan(ctx, thisHost{}); err != nil {
		return err
	}
	d.found.Revision, _ = d.change.Results["snapshot_revision"].(int64)
	d.found.Keys, _ = d.change.Results["keys"].(int64)
	d.found.ContentHash, _ = d.change.Results["content_hash"].(string)
	return nil
}

func (d *drillWork) restored(ctx context.Context) error {
	_, err := d.restore.Apply(ctx, d.change, mute{})
	return err
}

// mute is a reporter that nobody listens to.
type mute struct{}

func (mute) Progress(engine.Progress) {}

// compare reads every key of the running etcd at the revision at which it
// began, so that a lease that runs out meanwhile is no difference.
func (d *drillWork) compare(ctx context.Context) error {
	cli, err := connection{timeout: drillPatience}.dial(drillSocket)
	if err != nil {
		return err
	}
	defer cli.Close() // its error is the context's
	revision, _ := d.change.Results["revision"].(int64)
	info := inspect.Info{Revision: d.found.Revision, ContentHash: d.found.ContentHash}
	diff, err := compareWith(ctx, cli, info, d.order.Snapshot, revision)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	if !diff.holds() || diff.live.String() != d.found.ContentHash || diff.live.Keys() != d.found.Keys {
		return fmt.Errorf("etcd doesn't hold what the snapshot holds: %s; %s", diff, diff.exampleText())
	}
	return nil
}

// count counts the objects in the snapshot, which etcd is known to hold by
// now.
func (d *drillWork) count(ctx context.Context) error {
	inv, err := inspect.CountObjects(ctx, d.order.Snapshot, d.order.Prefix)
	if err != nil {
		return err
	}
	for resource, in := range inv.Objects {
		if slices.Contains(ephemeral, resource) {
			continue
		}
		for _, n := range in {
			d.found.Objects[resource] += n
		}
	}
	return nil
}
