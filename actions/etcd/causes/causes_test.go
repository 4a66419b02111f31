package causes

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/actions/etcd/diagnose"
)

// Where all is well nothing is found, and the API is served.
func TestWell(t *testing.T) {
	r := newMachine(t).look()
	if len(r.Findings) != 0 || r.Served == nil || !*r.Served {
		t.Errorf("%+v", r)
	}
}

// disaster is something that befalls a machine, and what is to be found then.
type disaster struct {
	do             func(m *machine)
	class          string
	path           string
	remedy, source string
	from, to       string
	says, command  string
	note           bool   // it needs no mending
	more           string // another class that is found beside it
	unasked        bool   // there is no API server
}

func (d disaster) try(t *testing.T) {
	m := newMachine(t)
	m.ready = http.StatusInternalServerError
	d.do(m)
	r := m.look()
	var f finding
	var more []string
	for _, found := range r.Findings {
		if found.Class == d.class && f.Class == "" {
			f = found
		} else {
			more = append(more, found.Class)
		}
	}
	if f.Class == "" || strings.Join(more, " ") != d.more {
		t.Fatalf("%+v", r.Findings)
	}
	if d.path != "" && f.Path != d.path || f.Remedy.Name != d.remedy || f.Source != d.source || f.From != d.from || f.To != d.to {
		t.Errorf("%+v", f)
	}
	if !strings.Contains(f.Finding, d.says) || !strings.Contains(f.Command, d.command) || !strings.HasSuffix(f.Finding, ".") {
		t.Errorf("%+v", f)
	}
	if (f.Needs == diagnose.Mend) == d.note {
		t.Errorf("it needs %q", f.Needs)
	}
	if (r.Served == nil) != d.unasked || r.Served != nil && *r.Served {
		t.Errorf("served: %v", r.Served)
	}
}

const archive = "/var/backups/etcd/b.tar.gz"

func tryAll(t *testing.T, all map[string]disaster) {
	for name, d := range all {
		t.Run(name, d.try)
	}
}

func TestKubeletAndRuntime(t *testing.T) {
	set := func(name string, change func(*unit)) func(*machine) {
		return func(m *machine) {
			u := m.units[name]
			change(&u)
			m.units[name] = u
		}
	}
	stop := func(u *unit) { u.active, u.sub = "inactive", "dead" }
	mask := func(u *unit) { u.load, u.active, u.sub, u.file = "masked", "inactive", "dead", "masked" }
	loop := func(u *unit) {
		u.active, u.sub, u.result, u.status, u.restarts = "activating", "auto-restart", "exit-code", 1, 7
	}
	tryAll(t, map[string]disaster{
		"kubelet stopped":  {do: set(kubeletUnit, stop), class: classKubeletDown, path: kubeletUnit, remedy: diagnose.StartKubelet, command: "systemctl start kubelet"},
		"kubelet masked":   {do: set(kubeletUnit, mask), class: classKubeletMasked, path: kubeletUnit, remedy: diagnose.StartKubelet, command: "unmask --now"},
		"kubelet disabled": {do: set(kubeletUnit, func(u *unit) { stop(u); u.file = "disabled" }), class: classKubeletDown, remedy: diagnose.StartKubelet, says: "stopped and disabled"},
		"kubelet gone":     {do: set(kubeletUnit, func(u *unit) { u.load = "not-found" }), class: classKubeletGone, command: "install kubelet"},
		"kubelet crashing": {do: func(m *machine) {
			set(kubeletUnit, loop)(m)
			m.said[kubeletUnit] = []string{`E0728 03:00:00.1 1 run.go:72] "command failed" err="failed to load kubelet config file, path: /var/lib/kubelet/config.yaml"`, "kubelet.service: Failed with result 'exit-code'."}
		}, class: classKubeletFails, says: "failed to load kubelet config file"},
		"kubelet ends soon after each start": {do: set(kubeletUnit, func(u *unit) { u.restarts, u.since = 9, time.Now().Add(-time.Second) }), class: classKubeletFails},
		"masked, and still running":          {do: set(kubeletUnit, func(u *unit) { u.load, u.file = "masked", "masked" }), class: classKubeletOff, path: kubeletUnit, says: "is masked", more: classUnserved, note: true},
		"runtime stopped":                    {do: set(containerdUnit, stop), class: classRuntimeDown, path: containerdUnit, remedy: diagnose.StartRuntime},
		"runtime masked":                     {do: set(containerdUnit, mask), class: classRuntimeMasked, remedy: diagnose.StartRuntime, command: "unmask --now containerd"},
		"runtime crashing": {do: func(m *machine) {
			set(containerdUnit, loop)(m)
			m.said[containerdUnit] = []string{`containerd: failed to load TOML: /etc/containerd/config.toml`, `level=fatal msg="config: broken"`}
		}, class: classRuntimeFails, says: "config: broken"},
		"runtime's socket gone": {do: func(m *machine) { m.remove(containerdSocket) }, class: classRuntimeSocket, path: containerdUnit, remedy: diagnose.StartRuntime, command: "restart containerd"},
		"nobody at the socket":  {do: func(m *machine) { m.runtime.Close(); listenAndLeave(m) }, class: classRuntimeSocket, remedy: diagnose.StartRuntime},
		"both down, told once":  {do: func(m *machine) { set(containerdUnit, stop)(m); set(kubeletUnit, loop)(m) }, class: classRuntimeDown, remedy: diagnose.StartRuntime},
	})
}

// listenAndLeave leaves a socket at which nobody listens.
func listenAndLeave(m *machine) {
	m.listenAsRuntime()
	file, err := m.runtime.(interface{ File() (*os.File, error) }).File()
	must(m.t, err)
	must(m.t, m.runtime.Close())
	must(m.t, file.Close())
}

func TestManifests(t *testing.T) {
	etcd, api := usualManifests+"/etcd.yaml", usualManifests+"/kube-apiserver.yaml"
	tryAll(t, map[string]disaster{
		"missing, in the archive": {do: func(m *machine) { m.remove(etcd) }, class: classNoManifest, path: etcd, remedy: diagnose.PutBack, source: archive, command: "tar -xzf " + archive + " -C / etc/kubernetes/manifests/etcd.yaml"},
		"missing, set aside": {do: func(m *machine) {
			m.write("/etc/kubernetes/manifests.stopped/etcd.yaml", m.text(etcd))
			m.remove(etcd)
		}, class: classNoManifest, path: etcd, remedy: diagnose.PutBack, source: "/etc/kubernetes/manifests.stopped/etcd.yaml"},
		"hidden in its folder": {do: func(m *machine) {
			m.write(usualManifests+"/.etcd.yaml.bak", m.text(etcd))
			m.remove(etcd)
			m.remove(archive)
		}, class: classNoManifest, path: etcd, remedy: diagnose.PutBack, source: usualManifests + "/.etcd.yaml.bak"},
		"missing, and nowhere else": {do: func(m *machine) { m.remove(etcd); m.remove(archive) }, class: classNoManifest, path: etcd, says: "Neither a copy nor a backup", command: "kubeadm init phase etcd local"},
		"the API server's missing":  {do: func(m *machine) { m.remove(api) }, class: classNoManifest, path: api, remedy: diagnose.PutBack, source: archive},
		"empty":                     {do: func(m *machine) { m.write(etcd, "") }, class: classBadManifest, path: etcd, remedy: diagnose.PutBack, source: archive, says: "it is empty"},
		"invalid YAML":              {do: func(m *machine) { m.edit(etcd, "kind: Pod", "kind: Pod\n\t- x: [") }, class: classBadManifest, path: etcd, remedy: diagnose.PutBack, source: archive, says: "line 3"},
		"no pod":                    {do: func(m *machine) { m.write(etcd, "a: b"); m.remove(archive) }, class: classBadManifest, path: etcd, says: "no pod"},
		"kubelet reads another":     {do: func(m *machine) { m.edit(kubeletConfigAt, "kubernetes/manifests", "kubernetes/manifest") }, class: classStaticPodPath, path: kubeletConfigAt, command: "staticPodPath: /etc/kubernetes/manifests"},
		"kubelet reads an empty one": {do: func(m *machine) {
			m.edit(kubeletConfigAt, "kubernetes/manifests", "kubernetes/manifest")
			m.options.Manifest = "/etc/kubernetes/manifest/etcd.yaml"
		}, class: classStaticPodPath, path: kubeletConfigAt, command: "staticPodPath: /etc/kubernetes/manifests"},
		"kubelet reads none":    {do: func(m *machine) { m.edit(kubeletConfigAt, "staticPodPath: /etc/kubernetes/manifests\n", "") }, class: classStaticPodPath, path: kubeletConfigAt, command: ">> " + kubeletConfigAt},
		"data in the container": {do: func(m *machine) { m.edit(etcd, "--data-dir=/var/lib/etcd", "--data-dir=/var/lib/etdc") }, class: classElsewhere, path: etcd, says: "below no volume"},
		"volume of what isn't there": {do: func(m *machine) {
			m.edit(etcd, "{path: /var/lib/etcd, type: DirectoryOrCreate}", "{path: /srv/etcd, type: Directory}")
		}, class: classElsewhere, path: etcd, says: "/srv/etcd"},
		"an address that is gone": {do: func(m *machine) {
			m.edit(etcd, "--listen-peer-urls=https://198.18.0.11", "--listen-peer-urls=https://198.18.0.12")
		}, class: classAddressGone, path: etcd, says: "198.18.0.12"},
		"API server elsewhere":     {do: func(m *machine) { m.edit(api, "127.0.0.1:2379", "127.0.0.1:2378") }, class: classAPIElsewhere, path: api, command: "--etcd-servers=https://127.0.0.1:2379"},
		"API server without TLS":   {do: func(m *machine) { m.edit(api, "https://127.0.0.1", "http://127.0.0.1") }, class: classAPIElsewhere, path: api},
		"API server at a stranger": {do: func(m *machine) { m.edit(api, "127.0.0.1:2379", "198.18.0.99:2379") }, class: classAPIElsewhere, path: api},
	})
}

func TestFlags(t *testing.T) {
	etcd := usualManifests + "/etcd.yaml"
	flag := func(from, to string) func(*machine) { return func(m *machine) { m.edit(etcd, from, to) } }
	tryAll(t, map[string]disaster{
		"misspelt": {do: flag("--snapshot-count", "--snapshot-cuont"), class: classUnknownFlag, path: etcd, remedy: diagnose.RenameFlag, from: "snapshot-cuont", to: "snapshot-count", command: "sed -i"},
		"no such":  {do: flag("--name=cp1", "--name=cp1\n    - --frobnicate=1"), class: classUnknownFlag, path: etcd, from: "frobnicate"},
		"of another version": {do: func(m *machine) {
			flag("--name=cp1", "--name=cp1\n    - --experimental-compaction-batch-limit=5")(m)
			m.options.Version = "3.7.3"
		}, class: classUnknownFlag, path: etcd, remedy: diagnose.RenameFlag, from: "experimental-compaction-batch-limit", to: "compaction-batch-limit"},
		"become a gate": {do: func(m *machine) {
			flag("--name=cp1", "--name=cp1\n    - --experimental-initial-corrupt-check=true")(m)
			m.options.Version = "3.7.3"
		}, class: classUnknownFlag, path: etcd, from: "experimental-initial-corrupt-check"},
		"a value that is none": {do: flag("--snapshot-count=10000", "--snapshot-count=many"), class: classFlagRefused, path: etcd, from: "snapshot-count", says: `"many"`},
	})
}

func TestCertificates(t *testing.T) {
	server, ca := "/etc/kubernetes/pki/etcd/server", "/etc/kubernetes/pki/etcd/ca"
	hosts := []string{ownIP, "127.0.0.1"}
	old := func(m *machine) leaf {
		return leaf{from: m.now.Add(-48 * time.Hour), to: m.now.Add(-time.Hour), hosts: hosts}
	}
	tryAll(t, map[string]disaster{
		"missing, in the archive":       {do: func(m *machine) { m.remove(server + ".crt") }, class: classPKILost, path: server + ".crt", remedy: diagnose.PutBack, source: archive},
		"missing, the CA's key is here": {do: func(m *machine) { m.remove(server + ".crt"); m.remove(archive) }, class: classPKILost, path: server + ".crt", remedy: diagnose.RenewCertificate, command: "kubeadm certs renew etcd-server"},
		"its key missing":               {do: func(m *machine) { m.remove(server + ".key"); m.remove(archive) }, class: classPKILost, path: server + ".key", command: "kubeadm init phase certs etcd-server"},
		"missing for good":              {do: func(m *machine) { m.remove(server + ".crt"); m.remove(archive); m.remove(ca + ".key") }, class: classPKILost, path: server + ".crt"},
		"CA missing":                    {do: func(m *machine) { m.remove(ca + ".crt") }, class: classPKILost, path: ca + ".crt", remedy: diagnose.PutBack, source: archive},
		"expired":                       {do: func(m *machine) { m.certificate(server, old(m)) }, class: classExpired, path: server + ".crt", remedy: diagnose.RenewCertificate},
		"expired, without the CA's key": {do: func(m *machine) { m.certificate(server, old(m)); m.remove(ca + ".key") }, class: classExpired, path: server + ".crt", command: "kubeadm certs renew"},
		"not yet valid": {do: func(m *machine) {
			m.certificate(server, leaf{from: m.now.Add(time.Hour), to: m.now.Add(2 * time.Hour), hosts: hosts})
		}, class: classNotYetValid, path: server + ".crt", remedy: diagnose.RenewCertificate},
		"of another CA": {do: func(m *machine) {
			own := m.ca[ca]
			m.ca[ca] = m.newAuthority(m.now.Add(-time.Hour))
			m.certificate(server, leaf{hosts: hosts})
			m.ca[ca] = own
		}, class: classOtherCA, path: server + ".crt", remedy: diagnose.RenewCertificate},
		"without the address":         {do: func(m *machine) { m.certificate(server, leaf{hosts: []string{"127.0.0.1"}}) }, class: classOtherName, path: server + ".crt", remedy: diagnose.RenewCertificate, to: ownIP, says: "for " + ownIP},
		"empty":                       {do: func(m *machine) { m.write(server+".crt", "") }, class: classUnreadable, path: server + ".crt", remedy: diagnose.RenewCertificate},
		"key of another":              {do: func(m *machine) { m.write(server+".key", m.text("/etc/kubernetes/pki/etcd/peer.key")) }, class: classOtherKey, path: server + ".crt", remedy: diagnose.RenewCertificate},
		"API server's client expired": {do: func(m *machine) { m.certificate("/etc/kubernetes/pki/apiserver-etcd-client", old(m)) }, class: classExpired, path: "/etc/kubernetes/pki/apiserver-etcd-client.crt", remedy: diagnose.RenewCertificate},
		"kubeconfig expired":          {do: func(m *machine) { m.kubeconfig("controller-manager.conf", old(m)) }, class: classExpired, path: "/etc/kubernetes/controller-manager.conf", remedy: diagnose.RenewCertificate, command: "controller-manager.conf"},
		"kubeconfig empty":            {do: func(m *machine) { m.write("/etc/kubernetes/scheduler.conf", "") }, class: classUnreadable, path: "/etc/kubernetes/scheduler.conf", remedy: diagnose.PutBack, source: archive},
		"kubeconfig lost":             {do: func(m *machine) { m.remove("/etc/kubernetes/scheduler.conf") }, class: classPKILost, path: "/etc/kubernetes/scheduler.conf", remedy: diagnose.PutBack, source: archive},
	})
}

func TestClockAndName(t *testing.T) {
	tryAll(t, map[string]disaster{
		"clock behind": {do: func(m *machine) { m.now = m.now.Add(-240 * time.Hour) }, class: classClockWrong, says: "it is behind"},
		"log of the future": {do: func(m *machine) {
			must(m.t, os.Chtimes(filepath.Join(m.root, "/var/lib/etcd/member/wal/0.wal"), time.Time{}, m.now.Add(time.Hour)))
		}, class: classClockWrong, says: "0.wal was written at"},
	})
	m := newMachine(t)
	m.edit(usualManifests+"/etcd.yaml", "--name=cp1", "--name=cp1\n    - --quota-backend-bytes=1")
	if r := m.look(); len(r.Findings) != 1 || r.Findings[0].Class != classQuotaReached || r.Findings[0].Needs != "" {
		t.Errorf("%+v", r.Findings)
	}
	m = newMachine(t)
	m.unknown = map[string]error{"cp1": errors.New("no such host")}
	if r := m.look(); len(r.Findings) != 1 || r.Findings[0].Class != classNameUnknown || r.Findings[0].Severity != diagnose.Note || !strings.Contains(r.Findings[0].Command, ownIP+" cp1") {
		t.Errorf("%+v", r.Findings)
	}
}

// A manifest that isn't where it should be is looked into all the same.
func TestBehindAMissingManifest(t *testing.T) {
	m := newMachine(t)
	m.ready = http.StatusInternalServerError
	m.edit(usualManifests+"/etcd.yaml", "--name=cp1", "--nmae=cp1")
	m.write("/etc/kubernetes/manifests.stopped/etcd.yaml", m.text(usualManifests+"/etcd.yaml"))
	m.remove(usualManifests + "/etcd.yaml")
	m.remove("/etc/kubernetes/pki/etcd/peer.crt")
	if got := classes(m.look()); got != "manifest_missing unknown_flag pki_lost" {
		t.Error(got)
	}
}

func classes(r Report) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Class)
	}
	return strings.Join(all, " ")
}

// What is nearest to the cause comes first.
func TestOrder(t *testing.T) {
	m := newMachine(t)
	m.ready = http.StatusInternalServerError
	m.units[kubeletUnit] = unit{load: "loaded", active: "inactive", sub: "dead"}
	m.remove(usualManifests + "/etcd.yaml")
	m.certificate("/etc/kubernetes/pki/apiserver", leaf{from: m.now.Add(-2 * time.Hour), to: m.now.Add(-time.Hour), hosts: []string{ownIP}})
	if got := classes(m.look()); got != "kubelet_stopped manifest_missing certificate_expired" {
		t.Error(got)
	}
}

// An API server that is slow is waited for as long as there is something else to
// do, and one that answers nobody unknown is asked as somebody known.
func TestServed(t *testing.T) {
	m := newMachine(t)
	meanwhile, asked := make(chan struct{}), make(chan struct{})
	m.answer = func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-meanwhile
		<-r.Context().Done()
	}
	m.options.Meanwhile = meanwhile
	go func() { <-asked; close(meanwhile) }()
	if r := m.look(); r.Served == nil || *r.Served {
		t.Error("served, and it never answered")
	}
	m = newMachine(t)
	m.answer = func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[bool]int{true: http.StatusUnauthorized, false: http.StatusInternalServerError}[len(r.TLS.PeerCertificates) == 0])
	}
	if r := m.look(); *r.Served {
		t.Error("served, and it told an administrator that it isn't ready")
	}
}

// An API server isn't asked while no etcd of its own takes connections: it would
// take its time to answer.
func TestNoEtcdBehindTheAPIServer(t *testing.T) {
	m := newMachine(t)
	m.answer = func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }
	m.refused = "127.0.0.1:2379"
	if r := m.look(); r.Served == nil || *r.Served {
		t.Errorf("%+v", r)
	}
}

// An API server that isn't ready is told where nothing else is, with what it
// said.
func TestUnserved(t *testing.T) {
	m := newMachine(t)
	m.ready = http.StatusInternalServerError
	m.write("/var/log/pods/kube-system_kube-apiserver-cp1_1/kube-apiserver/3.log", "2026-07-28T03:00:00.1Z stderr F Error: unknown flag: --frob\n2026-07-28T03:00:00.2Z stderr F usage\n")
	r := m.look()
	if len(r.Findings) != 1 || r.Findings[0].Class != classUnserved || !strings.Contains(r.Findings[0].Finding, "unknown flag: --frob") {
		t.Errorf("%+v", r.Findings)
	}
}
