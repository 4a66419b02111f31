package diagnose_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/etcddir"
)

func readData(t *testing.T, source string, values map[string]cty.Value) engine.Result {
	t.Helper()
	spec, _ := registry.DataSource(source)
	res, err := host.NewLocal(&registry).Read(t.Context(), engine.DataRequest{Type: source, Config: config(t, spec.Attributes, values)})
	must(t, err)
	if _, err := engine.ResultValue(spec.Results, res, false); err != nil {
		t.Errorf("%s: %v", source, err)
	}
	return res
}

// lost is what a restore of the backup loses, as the test knows it: keys from
// the backup's half on.
func lost(from, to int) map[string]string {
	changes := map[string]string{}
	for i := from; i < to; i++ {
		key, _ := etcddir.Object(i)
		changes[key] = "created"
	}
	return changes
}

// Whatever is damaged, the loss that is told is the true one as far as the
// database and the log can be read.
func TestLoss(t *testing.T) {
	for version := range etcddir.Versions {
		rows := diagnose.Rows(version)
		for name, want := range map[string]struct {
			to       int // the first key that isn't shown
			complete bool
		}{
			"nothing":                          {etcddir.Keys, true},
			"nothing killed":                   {etcddir.Keys + 20, true},
			"WAL files gone":                   {etcddir.Keys, false},
			"WAL truncated to 0":               {etcddir.Keys, false},
			"WAL bit flip at the end":          {etcddir.Keys + 19, false},
			"db older than the WAL's snapshot": {etcddir.Keys, true},
			"empty directory":                  {0, false},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				dir, backups, _ := rows[name].Make(t, version)
				res := readData(t, "etcd_loss", map[string]cty.Value{
					"data_dir": cty.StringVal(dir), "snapshot": cty.StringVal(filepath.Join(backups, "backup-1.db")), "limit": cty.NumberIntVal(1000),
				})
				if res["complete"] != want.complete {
					t.Errorf("complete is %v, hidden %v", res["complete"], res["hidden"])
				}
				compareLoss(t, res, lost(etcddir.Keys/2, want.to))
			})
		}
	}
}

func compareLoss(t *testing.T, res engine.Result, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for _, c := range res["lost"].([]diagnose.LostChange) {
		got[c.Key] = c.Change
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lost %v\nwant %v", got, want)
	}
	count := map[string]int64{}
	for _, c := range want {
		count[c]++
	}
	var kinds int64
	for _, k := range res["kinds"].([]diagnose.KindLoss) {
		kinds += k.Created + k.Changed + k.Deleted
	}
	if res["created"] != count["created"] || res["changed"] != count["changed"] || res["deleted"] != count["deleted"] || kinds != int64(len(want)) {
		t.Errorf("counts are %v, %v, %v and %d by kind, want %v: %s", res["created"], res["changed"], res["deleted"], kinds, count, res["summary"])
	}
}

// What requests of every kind in a log come to is told without a database
// that could be written to, and is what etcd makes of them.
func TestLossOfRequestsOfEveryKind(t *testing.T) {
	for version := range etcddir.Versions {
		t.Run(version, func(t *testing.T) {
			d := diagnose.Directories(t, version)
			dir := filepath.Join(t.TempDir(), "busy")
			must(t, etcddir.Copy(d.Clean, dir))
			db := filepath.Join("member", "snap", "db")
			m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL, "--snapshot-count=100000")
			must(t, err)
			before := filepath.Join(t.TempDir(), "before.db")
			must(t, m.Save(t.Context(), before))
			gone, _ := etcddir.Object(7)
			_, err = m.Client.Delete(t.Context(), gone)
			must(t, errors.Join(err, m.Put(t.Context(), 0, 1), requests(t.Context(), m.Client)))
			now, err := m.Client.Get(t.Context(), "x")
			must(t, errors.Join(err, m.Kill()))
			old, err := os.ReadFile(filepath.Join(d.Clean, db))
			must(t, errors.Join(err, os.WriteFile(filepath.Join(dir, db), old, 0o600)))

			first, _ := etcddir.Object(0)
			want := map[string]string{gone: "deleted", first: "changed", "/leased/stays": "created", "/txn/a": "created", "/txn/deep": "created"}
			for i := range 20 {
				if key := fmt.Sprintf("/new/%02d", i); i < 10 {
					want[key] = "created"
				}
			}
			res := readData(t, "etcd_loss", map[string]cty.Value{"data_dir": cty.StringVal(dir), "snapshot": cty.StringVal(before)})
			compareLoss(t, res, want)
			if res["revision"] != now.Header.Revision || res["complete"] != true {
				t.Errorf("revision %v, etcd's %d; hidden %v", res["revision"], now.Header.Revision, res["hidden"])
			}
		})
	}
}
