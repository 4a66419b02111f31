package member

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"runbook/engine"
	"runbook/test/limits"
)

const unitText = `[Unit]
Description=etcd
[Service]
Type=notify
User=etcd
WorkingDirectory=-/var/lib/etcd
Environment=ETCD_NAME=%H "ETCD_INITIAL_CLUSTER_TOKEN=my token"
EnvironmentFile=-/etc/default/etcd
# a comment
ExecStart=
ExecStart=-/usr/bin/etcd --data-dir ${DIR} \
  --listen-client-urls=http://127.0.0.1:2379 \
  $ARGS
`

// FuzzUnit reads whatever is given as a unit, with whatever as its environment
// file; and finds two texts that are written as systemd has it, as flags and as
// variables.
func FuzzUnit(f *testing.F) {
	f.Add([]byte(unitText), []byte("# args\nDIR=/data\nARGS=\"--name n2 --wal-dir /w\"\n; x\nbroken\nexport X='1'\n"), "n1", "/var/lib/etcd")
	f.Add([]byte("[Service]\nExecStart=/bin/sh -c 'exec etcd --name $NAME && true'\n"), []byte("NAME=\\\n$NAME"), `a "b" 'c' \ $HOME %H`, "é ${X} $$")
	f.Add([]byte("[Service]\nExecStart=\"/usr/bin/etcd\" --name=\"\\\n"), []byte("="), "", "--name=x")
	f.Fuzz(func(t *testing.T, text, environment []byte, name, dir string) {
		limits.Hold(t, func() {
			if u, err := ParseUnit([][]byte{text, text}, map[string]string{"H": "node1", "n": "etcd.service"}, "etcd.service"); err == nil {
				env := u.Environment
				maps.Copy(env, ParseEnvironmentFile(environment))
				if s, ok := FromCommand(u.Command(env), env); ok {
					resolved(t, s)
				}
			}
			if onOneLine(name) && onOneLine(dir) {
				found(t, name, dir)
			}
		})
	})
}

// onOneLine is a text that can stand in a unit.
func onOneLine(text string) bool {
	return utf8.ValidString(text) && len(text) < 500 && !strings.ContainsAny(text, "\x00\r\n")
}

var (
	quotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%")
	dollar = strings.NewReplacer("$", "$$")
)

// found writes a unit with a name and a directory and wants them back.
func found(t *testing.T, name, dir string) {
	t.Helper()
	unit := "[Service]\nExecStart=/usr/bin/etcd --name \"" + dollar.Replace(quotes.Replace(name)) + "\" \"--data-dir=" + dollar.Replace(quotes.Replace(dir)) + "\"\n" +
		"Environment=\"ETCD_INITIAL_CLUSTER_TOKEN=" + quotes.Replace(name) + "\" \"ETCD_WAL_DIR=" + quotes.Replace(dir) + "\"\n"
	u, err := ParseUnit([][]byte{[]byte(unit)}, map[string]string{"H": "node1"}, "etcd.service")
	if err != nil {
		t.Fatalf("%v: %q", err, unit)
	}
	s, ok := FromCommand(u.Command(u.Environment), u.Environment)
	want := Settings{"name": name, "data-dir": dir, "initial-cluster-token": name, "wal-dir": dir}
	if !ok || !maps.Equal(s, want) {
		t.Errorf("%q says %v, and %v is read", unit, want, s)
	}
}

// resolved holds what settings come to, or why they don't, to being of use.
func resolved(t *testing.T, s Settings) {
	t.Helper()
	m, err := Resolve(s, "/wd", "etcd.service")
	if err != nil {
		if engine.HintOf(err) == "" || !strings.Contains(err.Error(), "etcd.service") {
			t.Errorf("the error says nothing of where or what to do: %v", err)
		}
		return
	}
	if !filepath.IsAbs(m.DataDir) || m.WALDir != "" && !filepath.IsAbs(m.WALDir) || m.Name == "" || m.Token == "" {
		t.Errorf("%v came to %+v", s, m)
	}
	if err := CheckCluster(m.Name, m.PeerURLs, m.InitialCluster, "etcd.service"); err != nil {
		t.Errorf("%+v: %v", m, err)
	}
}

// FuzzConfig reads whatever is given as etcd's configuration file, and finds two
// texts in one.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("name: 'n1'\ndata-dir: /var/lib/etcd\ninitial-cluster-token:\nclient-transport-security:\n  cert-file: /c\n"), "n1", "/d")
	f.Add([]byte("name: [1, {a: b}]\ndata-dir: 1e3\nwal-dir: &a [*a]\n"), "yes", "0x10")
	f.Add([]byte("a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nname: [*c, *c, *c, *c, *c, *c, *c, *c]\n"), "\n", "\u2028")
	f.Fuzz(func(t *testing.T, text []byte, name, dir string) {
		limits.Hold(t, func() {
			if s, err := FromConfig(text, "etcd.yaml"); err != nil {
				if !strings.Contains(err.Error(), "etcd.yaml") {
					t.Errorf("the error doesn't say where: %v", err)
				}
			} else if m, err := Resolve(s, "/wd", "etcd.yaml"); err == nil && !filepath.IsAbs(m.DataDir) {
				t.Errorf("%v came to %+v", s, m)
			}
			if !utf8.ValidString(name) || !utf8.ValidString(dir) {
				return
			}
			good, err := yaml.Marshal(map[string]string{"name": name, "data-dir": dir})
			if err != nil {
				return // YAML has no such character
			}
			if s, err := FromConfig(good, "etcd.yaml"); err != nil || s["name"] != name || s["data-dir"] != dir {
				t.Errorf("%q is read as %v, %v", good, s, err)
			}
		})
	})
}

// FuzzManifest reads whatever is given as the manifest of etcd's static pod, and
// finds a name in one, and a directory below a volume.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(podHead+"    command: [\"etcd\"]\n    args: [--name, $(A), --data-dir, /var/lib/etcd]\n    env: [{name: A, value: x}]\n    volumeMounts:\n    - {mountPath: /var/lib/etcd, name: data}\n  volumes:\n  - {name: data, hostPath: {path: /srv/etcd}}\n"), "n1", "member")
	f.Add([]byte(podHead+"    command:\n    - /bin/sh\n    - -c\n    - |\n      exec etcd --name=cp1 \\\n        --data-dir=/var/lib/etcd\n"), "$(A)", "")
	f.Add([]byte(`{"spec":{"containers":[null,{"command":["etcd"],"securityContext":{"runAsUser":-1}}],"volumes":[{}]}}`), "-", "/")
	f.Fuzz(func(t *testing.T, text []byte, name, below string) {
		limits.Hold(t, func() {
			pod, err := ParseManifest(text, "etcd.yaml")
			if err == nil {
				_, err = Resolve(pod.Settings, "/", "etcd.yaml")
			}
			if err != nil && !strings.Contains(err.Error(), "etcd.yaml") {
				t.Errorf("the error doesn't say where: %v", err)
			}
			if inYAML(name) && inYAML(below) {
				inPod(t, name, below)
			}
		})
	})
}

// inYAML reports whether a text can stand in YAML where JSON doesn't escape it.
func inYAML(text string) bool {
	none := func(r rune) bool { return r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff }
	return utf8.ValidString(text) && !strings.ContainsFunc(text, none)
}

// inPod writes a pod with a name and a directory and wants them back.
func inPod(t *testing.T, name, below string) {
	t.Helper()
	type object map[string]any
	doc, err := json.Marshal(object{"kind": "Pod", "spec": object{
		"containers": []object{{
			"command":      []string{"etcd", "--name", name, "--data-dir=/data/" + below},
			"volumeMounts": []object{{"name": "other", "mountPath": "/"}, {"name": "data", "mountPath": "/data"}},
		}},
		"volumes": []object{{"name": "other"}, {"name": "data", "hostPath": object{"path": "/srv"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	pod, err := ParseManifest(doc, "etcd.yaml")
	if s := pod.Settings; err != nil || s["name"] != name || s["data-dir"] != "/srv/"+below {
		t.Errorf("%s is read as %v, %v", doc, s, err)
	}
}
