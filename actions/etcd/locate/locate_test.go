package locate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rooted are the files of a host below a directory.
type rooted string

func (r rooted) Source(_ context.Context, path string) (string, error) {
	now := filepath.Join(string(r), path)
	if _, err := os.Lstat(now); errors.Is(err, fs.ErrNotExist) {
		return "", fs.ErrNotExist
	}
	return now, nil
}

// host makes a host with files, by their paths.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		put(t, dir, path, text)
	}
	return dir
}

func put(t *testing.T, dir, path, text string) {
	t.Helper()
	path = filepath.Join(dir, path)
	do(t, os.MkdirAll(filepath.Dir(path), 0o755))
	do(t, os.WriteFile(path, []byte(text), 0o600))
}

// at gives a file a time: so many hours after the others.
func at(t *testing.T, dir, path string, hours int) {
	t.Helper()
	when := time.Now().Add(time.Duration(hours) * time.Hour)
	do(t, os.Chtimes(filepath.Join(dir, path), when, when))
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, dir string) Installation {
	t.Helper()
	i, err := Find(t.Context(), rooted(dir))
	do(t, err)
	return i
}

// packed is an archive with one file.
func packed(t *testing.T, name, text string, written time.Time) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	files := tar.NewWriter(zip)
	do(t, files.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), ModTime: written}))
	_, err := files.Write([]byte(text))
	do(t, errors.Join(err, files.Close(), zip.Close()))
	return b.String()
}

func pod(dataDir string) string {
	return `apiVersion: v1
kind: Pod
metadata: {name: etcd}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.15-0
    command: [etcd, --name=cp1, --data-dir=` + dataDir + `]
`
}

func unit(dataDir string) string {
	return "[Service]\nExecStart=/opt/etcd/bin/etcd --name n1 --data-dir " + dataDir + "\n"
}

const (
	kubeletYAML = "staticPodPath: /etc/kubernetes/manifests\n"
	manifest    = "/etc/kubernetes/manifests/etcd.yaml"
	setAside    = "/etc/kubernetes/manifests.stopped/etcd.yaml"
	apiserver   = "command: [kube-apiserver, --etcd-servers=https://127.0.0.1:2379]\n"
	apiserverAt = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	systemDir   = "/usr/lib/systemd/system/"
	adminDir    = "/etc/systemd/system/"
)

// kubeadm are the files of a host with more of them.
func kubeadm(more map[string]string) map[string]string {
	files := map[string]string{
		kubeletConfig: kubeletYAML, "/etc/kubernetes/admin.conf": "kind: Config\n", apiserverAt: apiserver,
		systemDir + "kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet\n",
	}
	for path, text := range more {
		files[path] = text
	}
	return files
}

// TestStaticPod finds etcd's manifest where kubelet runs it, where it was set
// aside, and where it should be.
func TestStaticPod(t *testing.T) {
	archive := packed(t, "etc/kubernetes/manifests/etcd.yaml", pod("/from/archive"), time.Now().Add(-time.Hour))
	for name, tt := range map[string]struct {
		files                map[string]string
		manifest, found, dir string
	}{
		"running":              {map[string]string{manifest: pod("/a")}, manifest, manifest, "/a"},
		"set aside":            {map[string]string{setAside: pod("/a")}, manifest, setAside, "/a"},
		"another name":         {map[string]string{"/etc/kubernetes/manifests/e.yml": pod("/a")}, "/etc/kubernetes/manifests/e.yml", "/etc/kubernetes/manifests/e.yml", "/a"},
		"two of them":          {map[string]string{manifest: pod("/a"), "/etc/kubernetes/manifests/a.yaml": pod("/b")}, manifest, manifest, "/a"},
		"gone":                 {nil, manifest, "", "/var/lib/etcd"},
		"gone, in an archive":  {map[string]string{"/var/backups/etcd/b.tar.gz": archive}, manifest, "", "/from/archive"},
		"gone, archive broken": {map[string]string{"/var/backups/etcd/b.tar.gz": archive[:80]}, manifest, "", "/var/lib/etcd"},
		"broken":               {map[string]string{manifest: "kind: [Pod\n"}, manifest, "", "/var/lib/etcd"},
		"broken, a copy aside": {map[string]string{manifest: "\tkind", setAside: pod("/a")}, manifest, setAside, "/a"},
		"moved up":             {map[string]string{"/etc/kubernetes/etcd.yaml.bak": pod("/a"), "/var/backups/etcd/b.tar.gz": archive}, manifest, "/etc/kubernetes/etcd.yaml.bak", "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			i := find(t, host(t, kubeadm(tt.files)))
			if i.RunsAs != StaticPod || i.Manifest != tt.manifest || i.ManifestFound != tt.found || i.DataDir != tt.dir {
				t.Errorf("got %+v", i)
			}
			if i.ManifestsDir != "/etc/kubernetes/manifests" || i.StoppedDir != "/etc/kubernetes/manifests.stopped" || i.Kubelet != "kubelet.service" || i.Kubeconfig != "/etc/kubernetes/admin.conf" {
				t.Errorf("got %+v", i)
			}
			if strings.HasPrefix(name, "broken") && !slices.ContainsFunc(i.Sources, func(s string) bool { return strings.HasPrefix(s, manifest+": ") }) {
				t.Errorf("nothing tells what is wrong with the manifest: %q", i.Sources)
			}
		})
	}
}

// TestNewerCopy takes the copy of a lost manifest that was written last: what
// kubeadm kept of an upgrade may be years old.
func TestNewerCopy(t *testing.T) {
	dir := host(t, kubeadm(map[string]string{
		"/etc/kubernetes/tmp/kubeadm-backup-1/etcd.yaml": pod("/old"),
		"/var/backups/etcd/b.tar.gz":                     packed(t, "etc/kubernetes/manifests/etcd.yaml", pod("/new"), time.Now()),
	}))
	at(t, dir, "/etc/kubernetes/tmp/kubeadm-backup-1/etcd.yaml", -5)
	if i := find(t, dir); i.DataDir != "/new" || i.ManifestFound != "" {
		t.Errorf("got %+v", i)
	}
}

// TestFolder finds kubelet's folder where its configuration or its flags name
// it, and without either.
func TestFolder(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"configuration": {kubeletConfig: "staticPodPath: /srv/pods/\n", "/srv/pods/etcd.yaml": pod("/a")},
		"flag":          {kubeletConfig: kubeletYAML, "/var/lib/kubelet/kubeadm-flags.env": `KUBELET_KUBEADM_ARGS="--x --pod-manifest-path=/srv/pods"`, "/srv/pods/etcd.yaml": pod("/a")},
		"usual":         {kubeletConfig: "\tbroken", manifest: pod("/a")},
	} {
		i := find(t, host(t, files))
		if want := map[bool]string{true: usualFolder, false: "/srv/pods"}[name == "usual"]; i.ManifestsDir != want || i.Manifest != want+"/etcd.yaml" || i.DataDir != "/a" {
			t.Errorf("%s: got %+v", name, i)
		}
	}
}

// TestUnit finds the unit that starts etcd, whatever its name.
func TestUnit(t *testing.T) {
	enabled := adminDir + "multi-user.target.wants/"
	for name, tt := range map[string]struct {
		files map[string]string
		unit  string
		dir   string
	}{
		"usual":      {map[string]string{systemDir + "etcd.service": unit("/a")}, "etcd.service", "/a"},
		"odd name":   {map[string]string{systemDir + "kv-store.service": unit("/a"), systemDir + "etcd-backup.service": "[Service]\nExecStart=/usr/bin/runbook run etcd-backup.hcl\n"}, "kv-store.service", "/a"},
		"two":        {map[string]string{systemDir + "etcd.service": unit("/a"), systemDir + "kv.service": unit("/b")}, "etcd.service", "/a"},
		"enabled":    {map[string]string{systemDir + "etcd.service": unit("/a"), systemDir + "kv.service": unit("/b"), enabled + "kv.service": ""}, "kv.service", "/b"},
		"its data":   {map[string]string{systemDir + "etcd.service": unit("/a"), systemDir + "kv.service": unit("/b"), "/b/member/snap/db": "x"}, "kv.service", "/b"},
		"masked":     {map[string]string{systemDir + "etcd.service": unit("/a"), adminDir + "etcd.service": ""}, "etcd.service", "/a"},
		"instance":   {map[string]string{systemDir + "etcd@.service": unit("/data/%i"), enabled + "etcd@main.service": ""}, "etcd@main.service", "/data/main"},
		"drop-in":    {map[string]string{systemDir + "kv.service": "[Service]\nExecStart=/bin/kv\n", adminDir + "kv.service.d/x.conf": "[Service]\nExecStart=\nExecStart=etcd --data-dir=/a\n"}, "kv.service", "/a"},
		"file gone":  {map[string]string{systemDir + "etcd.service": unit("$DIR") + "EnvironmentFile=/etc/default/etcd\n", "/var/lib/etcd/member/snap/db": "x"}, "etcd.service", "/var/lib/etcd"},
		"on kubeadm": {kubeadm(map[string]string{systemDir + "etcd.service": unit("/a"), apiserverAt: "--etcd-servers=https://10.0.0.1:2379"}), "etcd.service", "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			if i := find(t, host(t, tt.files)); i.RunsAs != Unit || i.Unit != tt.unit || i.DataDir != tt.dir || i.Manifest != "" {
				t.Errorf("got %+v", i)
			}
		})
	}
}

// TestBoth prefers, of a static pod and a unit, what is enabled and wrote last,
// and tells that there is another one.
func TestBoth(t *testing.T) {
	both := kubeadm(map[string]string{manifest: pod("/pod"), systemDir + "etcd.service": unit("/unit")})
	dir := host(t, both)
	if i := find(t, dir); i.RunsAs != StaticPod || !strings.Contains(i.Sources[len(i.Sources)-1], "etcd.service: it starts an etcd too") {
		t.Errorf("the unit isn't enabled: got %+v", i)
	}
	put(t, dir, adminDir+"multi-user.target.wants/etcd.service", "")
	put(t, dir, "/pod/member/snap/db", "x")
	put(t, dir, "/unit/member/snap/db", "x")
	at(t, dir, "/unit/member/snap/db", 1)
	if i := find(t, dir); i.RunsAs != Unit || i.DataDir != "/unit" || len(i.Starters) != 2 {
		t.Errorf("the unit has written last: got %+v", i)
	}
	at(t, dir, "/pod/member/snap/db", 2)
	if i := find(t, dir); i.RunsAs != StaticPod || i.DataDir != "/pod" {
		t.Errorf("the pod has written last: got %+v", i)
	}
}

// TestConfig finds the configuration file that a unit names, and one that
// nothing names.
func TestConfig(t *testing.T) {
	conf := "name: n1\ndata-dir: /a\nwal-dir: /w\n"
	i := find(t, host(t, map[string]string{"/etc/x.yaml": conf, systemDir + "etcd.service": "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/x.yaml\n"}))
	if i.RunsAs != Unit || i.Config != "/etc/x.yaml" || i.DataDir != "/a" || i.WALDir != "/w" {
		t.Errorf("got %+v", i)
	}
	i = find(t, host(t, map[string]string{"/etc/etcd/etcd.conf.yml": conf}))
	if i.RunsAs != "" || i.Config != "/etc/etcd/etcd.conf.yml" || i.DataDir != "/a" || i.Starter() == nil {
		t.Errorf("got %+v", i)
	}
}

// TestBackups finds the directories of the installed schedule, whatever it is
// called, and the usual ones.
func TestBackups(t *testing.T) {
	service := `# Written by runbook etcd-backup-schedule.
[Service]
ExecStart=/usr/local/bin/runbook run etcd-backup.hcl --yes
Environment="RUNBOOK_VAR_backup_dir=/mnt/b%%1"
Environment="RUNBOOK_VAR_copies=[\"/mnt/nfs\",\"/mnt/s3\"]"
`
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing":  {nil, []string{"/var/backups/etcd"}},
		"schedule": {map[string]string{adminDir + "nightly.service": service}, []string{"/mnt/b%1", "/mnt/nfs", "/mnt/s3"}},
		"usual":    {map[string]string{"/opt/etcd-backup/x.db": ""}, []string{"/opt/etcd-backup"}},
		"both":     {map[string]string{adminDir + "nightly.service": service, "/var/backups/etcd/x.db": ""}, []string{"/mnt/b%1", "/mnt/nfs", "/mnt/s3", "/var/backups/etcd"}},
	} {
		if i := find(t, host(t, tt.files)); !slices.Equal(i.BackupDirs, tt.want) || i.RunsAs != "" || i.DataDir != "" {
			t.Errorf("%s: got %+v", name, i)
		}
	}
	dir := host(t, map[string]string{"/var/backups/etcd/a.tar.gz": "", "/var/backups/etcd/b.tar.gz": "", "/var/backups/etcd/.c.tar.gz": ""})
	at(t, dir, "/var/backups/etcd/a.tar.gz", 1)
	if i := find(t, dir); !slices.Equal(i.Archives, []string{"/var/backups/etcd/a.tar.gz", "/var/backups/etcd/b.tar.gz"}) {
		t.Errorf("got %q", i.Archives)
	}
}
