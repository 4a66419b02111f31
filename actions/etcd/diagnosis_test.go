package etcd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
)

const podManifest = `apiVersion: v1
kind: Pod
metadata: {name: etcd}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.15-0
    command: [etcd, --name=m1, --data-dir=%s, "--initial-advertise-peer-urls=%s"]
    volumeMounts: [{name: data, mountPath: %[1]s}]
  volumes: [{name: data, hostPath: {path: %[1]s}}]
`

// The data source tells what a look finds, in the types that it declares, and
// knows from the manifest what to expect.
func TestDiagnosisData(t *testing.T) {
	f := newFixture(t)
	manifests := t.TempDir()
	manifest := filepath.Join(manifests, "etcd.yaml")
	text := fmt.Appendf(nil, podManifest, f.data, "https://10.0.0.1:2380")
	must(t, os.WriteFile(manifest, text, 0o600))
	must(t, os.WriteFile(manifest+".bak", text, 0o600))
	must(t, os.WriteFile(filepath.Join(manifests, "kube-apiserver.yaml"), []byte("command: [kube-apiserver, --encryption-provider-config=/nowhere/enc.yaml]"), 0o600))
	before := tree(t, f.dir)
	res, err := read(t, "etcd_diagnosis", attrs{"manifest": manifest, "backups": []string{f.dir}})
	must(t, err)
	if tree(t, f.dir) != before {
		t.Error("looking changed something")
	}
	if res["data_dir"] != f.data || res["version"] != "3.5.15" || res["keys"] != int64(29) || res["db_whole"] != true || res["running"] != false {
		t.Errorf("got %+v", res)
	}
	classes := res["classes"].([]string)
	for _, want := range []string{"second_manifest", "restored_with_defaults", "version_too_new", "backup_too_new"} {
		if !slices.Contains(classes, want) {
			t.Errorf("no %q: %v", want, classes)
		}
	}
	res, err = read(t, "etcd_diagnosis", attrs{"data_dir": f.data, "backups": []string{f.dir}})
	must(t, err)
	if res["recommended"] != diagnose.Restart || res["healthy"] != true || len(res["backups"].([]diagnose.Backup)) != 1 {
		t.Errorf("got %+v", res)
	}
}

// asItIs is a host on which no step has done anything.
type asItIs struct{ engine.World }

func (asItIs) Source(_ context.Context, path string) (string, error) { return path, nil }

func TestDiagnosisOptions(t *testing.T) {
	dir := t.TempDir()
	manifest := filepath.Join(dir, "etcd.yaml")
	must(t, os.WriteFile(manifest, fmt.Appendf(nil, podManifest, dir, "http://localhost:2380"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "kube-apiserver.yaml"), []byte(`- kube-apiserver
- --encryption-provider-config=/etc/kubernetes/enc.yaml`), 0o600))
	d := diagnosisData{Manifest: &manifest}
	o, err := d.options(t.Context(), asItIs{})
	must(t, err)
	if o.DataDir != dir || o.Name != "m1" || o.Version != "3.5.15" || !o.APIServer || o.EncryptionConfig != "/etc/kubernetes/enc.yaml" ||
		o.UID != 0 || !slices.Equal(o.Log.Paths, diagnose.PodLogs) || len(o.SecondManifests) != 0 {
		t.Errorf("got %+v", o)
	}
	// What starts etcd is gone, and the data is what counts.
	gone := filepath.Join(dir, "gone.yaml")
	o, err = (&diagnosisData{DataDir: &dir, Manifest: &gone}).options(t.Context(), asItIs{})
	if err != nil || !strings.Contains(o.Unconfigured, "gone.yaml") {
		t.Errorf("got %+v %v", o, err)
	}
	if _, err := (&diagnosisData{Manifest: &gone}).options(t.Context(), asItIs{}); err == nil {
		t.Error("no error, and no data directory")
	}
}
