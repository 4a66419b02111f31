package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/actions/etcd/inspect"
	"runbook/actions/etcd/keyspace"
)

// difference is how a running etcd's keys compare with a snapshot's.
type difference struct {
	live keyspace.Digest // of all live keys
	same int64
	// newer keys were written after the snapshot, unexpected ones before it
	// without being in it. missing keys were in the snapshot; expired ones
	// too, but with a lease, which may have run out since. differing keys were
	// not written since and are yet not the snapshot's.
	newer, unexpected, missing, expired, differing int64
	// examples are the first few keys that are missing, differ or are
	// unexpected.
	examples []string
	revision int64 // at which the live keys were read
}

// holds reports whether all that is in the snapshot is there, or was replaced
// since.
func (d *difference) holds() bool { return d.missing+d.differing+d.unexpected == 0 }

func (d *difference) String() string {
	return fmt.Sprintf("%d same, %d newer, %d expired, %d missing, %d differing, %d unexpected", d.same, d.newer, d.expired, d.missing, d.differing, d.unexpected)
}

func (d *difference) example(what string, key []byte) {
	if len(d.examples) < 5 {
		d.examples = append(d.examples, fmt.Sprintf("%s %q", what, key))
	}
}

func (d *difference) exampleText() string { return strings.Join(d.examples, ", ") }

// compareWith walks the live keys and the snapshot's side by side, in their
// order, holding a page of the one and a line of the other. revision is the
// one at which to read the live keys; 0 is the newest.
func compareWith(ctx context.Context, cli *clientv3.Client, info inspect.Info, path string, revision int64) (*difference, error) {
	live := &liveKeys{cli: cli, revision: revision}
	if err := live.page(ctx); err != nil {
		return nil, err
	}
	d := &difference{revision: live.revision}
	err := inspect.Keys(ctx, path, func(want keyspace.Record) error {
		return d.upTo(ctx, live, &want, info.Revision)
	})
	if err != nil {
		return nil, err
	}
	return d, d.upTo(ctx, live, nil, info.Revision)
}

// upTo takes the live keys up to want's into account, and want itself. A nil
// want stands for the end.
func (d *difference) upTo(ctx context.Context, live *liveKeys, want *keyspace.Record, snapshotRevision int64) error {
	for {
		got, err := live.peek(ctx)
		if err != nil {
			return err
		}
		order := 1
		if got != nil {
			order = -1
			if want != nil {
				order = bytes.Compare(got.Key, want.Key)
			}
		}
		switch {
		case order < 0:
			d.added(*got, snapshotRevision)
		case order == 0:
			d.both(*got, *want, snapshotRevision)
		case want != nil:
			d.gone(*want)
		}
		if got != nil && order <= 0 {
			d.live.Add(*got)
			live.next()
		}
		if order >= 0 {
			return nil
		}
	}
}

func (d *difference) added(got keyspace.Record, snapshotRevision int64) {
	if got.ModRevision > snapshotRevision {
		d.newer++
		return
	}
	d.unexpected++
	d.example("unexpected", got.Key)
}

func (d *difference) both(got, want keyspace.Record, snapshotRevision int64) {
	switch {
	case got.Sum == want.Sum:
		d.same++
	case got.ModRevision > snapshotRevision:
		d.newer++
	default:
		d.differing++
		d.example("differs:", got.Key)
	}
}

func (d *difference) gone(want keyspace.Record) {
	if want.Lease != 0 {
		d.expired++
		return
	}
	d.missing++
	d.example("missing", want.Key)
}

// pageSize is how many keys are asked for at once. With values of the usual
// size that stays below what a gRPC message holds.
const pageSize = 200

// liveKeys iterates over a running etcd's keys at one revision.
type liveKeys struct {
	cli      *clientv3.Client
	revision int64 // 0 until the first page has told it
	kvs      []*mvccpb.KeyValue
	more     bool
	current  *keyspace.Record
	from     string // where the next page begins
}

// page reads the next page.
func (l *liveKeys) page(ctx context.Context) error {
	from := l.from
	if from == "" {
		from = "\x00"
	}
	resp, err := l.cli.Get(ctx, from, clientv3.WithFromKey(), clientv3.WithRev(l.revision), clientv3.WithLimit(pageSize))
	if err != nil {
		return err
	}
	if l.revision == 0 {
		l.revision = resp.Header.Revision
	}
	l.kvs, l.more = resp.Kvs, resp.More
	if n := len(l.kvs); n > 0 {
		l.from = string(l.kvs[n-1].GetKey()) + "\x00"
	} else if l.more {
		return errors.New("etcd says that there are more keys, but sends none")
	}
	return nil
}

// peek returns the next key's record, or nil at the end.
func (l *liveKeys) peek(ctx context.Context) (*keyspace.Record, error) {
	if l.current != nil {
		return l.current, nil
	}
	if len(l.kvs) == 0 && l.more {
		if err := l.page(ctx); err != nil {
			return nil, err
		}
	}
	if len(l.kvs) == 0 {
		return nil, nil
	}
	r := keyspace.RecordOf(l.kvs[0])
	l.current = &r
	return l.current, nil
}

// next goes on to the next key.
func (l *liveKeys) next() { l.kvs, l.current = l.kvs[1:], nil }
