package etcdhost

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Damage is a way to lose etcd's data. A running etcd serves from memory and
// doesn't notice at first; it fails when it is restarted.
type Damage string

// What may happen to a data directory. Each is a shell command that is run
// with the directory as its first argument.
const (
	// OverwriteDB overwrites the first MiB of the database, file headers and
	// all, and removes the write-ahead log.
	OverwriteDB Damage = `dd if=/dev/urandom of="$1/member/snap/db" bs=1M count=1 conv=notrunc status=none &&
		rm -r "$1/member/wal"`
	// RemoveWAL removes the write-ahead log alone. etcd starts a new one over
	// the old database, where it swallows as many proposals as the database
	// has seen before: the first start takes the better part of a minute, and
	// so it is of little use in a test.
	RemoveWAL Damage = `rm -r "$1/member/wal"`
	// RemoveData removes all that is in the data directory.
	RemoveData Damage = `find "$1" -mindepth 1 -delete`
)

// command returns the command line that does the damage, to be shown.
func (d Damage) command(dataDir string) []string {
	return []string{"sh", "-c", string(d), "sh", dataDir}
}

// Damage does damage to the data directory, under a running etcd as well.
func (e *Etcd) Damage(ctx context.Context, d Damage) error {
	if err := e.Settle(ctx); err != nil {
		return err
	}
	cmd := d.command(e.DataDir)
	_, err := e.run(ctx, cmd[0], cmd[1:]...)
	return err
}

// Settle waits until a running etcd has written what it has to write by itself,
// which is the storage version some seconds after its start, and makes it
// commit what it was told. A commit that is still to come would read damaged
// pages and end etcd at once, or not, as chance has it.
func (e *Etcd) Settle(ctx context.Context) error {
	state, err := e.State(ctx)
	if err != nil || state != "active" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // only asked
	if err := e.awaitStorageVersion(ctx, c); err != nil {
		return err
	}
	if _, err := clientv3.RetryMaintenanceClient(c, c.ActiveConnection()).Hash(ctx, &etcdserverpb.HashRequest{}); err != nil {
		return fmt.Errorf("make etcd commit: %w", err)
	}
	return nil
}

func (e *Etcd) awaitStorageVersion(ctx context.Context, c *clientv3.Client) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := c.Status(ctx, e.ClientURL)
		if err != nil {
			return fmt.Errorf("ask etcd for its storage version: %w", err)
		}
		if serves(status.Version, status.StorageVersion) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("etcd has written no storage version: %w", ctx.Err())
		}
	}
}

// serves tells whether a storage version is that of an etcd's version, of which
// it has the first two numbers and 0 for the third. Until etcd has written its
// own it tells what it finds in the database, such as 3.5.0 in a new one.
func serves(version, storage string) bool {
	minor, found := strings.CutSuffix(storage, ".0")
	return found && strings.HasPrefix(version, minor+".")
}
