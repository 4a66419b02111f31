package diagnose_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/actions/etcd"
	"runbook/actions/etcd/diagnose"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/etcddir"
)

func init() { diagnose.MoreChildren = append(diagnose.MoreChildren, etcd.ChildMain) }

var registry = engine.Registry{Actions: etcd.Actions(), Data: etcd.Data()}

// config encodes the values of a spec's attributes; what isn't among them gets
// its default.
func config(t *testing.T, spec []engine.Attribute, values map[string]cty.Value) json.RawMessage {
	t.Helper()
	all := map[string]cty.Value{}
	for _, a := range spec {
		v, ok := values[a.Name]
		switch {
		case !ok && a.Default != cty.NilVal:
			v = a.Default
		case !ok:
			v = cty.NullVal(a.Type.WithoutOptionalAttributesDeep())
		}
		all[a.Name] = v
	}
	v, err := convert.Convert(cty.ObjectVal(all), engine.ObjectType(spec))
	must(t, err)
	raw, err := engine.EncodeConfig(spec, v)
	must(t, err)
	return raw
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, engine.HintOf(err))
	}
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}

// cure plans and applies an action.
func cure(t *testing.T, action string, values map[string]cty.Value) engine.Result {
	t.Helper()
	spec, _ := registry.Action(action)
	h := host.NewLocal(&registry)
	req := engine.StepRequest{Run: engine.RunInfo{ID: "run1", Runbook: "test", Step: "s"}, Action: action, Config: config(t, spec.Attributes, values)}
	c, err := h.Plan(t.Context(), req)
	must(t, err)
	res, err := h.Apply(t.Context(), req, c, quiet{})
	must(t, err)
	return res
}

func texts(list ...string) cty.Value {
	var vals []cty.Value
	for _, s := range list {
		vals = append(vals, cty.StringVal(s))
	}
	return cty.ListVal(vals)
}

// saved is how many keys each cure can save where it isn't what the table
// says: all of a member that was stopped, the backup's half.
var saved = map[string]int{
	"WAL bit flip at the end": etcddir.Keys + 19, // the last of 20 is damaged
}

// Whatever the damage, the cure that is recommended ends with a healthy etcd
// of the version that made the directory, and with every key that it can save.
func TestCures(t *testing.T) {
	for version := range etcddir.Versions {
		for name, row := range diagnose.Rows(version) {
			if row.Cure != diagnose.Salvage && row.Cure != diagnose.Restore {
				continue
			}
			t.Run(version+" "+name, func(t *testing.T) {
				dir, backups, d := row.Make(t, version)
				values := map[string]cty.Value{
					"data_dir": cty.StringVal(dir), "name": cty.StringVal(etcddir.Name), "initial_advertise_peer_urls": texts(d.PeerURL),
				}
				want, ok := saved[name]
				if row.Cure == diagnose.Salvage {
					if !ok {
						want = etcddir.Keys
					}
					res := cure(t, "etcd_salvage", values)
					if res["keys"] != int64(want) {
						t.Errorf("salvaged %v, want %d keys", res, want)
					}
				} else {
					if !ok {
						want = etcddir.Keys / 2
					}
					values["snapshot"] = cty.StringVal(filepath.Join(backups, "backup-1.db"))
					cure(t, "etcd_snapshot_restore", values)
				}
				serves(t, version, dir, d.PeerURL, want)
			})
		}
	}
}

// Whatever is left, the cure that is recommended takes it, and ends with all
// that was ever written.
func TestCandidateCures(t *testing.T) {
	const version = "3.7"
	actions := map[string]string{diagnose.Adopt: "etcd_adopt", diagnose.Salvage: "etcd_salvage", diagnose.Restore: "etcd_snapshot_restore"}
	for name, r := range diagnose.Remnants() {
		t.Run(name, func(t *testing.T) {
			dir, d := r.Make(t, version)
			values := map[string]cty.Value{
				"data_dir": cty.StringVal(dir), "name": cty.StringVal(etcddir.Name), "initial_advertise_peer_urls": texts(d.PeerURL),
			}
			path := filepath.Join(filepath.Dir(dir), r.Path)
			switch {
			case r.Cure == diagnose.Restore:
				values["snapshot"] = cty.StringVal(path)
			case path != dir:
				values["from"] = cty.StringVal(path)
			}
			cure(t, actions[r.Cure], values)
			serves(t, version, dir, d.PeerURL, etcddir.Keys)
		})
	}
}

// A run may salvage, see that it didn't help, and restore: what each of them
// replaced is kept.
func TestSalvageThenRestore(t *testing.T) {
	dir, backups, d := diagnose.Rows("3.7")["WAL files gone"].Make(t, "3.7")
	values := map[string]cty.Value{
		"data_dir": cty.StringVal(dir), "name": cty.StringVal(etcddir.Name), "initial_advertise_peer_urls": texts(d.PeerURL),
	}
	cure(t, "etcd_salvage", values)
	values["snapshot"] = cty.StringVal(filepath.Join(backups, "backup-1.db"))
	res := cure(t, "etcd_snapshot_restore", values)
	for kept, marked := range map[string]bool{dir + ".before-run1-salvaged": false, res["kept"].(string): true} {
		if _, err := os.Stat(filepath.Join(kept, "member", "snap", "db")); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(kept, "member", "runbook-restore.json")); (err == nil) != marked {
			t.Errorf("%s isn't what it is said to be: %v", kept, err)
		}
	}
	serves(t, "3.7", dir, d.PeerURL, etcddir.Keys/2)
}

// A torn tail is cut off, also where etcd would do it by itself, and what was
// whole before it is served.
func TestRepair(t *testing.T) {
	for version := range etcddir.Versions {
		for _, name := range []string{"WAL torn tail", "WAL torn tail that etcd refuses", "WAL ends within a record"} {
			t.Run(version+" "+name, func(t *testing.T) {
				dir, _, d := diagnose.Rows(version)[name].Make(t, version)
				whole, err := diagnose.ReadLog(t.Context(), filepath.Join(d.Killed, "member", "wal"))
				must(t, err)
				res := cure(t, "etcd_wal_repair", map[string]cty.Value{"data_dir": cty.StringVal(dir)})
				torn := int(whole.LastIndex - res["last_index"].(uint64))
				if torn < 1 || torn > 5 {
					t.Errorf("%d entries were cut off", torn)
				}
				serves(t, version, dir, d.PeerURL, etcddir.Keys+d.Ahead-torn)
			})
		}
	}
}

// serves starts etcd on a directory and compares its keys with what was
// written: those with the numbers below want.
func serves(t *testing.T, version, dir, peer string, want int) {
	t.Helper()
	m, err := etcddir.StartAt(t.Context(), version, dir, peer)
	must(t, err)
	got, err := m.Client.Get(t.Context(), "", clientv3.WithPrefix())
	must(t, errors.Join(err, m.Put(t.Context(), 0, 1), m.Stop()))
	if int(got.Count) != want {
		t.Errorf("%d keys, want %d", got.Count, want)
	}
	values := map[string]string{}
	for _, kv := range got.Kvs {
		values[string(kv.Key)] = string(kv.Value)
	}
	for i := range want {
		if key, value := etcddir.Object(i); values[key] != string(value) {
			t.Errorf("%s is not what was written", key)
		}
	}
}

// What people read counts what was written, and not what a restore left out:
// by the restore's record, or by the database, or by the log alone.
func TestLossCountsWrites(t *testing.T) {
	const version, after = "3.7", 7
	dir, backups, d := diagnose.Rows(version)["nothing"].Make(t, version)
	backup := filepath.Join(backups, "backup-1.db")
	cure(t, "etcd_snapshot_restore", map[string]cty.Value{
		"data_dir": cty.StringVal(dir), "name": cty.StringVal(etcddir.Name), "initial_advertise_peer_urls": texts(d.PeerURL),
		"snapshot": cty.StringVal(backup), "bump_revision": cty.NumberIntVal(1_000_000_000),
	})
	m, err := etcddir.StartAt(t.Context(), version, dir, d.PeerURL)
	must(t, err)
	must(t, errors.Join(m.Put(t.Context(), 0, after), m.Stop()))
	for _, without := range []string{"", "its record", "its record and the database's"} {
		switch without {
		case "its record":
			must(t, os.Remove(filepath.Join(dir, "member", diagnose.MarkerName)))
		case "its record and the database's":
			compact(t, version, dir, d.PeerURL)
		}
		loss := look(t, "etcd_loss", map[string]cty.Value{"data_dir": cty.StringVal(dir), "snapshot": cty.StringVal(backup)})
		most := int64(after)
		if without == "its record and the database's" {
			most += 10 // the log has entries of etcd's own
		}
		if n := loss["writes"].(int64); n < after || n > most {
			t.Errorf("without %s: %d writes: %v", without, n, loss["summary"])
		}
		if s := loss["summary"].(string); strings.Contains(s, "1,000,000") || strings.Contains(s, "1000000") {
			t.Error(s)
		}
		now := look(t, "etcd_diagnosis", map[string]cty.Value{"data_dir": cty.StringVal(dir), "backups": texts(backups), "search": cty.ListValEmpty(cty.String)})
		for _, rung := range now["ladder"].([]diagnose.Rung) {
			if rung.Cure == diagnose.Restore && (!strings.Contains(rung.Loss, "writes") || strings.Contains(rung.Loss, "0,000")) {
				t.Errorf("without %s: %+v", without, rung)
			}
		}
	}
}

// compact has etcd compact all but its newest revision.
func compact(t *testing.T, version, dir, peer string) {
	t.Helper()
	m, err := etcddir.StartAt(t.Context(), version, dir, peer)
	must(t, err)
	got, err := m.Client.Get(t.Context(), "x")
	must(t, err)
	_, err = m.Client.Compact(t.Context(), got.Header.Revision, clientv3.WithCompactPhysical())
	must(t, errors.Join(err, m.Stop()))
}

// look reads a data source.
func look(t *testing.T, source string, values map[string]cty.Value) engine.Result {
	t.Helper()
	spec, _ := registry.DataSource(source)
	res, err := host.NewLocal(&registry).Read(t.Context(), engine.DataRequest{Run: engine.RunInfo{ID: "run1"}, Type: source, Config: config(t, spec.Attributes, values)})
	must(t, err)
	return res
}
