package diagnose_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/actions/etcd/diagnose"
	"runbook/test/etcddir"
)

// What a salvage replays from a log is what etcd makes of it: a member is
// killed with requests of every kind in its log that its database lacks, and
// the one that was salvaged is compared with the one that recovered by itself.
func TestReplayIsEtcds(t *testing.T) {
	for version := range etcddir.Versions {
		t.Run(version, func(t *testing.T) {
			d := diagnose.Directories(t, version)
			dir := filepath.Join(t.TempDir(), "busy")
			must(t, etcddir.Copy(d.Clean, dir))
			m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL, "--snapshot-count=100000")
			must(t, err)
			must(t, errors.Join(requests(t.Context(), m.Client), m.Kill()))
			// Some of the requests make etcd write its database, however rarely
			// it does otherwise: take the one from before.
			db := filepath.Join("member", "snap", "db")
			before, err := os.ReadFile(filepath.Join(d.Clean, db))
			must(t, errors.Join(err, os.WriteFile(filepath.Join(dir, db), before, 0o600)))

			salvaged := filepath.Join(t.TempDir(), "salvaged")
			must(t, etcddir.Copy(dir, salvaged))
			res := cure(t, "etcd_salvage", map[string]cty.Value{
				"data_dir": cty.StringVal(salvaged), "name": cty.StringVal(etcddir.Name), "initial_advertise_peer_urls": texts(d.PeerURL),
			})
			if res["replayed"].(int64) < 40 || res["lost"] != int64(0) {
				t.Errorf("salvaged %v", res)
			}
			want, revision := state(t, version, dir, d.PeerURL)
			got, _ := state(t, version, salvaged, d.PeerURL)
			if got != want {
				t.Errorf("the salvaged member has\n%s\nthe recovered one\n%s", got, want)
			}
			if res["last_revision"] != revision {
				t.Errorf("the last revision is %v, etcd's %d", res["last_revision"], revision)
			}
		})
	}
}

// requests makes requests of every kind that changes a database.
func requests(ctx context.Context, c *clientv3.Client) error {
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	for i := range 20 {
		note(c.Put(ctx, fmt.Sprintf("/new/%02d", i), "a"))
	}
	note(c.Put(ctx, "/new/03", "b", clientv3.WithPrevKV()))
	note(c.Delete(ctx, "/new/1", clientv3.WithPrefix()))
	note(c.Delete(ctx, "/nothing"))
	lease, err := c.Grant(ctx, 6000)
	if err != nil {
		return err
	}
	brief, err := c.Grant(ctx, 6000)
	if err != nil {
		return err
	}
	note(c.Put(ctx, "/leased/stays", "1", clientv3.WithLease(lease.ID)))
	note(c.Put(ctx, "/leased/goes", "1", clientv3.WithLease(brief.ID)))
	note(c.Put(ctx, "/leased/stays", "", clientv3.WithIgnoreValue(), clientv3.WithLease(lease.ID)))
	note(c.Revoke(ctx, brief.ID))
	for _, created := range []int64{0, 1} {
		note(c.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision("/txn/a"), "=", created)).
			Then(clientv3.OpPut("/txn/a", fmt.Sprint("created ", created)), clientv3.OpPut("/txn/b", "then")).
			Else(clientv3.OpDelete("/txn/b"), clientv3.OpTxn(
				[]clientv3.Cmp{clientv3.Compare(clientv3.Value("/txn/a"), ">", "b")},
				[]clientv3.Op{clientv3.OpPut("/txn/deep", "greater")}, []clientv3.Op{clientv3.OpPut("/txn/deep", "less")})).Commit())
	}
	now, err := c.Get(ctx, "x")
	if err != nil {
		return err
	}
	note(c.Compact(ctx, now.Header.Revision-10))
	if _, err := c.Put(ctx, "/refused", "1", clientv3.WithLease(4711)); err == nil {
		return errors.New("a lease that isn't there was taken")
	}
	note(c.RoleAdd(ctx, "root"))
	note(c.UserAdd(ctx, "root", "secret"))
	note(c.UserGrantRole(ctx, "root", "root"))
	note(c.RoleAdd(ctx, "reader"))
	note(c.RoleGrantPermission(ctx, "reader", "/new", "/new0", clientv3.PermissionType(clientv3.PermRead)))
	return errors.Join(errs...)
}

// state is all that an etcd on a directory serves, and its revision.
func state(t *testing.T, version, dir, peer string) (string, int64) {
	t.Helper()
	m, err := etcddir.StartAt(t.Context(), version, dir, peer)
	must(t, err)
	defer func() { must(t, m.Stop()) }()
	var lines []string
	kvs, err := m.Client.Get(t.Context(), "", clientv3.WithPrefix())
	must(t, err)
	for _, kv := range kvs.Kvs {
		lines = append(lines, fmt.Sprintf("%s %x created %d changed %d version %d lease %d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease))
	}
	leases, err := m.Client.Leases(t.Context())
	must(t, err)
	for _, l := range leases.Leases {
		ttl, err := m.Client.TimeToLive(t.Context(), l.ID, clientv3.WithAttachedKeys())
		must(t, err)
		lines = append(lines, fmt.Sprintf("lease %d of %d s on %s", l.ID, ttl.GrantedTTL, ttl.Keys))
	}
	users, err := m.Client.UserList(t.Context())
	must(t, err)
	roles, err := m.Client.RoleList(t.Context())
	must(t, err)
	reader, err := m.Client.RoleGet(t.Context(), "reader")
	must(t, err)
	lines = append(lines, fmt.Sprintf("users %v roles %v reader %v", users.Users, roles.Roles, reader.Perm))
	slices.Sort(lines)
	return strings.Join(lines, "\n"), kvs.Header.Revision
}
