package etcdhost

import (
	"context"
	"fmt"
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
	if err := e.settle(ctx); err != nil {
		return err
	}
	cmd := d.command(e.DataDir)
	_, err := e.run(ctx, cmd[0], cmd[1:]...)
	return err
}

// settle makes a running etcd commit what it was told. A commit that is still
// to come would read the damaged pages and end etcd at once, or not, as chance
// has it.
func (e *Etcd) settle(ctx context.Context) error {
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
	if _, err := c.HashKV(ctx, e.ClientURL, 0); err != nil {
		return fmt.Errorf("make etcd commit: %w", err)
	}
	return nil
}
