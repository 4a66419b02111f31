package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runbook/actions/etcd/diagnose"
	"runbook/engine"
)

// kubeadmHost is a kubeadm host with a stopped member and a snapshot of it, whose
// etcd.yaml is at a path; nowhere if that is empty.
func kubeadmHost(t *testing.T, manifest string) (dir string, f fixture) {
	t.Helper()
	f, dir = newFixture(t), t.TempDir()
	backups := filepath.Join(dir, "backups")
	write(t, dir, map[string]string{
		"/var/lib/kubelet/config.yaml":                  "staticPodPath: /etc/kubernetes/manifests\n",
		"/etc/kubernetes/manifests/kube-apiserver.yaml": "command: [kube-apiserver, --etcd-servers=https://127.0.0.1:2379]\n",
		"/etc/systemd/system/etcd-backup.service":       "[Service]\nEnvironment=\"RUNBOOK_VAR_backup_dir=" + backups + "\"\n",
	})
	if manifest != "" {
		write(t, dir, map[string]string{manifest: strings.Replace(fmt.Sprintf(podManifest, f.data, testPeerURL), "3.5.15", "3.7.3", 1)})
	}
	must(t, os.Mkdir(backups, 0o700))
	must(t, os.Rename(f.snapshot, filepath.Join(backups, "backup-1.db")))
	f.snapshot = filepath.Join(backups, "backup-1.db")
	return dir, f
}

// Every data source finds by itself what it needs.
func TestNoArguments(t *testing.T) {
	for _, manifest := range []string{"/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/manifests.stopped/etcd.yaml"} {
		dir, f := kubeadmHost(t, manifest)
		before := tree(t, dir)
		for source, want := range map[string]attrs{
			"etcd_installation": {"runs_as": "static_pod", "data_dir": f.data, "unit": nil, "manifest": "/etc/kubernetes/manifests/etcd.yaml", "manifest_found": manifest},
			"etcd_member":       {"name": "m1", "data_dir": f.data, "version": "3.7.3"},
			"etcd_diagnosis":    {"recommended": diagnose.Restart, "data_dir": f.data, "version": "3.7.3"},
			"etcd_backups":      {"newest": f.snapshot, "good": 1},
			"etcd_snapshot":     {"path": f.snapshot},
			"etcd_loss":         {"snapshot_keys": int64(19), "keys": int64(29)},
		} {
			res, err := readIn(t, dir, source, nil)
			if err != nil {
				t.Errorf("%s, %s: %v", manifest, source, err)
			}
			for name, value := range want {
				if res[name] != value {
					t.Errorf("%s, %s: %s is %v, want %v", manifest, source, name, res[name], value)
				}
			}
		}
		if tree(t, dir) != before {
			t.Error("looking changed something")
		}
	}
}

// Without a manifest the data is examined all the same, and what is missing is
// told.
func TestManifestGone(t *testing.T) {
	dir, _ := kubeadmHost(t, "")
	res, err := readIn(t, dir, "etcd_diagnosis", nil)
	must(t, err)
	if classes := res["classes"].([]string); res["data_dir"] != "/var/lib/etcd" || !slices.Contains(classes, "manifest_missing") {
		t.Errorf("got %v, %v", res["data_dir"], classes)
	}
	_, err = readIn(t, dir, "etcd_member", nil)
	if err == nil || !strings.Contains(err.Error(), "/etc/kubernetes/manifests/etcd.yaml: etcd is a static pod of this host") || !strings.Contains(engine.HintOf(err), "Put the manifest back") {
		t.Errorf("got %v", err)
	}
}

// Where there is no etcd, it is said what to type.
func TestNoEtcd(t *testing.T) {
	dir := t.TempDir()
	for source, says := range map[string]string{
		"etcd_member": "manifest=PATH, unit=", "etcd_diagnosis": "data_dir=PATH, manifest=PATH", "etcd_loss": "data_dir=PATH.", "etcd_status": "endpoints=",
	} {
		_, err := readIn(t, dir, source, nil)
		if err == nil || !strings.Contains(err.Error(), "nothing was found on this host that starts an etcd") || !strings.Contains(engine.HintOf(err), says) {
			t.Errorf("%s: got %v", source, err)
		}
	}
	if res, err := readIn(t, dir, "etcd_installation", nil); err != nil || res["runs_as"] != "" || res["data_dir"] != nil {
		t.Errorf("got %v %v", res, err)
	}
}

// A data directory that is named is examined by what starts etcd on it, and by
// nothing else that is found.
func TestNamedDirectory(t *testing.T) {
	dir, f := kubeadmHost(t, "/etc/kubernetes/manifests/etcd.yaml")
	for data, version := range map[string]string{f.data: "3.7.3", t.TempDir(): ""} {
		o, err := (&diagnosisData{DataDir: &data}).options(t.Context(), rooted{dir: dir})
		if err != nil || o.DataDir != data || o.Version != version || o.Backups != nil {
			t.Errorf("got %+v %v", o, err)
		}
	}
}

// etcd_status asks the member that is found.
func TestStatusOfTheMember(t *testing.T) {
	s := start(t, filepath.Join(t.TempDir(), "etcd"), "m1", "")
	dir := t.TempDir()
	write(t, dir, map[string]string{"/etc/systemd/system/kv.service": "[Service]\nExecStart=/usr/bin/etcd --advertise-client-urls=" + s.endpoint + "\n"})
	if res, err := readIn(t, dir, "etcd_status", nil); err != nil || res["healthy"] != true {
		t.Errorf("got %v %v", res, err)
	}
}

// A look that is broken off says so, and not that there is no etcd.
func TestLookBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&installationData{}).Read(ctx, rooted{dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
