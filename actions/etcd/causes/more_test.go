package causes

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runbook/actions/etcd/diagnose"
)

func TestPorts(t *testing.T) {
	taken := func(port int, ip string, owner *process) func(*machine) {
		return func(m *machine) {
			m.sockets = []listener{{port: 22}, {port: port, ip: net.ParseIP(ip)}}
			m.owner = owner
		}
	}
	tryAll(t, map[string]disaster{
		"by a unit":       {do: taken(2379, "0.0.0.0", &process{pid: 7, program: "nginx", unit: "nginx.service"}), class: classPortTaken, path: "nginx.service", remedy: diagnose.StopUnit, says: "nginx (process 7, unit nginx.service) listens at port 2379", command: "systemctl stop nginx.service"},
		"by a process":    {do: taken(2380, ownIP, &process{pid: 7, program: "nc"}), class: classPortTaken, path: "port 2380", command: "kill 7", says: "etcd.yaml names for etcd"},
		"by nobody known": {do: taken(2379, "127.0.0.1", nil), class: classPortTaken, path: "port 2379", command: "ss -ltnp"},
		"by the way in":   {do: taken(2379, "::", &process{pid: 9, program: "sshd", unit: "ssh.service"}), class: classPortTaken, path: "port 2379", command: "kill 9"},
		"by another etcd": {do: func(m *machine) {
			taken(2379, "127.0.0.1", &process{pid: 8, program: "etcd", unit: "etcd.service"})(m)
			m.running = map[string][][]string{"etcd": {{"etcd", "--data-dir=/var/lib/etcd/default.etcd"}}}
		}, class: classPortTaken, path: "etcd.service", remedy: diagnose.StopUnit},
	})
	for name, do := range map[string]func(*machine){
		"its own etcd": func(m *machine) {
			taken(2379, "127.0.0.1", nil)(m)
			m.running = map[string][][]string{"etcd": {{"etcd", "--data-dir=/var/lib/etcd"}}}
		},
		"another address": taken(2380, "127.0.0.1", nil),
		"another port":    taken(12379, "127.0.0.1", nil),
	} {
		m := newMachine(t)
		m.ready = http.StatusInternalServerError
		do(m)
		if r := m.look(); len(r.Findings) != 1 || r.Findings[0].Class != classUnserved {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// The kernel tells who listens, and whose socket that is.
func TestListening(t *testing.T) {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer at.Close()
	port := at.Addr().(*net.TCPAddr).Port
	for _, l := range listening() {
		if l.port != port {
			continue
		}
		if !l.ip.Equal(net.ParseIP("127.0.0.1")) || l.inode == 0 {
			t.Errorf("%+v", l)
		}
		if p, ok := ownerOf(l); !ok || p.pid != os.Getpid() || p.program == "" {
			t.Errorf("%+v %v", p, ok)
		}
		return
	}
	t.Errorf("nobody listens at %d", port)
}

func TestUnitIn(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/nginx.service":                         "nginx.service",
		"1:name=systemd:/system.slice/etcd.service\n4:cpu:/x":    "etcd.service",
		"0::/user.slice/user-0.slice/session-3.scope":            "",
		"0::/user.slice/user-0.slice/user@0.service/app.slice/x": "",
		"0::/kubepods/besteffort/podx/y":                         "",
	} {
		if got := unitIn(strings.Split(text, "\n")); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestImagesAndMemory(t *testing.T) {
	etcd := usualManifests + "/etcd.yaml"
	tryAll(t, map[string]disaster{
		"never pulled": {do: func(m *machine) {
			m.edit(etcd, "image: registry.k8s.io/etcd:3.6.16-0", "image: registry.k8s.io/etcd:3.6.17-0\n    imagePullPolicy: Never")
		}, class: classImageMissing, path: etcd, says: "It has registry.k8s.io/etcd:3.6.16-0.", command: "sed -i"},
		"not to be had": {do: func(m *machine) {
			m.images.images = nil
			m.said[kubeletUnit] = []string{`E0728 remote_image.go:180] "PullImage from image service failed" err="dial tcp: lookup registry.k8s.io: no such host" image="registry.k8s.io/etcd:3.6.16-0"`}
		}, class: classImageMissing, path: etcd, says: "no such host", command: "crictl pull"},
		"its registry unknown": {do: func(m *machine) {
			m.images.images = nil
			m.unknown = map[string]error{"registry.k8s.io": errors.New("no such host")}
		}, class: classImageMissing, path: etcd, says: "registry doesn't resolve"},
		"a limit": {do: func(m *machine) {
			m.edit(etcd, "    command:", "    resources: {limits: {memory: 64Mi}}\n    command:")
			m.images.ended = "OOMKilled"
		}, class: classOutOfMemory, path: etcd, says: "64Mi"},
		"no limit": {do: func(m *machine) {
			m.images.ended = "OOMKilled"
			m.remove(usualManifests + "/kube-apiserver.yaml")
			m.remove("/etc/kubernetes/pki/apiserver.crt")
		}, class: classOutOfMemory, path: etcd, note: true, unasked: true},
	})
	m := newMachine(t)
	m.ready = http.StatusInternalServerError
	m.images.images = nil
	if r := m.look(); r.Findings[0].Class != classImageMissing || r.Findings[0].Severity != diagnose.Note {
		t.Errorf("%+v", r.Findings)
	}
}

const unitText = "[Service]\nEnvironmentFile=/etc/default/etcd\nExecStart=/usr/bin/etcd --data-dir=/var/lib/etcd --name=a --listen-client-urls=http://127.0.0.1:2379\n"

// An etcd that a unit starts needs no kubelet and no API server.
func TestUnit(t *testing.T) {
	with := func(change func(*machine, *unit)) func(*machine) {
		return func(m *machine) {
			m.remove("/etc/kubernetes")
			m.options.Manifest, m.options.Unit = "", "etcd.service"
			m.write("/etc/systemd/system/etcd.service", unitText)
			m.write("/etc/default/etcd", "A=b\n")
			m.write("/usr/bin/etcd", "")
			must(m.t, os.Chmod(filepath.Join(m.root, "/usr/bin/etcd"), 0o755))
			u := unit{name: "etcd.service", load: "loaded", active: "failed", sub: "failed", file: "enabled", result: "exit-code", status: 2, files: 65536, fragment: "/etc/systemd/system/etcd.service"}
			change(m, &u)
			m.units = map[string]unit{"etcd.service": u}
		}
	}
	all := map[string]disaster{
		"failed": {do: with(func(m *machine, _ *unit) {
			m.said["etcd.service"] = []string{`{"level":"fatal","msg":"discovery failed"}`, "etcd.service: Failed"}
		}),
			class: classUnitFails, path: "etcd.service", says: "discovery failed", command: "reset-failed", note: true},
		"given up":       {do: with(func(_ *machine, u *unit) { u.result = "start-limit-hit" }), class: classUnitFails, says: "given up", note: true},
		"stopped":        {do: with(func(_ *machine, u *unit) { u.active, u.file = "inactive", "disabled" }), class: classUnitDown, says: "stopped and disabled", note: true},
		"masked":         {do: with(func(_ *machine, u *unit) { u.load, u.active = "masked", "inactive" }), class: classUnitMasked, path: "etcd.service", remedy: diagnose.StartUnit},
		"gone":           {do: with(func(_ *machine, u *unit) { *u = unit{load: "not-found"} }), class: classUnitGone, path: "etcd.service"},
		"variables gone": {do: with(func(m *machine, u *unit) { m.remove("/etc/default/etcd"); u.active, u.result = "inactive", "" }), class: classNoEnvironment, path: "/etc/default/etcd", remedy: diagnose.PutBack, source: archive, more: classUnitDown},
		"program gone":   {do: with(func(m *machine, _ *unit) { m.remove("/usr/bin/etcd") }), class: classNoProgram, path: "/usr/bin/etcd", more: classUnitFails},
		"misspelt flag":  {do: with(func(m *machine, _ *unit) { m.edit("/etc/systemd/system/etcd.service", "--name", "--nmae") }), class: classUnknownFlag, more: classUnitFails, from: "nmae", to: "name", command: "systemctl daemon-reload"},
		"memory":         {do: with(func(_ *machine, u *unit) { u.result, u.memory = "oom-kill", 64<<20 }), class: classOutOfMemory, more: classUnitFails, says: "64 MiB"},
		"files":          {do: with(func(_ *machine, u *unit) { u.files = 16 }), class: classLowLimit, more: classUnitFails, says: "16 files"},
	}
	for name, d := range all {
		d.unasked = true
		if name == "variables gone" {
			d.do = withVariables(d.do)
		}
		t.Run(name, d.try)
	}
}

// withVariables has an archive hold the machine as it is before a disaster.
func withVariables(do func(*machine)) func(*machine) {
	return func(m *machine) {
		m.write("/etc/default/etcd", "A=b\n")
		m.archive("etc/default")
		do(m)
	}
}

// What a real etcd says of a flag that it doesn't know is its first line, before
// its usage.
func TestRealUsage(t *testing.T) {
	for _, name := range []string{"etcd", "etcd36", "etcd35"} {
		m := newMachine(t)
		m.ready = http.StatusInternalServerError
		m.edit(usualManifests+"/etcd.yaml", "--snapshot-count", "--snapshot-cuont")
		m.options.Version = "" // so that only what it says tells
		var said strings.Builder
		cmd := exec.Command("../../../.cache/bin/"+name, "--snapshot-cuont=10000")
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err == nil || said.Len() < 500 {
			t.Fatalf("%s: %v, %q", name, err, said.String())
		}
		log := "/var/log/pods/kube-system_etcd-cp1_1/etcd/0.log"
		m.write(log, "2026-07-28T03:00:00.1Z stderr F "+strings.ReplaceAll(strings.TrimSpace(said.String()), "\n", "\n2026-07-28T03:00:00.1Z stderr F "))
		must(t, os.Chtimes(filepath.Join(m.root, log), time.Time{}, time.Now().Add(time.Minute)))
		r := m.look()
		if len(r.Findings) != 2 || r.Findings[0].Class != classUnknownFlag || r.Findings[0].To != "snapshot-count" || !strings.Contains(r.Findings[0].Finding, `etcd said "flag provided but not defined: -snapshot-cuont"`) || r.Findings[1].Class != classEtcdFails {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}
