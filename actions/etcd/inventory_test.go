package etcd

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An inventory counts what is there now: not what was deleted, nor an older
// version, nor what comes and goes by itself.
func TestInventory(t *testing.T) {
	dir := t.TempDir()
	data, snapshot := filepath.Join(dir, "etcd"), filepath.Join(dir, "b.db")
	s := start(t, data, "m1", "")
	const deployment = "k8s\x00\x0a\x15\x0a\x07apps/v1\x12\x0aDeployment\x12\x00"
	for _, kv := range [][2]string{
		{"/registry/deployments/production/web", deployment}, {"/registry/deployments/production/web", deployment},
		{"/registry/deployments/production/gone", deployment}, {"/registry/deployments/staging/web", deployment},
		{"/registry/secrets/production/db", "k8s:enc:aescbc:v1:key1:\x01\x02"}, {"/registry/secrets/production/plain", "k8s\x00\x0a\x04\x0a\x02v1"},
		{"/registry/clusterroles/admin", "k8s\x00\x0a\x21\x0a\x1frbac.authorization.k8s.io/v1"}, {"/registry/events/production/e", "k8s\x00\x0a\x04\x0a\x02v1"},
		{"/registry/leases/kube-system/l", `{"apiVersion":"coordination.k8s.io/v1"}`}, {"/registry/example.com/things/staging/t", `{"apiVersion":"example.com/v1"}`},
		{"/registry/ranges/serviceips", "k8s\x00\x0a\x04\x0a\x02v1"}, {"compact_rev_key", "1"},
	} {
		if _, err := s.client.Put(t.Context(), kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.client.Delete(t.Context(), "/registry/deployments/production/gone")
	must(t, err)
	_, err = call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": snapshot})
	must(t, err)
	if _, err := read(t, "etcd_inventory", attrs{"data_dir": data}); err == nil || !strings.Contains(err.Error(), "it is in use") {
		t.Errorf("of a running etcd: %v", err)
	}
	s.stop()
	before := tree(t, dir)
	want := map[string]int64{"deployments.apps/production": 1, "deployments.apps/staging": 1, "secrets/production": 2,
		"clusterroles.rbac.authorization.k8s.io/": 1, "things.example.com/staging": 1}
	for attribute, at := range map[string]string{"path": snapshot, "data_dir": data} {
		res, err := read(t, "etcd_inventory", attrs{attribute: at})
		must(t, err)
		if got := res["counts"].(map[string]int64); !maps.Equal(got, want) {
			t.Errorf("%s: counts %v, want %v", attribute, got, want)
		}
		if res["total"] != int64(6) || res["other_keys"] != int64(2) || res["revision"] != int64(14) || res["kinds"].(map[string]int64)["deployments.apps"] != 2 {
			t.Errorf("%s: %v", attribute, res)
		}
		if !slices.Equal(res["namespaces"].([]string), []string{"production", "staging"}) {
			t.Errorf("%s: namespaces %v", attribute, res["namespaces"])
		}
		if !maps.Equal(res["encrypted"].(map[string]int64), map[string]int64{"secrets": 1}) ||
			!maps.Equal(res["encryption_keys"].(map[string]int64), map[string]int64{"aescbc/key1": 1}) {
			t.Errorf("%s: encrypted %v with %v", attribute, res["encrypted"], res["encryption_keys"])
		}
	}
	if tree(t, dir) != before {
		t.Error("counting changed something")
	}
	must(t, os.WriteFile(snapshot, []byte("no snapshot"), 0o600))
	for says, a := range map[string]attrs{
		"neither that of a snapshot": {"path": snapshot}, "no such file": {"path": dir + "/none"}, "either path or data_dir": {},
	} {
		if _, err := read(t, "etcd_inventory", a); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", a, err)
		}
	}
	res, err := read(t, "etcd_inventory", attrs{"data_dir": data, "exclude": []string{}})
	must(t, err)
	if res["counts"].(map[string]int64)["events/production"] != 1 {
		t.Errorf("nothing excluded: %v", res["counts"])
	}
}
