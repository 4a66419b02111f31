package disaster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Ledger is what etcd has acknowledged, in order to ask for it again.
type Ledger struct {
	Name    string
	entries map[string]Entry
}

// An Entry is one key as it was last acknowledged.
type Entry struct {
	Key, Value string
	Revision   int64
	// Since is set for what was written after the backup.
	Since bool
}

// NewLedger begins a ledger. No two of one etcd may have the same name.
func NewLedger(name string) *Ledger {
	return &Ledger{Name: name, entries: map[string]Entry{}}
}

// Write writes n keys, and changes those of before the backup that are
// divisible by three where these are since it.
func (l *Ledger) Write(ctx context.Context, c *clientv3.Client, n int, since bool) error {
	when := "before"
	if since {
		when = "since"
	}
	for i := range n {
		keys := []string{fmt.Sprintf("/ledger/%s/%s/%04d", l.Name, when, i)}
		if since && i%3 == 0 {
			keys = append(keys, fmt.Sprintf("/ledger/%s/before/%04d", l.Name, i))
		}
		for _, key := range keys {
			e := Entry{Key: key, Value: fmt.Sprintf("%s %s %d", l.Name, when, i), Since: since}
			r, err := c.Put(ctx, e.Key, e.Value)
			if err != nil {
				return fmt.Errorf("write %s: %w", e.Key, err)
			}
			e.Revision = r.Header.Revision
			l.entries[key] = e
		}
	}
	return nil
}

// Note enters n keys that others have written.
func (l *Ledger) Note(ctx context.Context, c *clientv3.Client, prefix string, n int, since bool) error {
	got, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read %s: %w", prefix, err)
	}
	if len(got.Kvs) != n {
		return fmt.Errorf("%d keys begin with %s, and %d were written", len(got.Kvs), prefix, n)
	}
	for _, kv := range got.Kvs {
		l.entries[string(kv.Key)] = Entry{Key: string(kv.Key), Value: string(kv.Value), Revision: kv.ModRevision, Since: since}
	}
	return nil
}

// Last is the highest revision of the ledger.
func (l *Ledger) Last() (last int64) {
	for _, e := range l.entries {
		last = max(last, e.Revision)
	}
	return last
}

// Len is how many keys are in the ledger.
func (l *Ledger) Len() int { return len(l.entries) }

// Lost asks for every key and returns those that don't have the value that was
// acknowledged last, in the order in which they were written.
func (l *Ledger) Lost(ctx context.Context, c *clientv3.Client) ([]Entry, error) {
	var lost []Entry
	for _, e := range l.entries {
		got, err := c.Get(ctx, e.Key)
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		if len(got.Kvs) == 0 || string(got.Kvs[0].Value) != e.Value {
			lost = append(lost, e)
		}
	}
	slices.SortFunc(lost, func(a, b Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	return lost, nil
}
