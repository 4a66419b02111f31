package disaster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A History is what an etcd has served, by revision. Whoever watched it keeps
// that in mind, so no revision may ever be served with other contents.
type History struct {
	mu      sync.Mutex
	seen    map[int64]map[string][sha256.Size]byte
	highest int64
	ended   bool
}

// Follow reads all keys, and then whatever is written until ctx ends or etcd
// does.
func Follow(ctx context.Context, c *clientv3.Client) (*History, error) {
	h := &History{seen: map[int64]map[string][sha256.Size]byte{}}
	all, err := c.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read all keys: %w", err)
	}
	for _, kv := range all.Kvs {
		h.note(kv.ModRevision, kv.Key, kv.Value)
	}
	h.served(all.Header.Revision)
	events := c.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(all.Header.Revision+1))
	go func() {
		for got := range events {
			for _, e := range got.Events {
				h.note(e.Kv.ModRevision, e.Kv.Key, e.Kv.Value)
			}
		}
	}()
	return h, nil
}

func (h *History) note(revision int64, key, value []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	if h.seen[revision] == nil {
		h.seen[revision] = map[string][sha256.Size]byte{}
	}
	h.seen[revision][string(key)] = sha256.Sum256(value)
	h.highest = max(h.highest, revision)
}

func (h *History) served(revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.highest = max(h.highest, revision)
}

// End ends the history: what is served from now on is another one's, to be held
// against it.
func (h *History) End() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
}

// Highest is the highest revision that is known to have been served.
func (h *History) Highest() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.highest
}

// Await waits until the history goes as far as a revision.
func (h *History) Await(ctx context.Context, revision int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for h.Highest() < revision {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the watch is at revision %d, not %d: %w", h.Highest(), revision, ctx.Err())
		}
	}
	return nil
}

// Contradictions says which revisions an etcd serves with other contents than
// the history's.
func (h *History) Contradictions(ctx context.Context, c *clientv3.Client) ([]string, error) {
	put, err := c.Put(ctx, "/history", "a write after the recovery")
	if err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	all, err := c.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read all keys: %w", err)
	}
	var wrong []string
	if now, then := put.Header.Revision, h.Highest(); now <= then {
		wrong = append(wrong, fmt.Sprintf("a write got revision %d, and %d was served before", now, then))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, kv := range all.Kvs {
		if kv.ModRevision > h.highest {
			continue
		}
		if sum, ok := h.seen[kv.ModRevision][string(kv.Key)]; !ok || sum != sha256.Sum256(kv.Value) {
			wrong = append(wrong, fmt.Sprintf("revision %d was served before, without %s as it is now", kv.ModRevision, kv.Key))
		}
	}
	return wrong, nil
}
