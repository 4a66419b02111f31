package etcd

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"

	"runbook/engine"
	"runbook/test/etcddir"
)

// TestRestoreBoots restores the backup of each version of etcd, boots each
// version on it that can read its storage version, and wants the others to be
// refused while planning. The old data's log is ahead of its database: what was
// served is only in the log.
func TestRestoreBoots(t *testing.T) {
	for from, runs := range map[string]map[string]bool{
		"3.5": {"3.5": true, "3.6": true, "3.7": true},
		"3.6": {"3.5": false, "3.6": true, "3.7": true},
		"3.7": {"3.5": false, "3.6": false, "3.7": true},
	} {
		t.Run(from, func(t *testing.T) {
			dirs, err := etcddir.Make(t.Context(), from, t.TempDir())
			must(t, err)
			last := lastServed(t, dirs)
			for on, fits := range runs {
				t.Run("on "+on, func(t *testing.T) { restoreAndBoot(t, dirs, last, on, fits) })
			}
		})
	}
}

func restoreAndBoot(t *testing.T, dirs etcddir.Dirs, last int64, on string, fits bool) {
	data := filepath.Join(t.TempDir(), "data")
	must(t, etcddir.Copy(dirs.Killed, data))
	fillUp(t, data)
	req := request(t, "etcd_snapshot_restore", attrs{
		"snapshot": filepath.Join(dirs.Backups, "backup-1.db"), "etcd_version": on,
		"name": etcddir.Name, "data_dir": data, "initial_advertise_peer_urls": []string{dirs.PeerURL},
	})
	c, err := testHost.Plan(t.Context(), req)
	if !fits {
		if engine.HintOf(err) == "" {
			t.Errorf("the plan for etcd %s: %v", on, err)
		}
		return
	}
	must(t, err)
	res := apply(t, req, c)
	m, err := etcddir.StartAt(t.Context(), on, data, dirs.PeerURL)
	must(t, err)
	defer m.Stop() // it has no more to say
	resp, err := m.Client.Get(t.Context(), "", clientv3.WithPrefix())
	must(t, err)
	if int64(len(resp.Kvs)) != res["keys"] || resp.Header.Revision != res["revision"] {
		t.Errorf("etcd %s serves %d keys at revision %d, restored were %v", on, len(resp.Kvs), resp.Header.Revision, res)
	}
	if resp.Header.Revision <= last || resp.Header.Revision > last+50 {
		t.Errorf("restored to revision %d, the old member served %d", resp.Header.Revision, last)
	}
	must(t, m.Put(t.Context(), 0, 1))
}

// lastServed is the revision of the old member.
func lastServed(t *testing.T, dirs etcddir.Dirs) int64 {
	t.Helper()
	data := filepath.Join(t.TempDir(), "old")
	must(t, etcddir.Copy(dirs.Killed, data))
	m, err := etcddir.StartAt(context.Background(), dirs.Version, data, dirs.PeerURL)
	must(t, err)
	defer m.Stop() // it has no more to say
	resp, err := m.Client.Get(t.Context(), "x")
	must(t, err)
	return resp.Header.Revision
}

// fillUp gives the newest file of the log the room again that etcd keeps in
// it, and that copies in tests go without.
func fillUp(t *testing.T, data string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, "member", "wal", "*.wal"))
	must(t, err)
	must(t, os.Truncate(logs[len(logs)-1], wal.SegmentSizeBytes))
}
