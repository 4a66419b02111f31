package etcdhost

import (
	"context"
	"strings"
	"testing"
	"time"

	"runbook/test/systemdhost"
)

func started(t *testing.T, o Options) *Etcd {
	t.Helper()
	h, err := systemdhost.Boot(t.Context(), systemdhost.Options{Name: "cp1", Disk: []string{"/var/lib", "/var/backups"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	e, err := Install(t.Context(), h, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, e *Etcd) Digest {
	t.Helper()
	d, err := e.Digest(t.Context())
	do(t, err)
	return d
}

// A run-through of what the product's tests rely on, done by hand.
func TestRestoreByHand(t *testing.T) {
	t.Parallel()
	e := started(t, Options{})
	do(t, e.Seed(t.Context(), 1234))
	before := digest(t, e)
	if before.Keys != 1234 {
		t.Fatalf("seeded %s", before)
	}
	do(t, e.Snapshot(t.Context(), "/var/backups/etcd.db"))
	do(t, e.Damage(t.Context(), OverwriteDB))
	if err := e.Restart(t.Context()); err == nil {
		t.Fatal("etcd starts over a damaged database")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	do(t, e.Await(ctx, "failed"))
	_, err := e.run(ctx, "sh", "-ec", `
		mv /var/lib/etcd /var/lib/etcd.old
		etcdutl snapshot restore /var/backups/etcd.db --data-dir /var/lib/etcd \
			--name cp1 --initial-cluster cp1=http://127.0.0.11:2380 \
			--initial-advertise-peer-urls http://127.0.0.11:2380 2>/dev/null
		chown -R etcd:etcd /var/lib/etcd
		systemctl reset-failed etcd`)
	do(t, err)
	do(t, e.Start(ctx))
	if after := digest(t, e); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

// A running etcd doesn't show damage. What shows when it restarts differs.
func TestDamage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage  Damage
		restart func(*testing.T, *Etcd)
	}{
		"OverwriteDB": {OverwriteDB, wontStart},
		"RemoveWAL":   {RemoveWAL, func(*testing.T, *Etcd) {}},
		"RemoveData":  {RemoveData, startsEmpty},
	} {
		t.Run(name, func(t *testing.T) {
			e := started(t, Options{Flags: true})
			do(t, e.Seed(t.Context(), 500))
			before := digest(t, e)
			do(t, e.Damage(t.Context(), c.damage))
			if after := digest(t, e); after != before {
				t.Errorf("a running etcd shows the damage: %s, was %s", after, before)
			}
			c.restart(t, e)
		})
	}
}

func wontStart(t *testing.T, e *Etcd) {
	err := e.Restart(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Main process exited") {
		t.Errorf("restart: %v", err)
	}
}

func startsEmpty(t *testing.T, e *Etcd) {
	do(t, e.Restart(t.Context()))
	if d := digest(t, e); d.Keys != 0 {
		t.Errorf("after the restart: %s", d)
	}
}

func TestStateAndAwait(t *testing.T) {
	t.Parallel()
	e := started(t, Options{Unit: "etcd-main.service", Name: "alone"})
	if state, err := e.State(t.Context()); err != nil || state != "active" {
		t.Errorf("state %q, %v", state, err)
	}
	do(t, e.Stop(t.Context()))
	do(t, e.Await(t.Context(), "inactive"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := e.Await(ctx, "active")
	if err == nil || !strings.Contains(err.Error(), `etcd-main.service is "inactive", not "active"`) {
		t.Errorf("got %v", err)
	}
}
