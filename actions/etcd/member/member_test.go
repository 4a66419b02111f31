package member

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

func TestFromCommand(t *testing.T) {
	for name, tt := range map[string]struct {
		argv []string
		env  map[string]string
		want Settings
	}{
		"joined and separate values": {
			argv: []string{"/usr/bin/etcd", "--name=a", "-data-dir", "/d", "--debug", "--wal-dir=/w"},
			want: Settings{"name": "a", "data-dir": "/d", "wal-dir": "/w"},
		},
		"a flag wins over its variable": {
			argv: []string{"etcd", "--name", "flag"},
			env:  map[string]string{"ETCD_NAME": "env", "ETCD_DATA_DIR": "/env"},
			want: Settings{"name": "flag", "data-dir": "/env"},
		},
		"a shell's script": {
			argv: []string{"/bin/bash", "-ec", "exec \\\n etcd --name=a \\\n --data-dir '/d e' && true"},
			want: Settings{"name": "a", "data-dir": "/d e"},
		},
		"a value with an equals sign": {
			argv: []string{"etcd", "--initial-cluster=a=http://h:1"},
			want: Settings{"initial-cluster": "a=http://h:1"},
		},
		"an unknown switch before a wanted flag": {
			argv: []string{"etcd", "--new-switch", "--name", "a"},
			want: Settings{"name": "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := FromCommand(tt.argv, tt.env)
			if !ok || !maps.Equal(got, tt.want) {
				t.Errorf("got %v %v, want %v", got, ok, tt.want)
			}
		})
	}
	if _, ok := FromCommand([]string{"/usr/bin/postgres", "-c", "x"}, nil); ok {
		t.Error("postgres was taken for etcd")
	}
}

func TestParseUnit(t *testing.T) {
	fragment := `[Unit]
Description=etcd
[Service]
Type=notify
User=etcd
WorkingDirectory=-/var/lib/etcd
Environment=ETCD_NAME=%H "ETCD_INITIAL_CLUSTER_TOKEN=my token"
EnvironmentFile=-/etc/default/etcd
# a comment
ExecStart=-/usr/bin/etcd --data-dir ${DIR} \
  --listen-client-urls=http://127.0.0.1:2379 \
  $ARGS
`
	dropIn := "[Service]\nGroup=storage\n"
	u, err := ParseUnit([][]byte{[]byte(fragment), []byte(dropIn)}, map[string]string{"H": "node1"}, "unit")
	if err != nil {
		t.Fatal(err)
	}
	env := u.Environment
	maps.Copy(env, ParseEnvironmentFile([]byte("# args\nDIR=/data\nARGS=\"--name n2 --wal-dir /w\"\n; x\nbroken\n")))
	s, ok := FromCommand(u.Command(env), env)
	want := Settings{"name": "n2", "data-dir": "/data", "wal-dir": "/w", "initial-cluster-token": "my token", "listen-client-urls": "http://127.0.0.1:2379"}
	if !ok || !maps.Equal(s, want) {
		t.Errorf("got %v, want %v", s, want)
	}
	if u.User != "etcd" || u.Group != "storage" || u.WorkingDirectory != "/var/lib/etcd" {
		t.Errorf("got %+v", u)
	}
	if env["ETCD_NAME"] != "node1" {
		t.Errorf("the specifier gave %q", env["ETCD_NAME"])
	}
}

func TestParseUnitReset(t *testing.T) {
	files := [][]byte{
		[]byte("[Service]\nExecStart=/usr/bin/etcd --name old\n"),
		[]byte("[Service]\nExecStart=\nExecStart=/opt/etcd --name new\n"),
	}
	u, err := ParseUnit(files, nil, "unit")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Command(nil); !reflect.DeepEqual(got, []string{"/opt/etcd", "--name", "new"}) {
		t.Errorf("got %q", got)
	}
}

func TestFromConfig(t *testing.T) {
	s, err := FromConfig([]byte(`
name: 'n1'
data-dir: /var/lib/etcd
quota-backend-bytes: 8000000
advertise-client-urls: https://10.0.0.1:2379
initial-cluster-token:
client-transport-security:
  cert-file: /c
  key-file: /k
  trusted-ca-file: /ca
`), "etcd.yaml")
	want := Settings{"name": "n1", "data-dir": "/var/lib/etcd", "advertise-client-urls": "https://10.0.0.1:2379", "cert-file": "/c", "key-file": "/k", "trusted-ca-file": "/ca"}
	if err != nil || !maps.Equal(s, want) {
		t.Errorf("got %v %v, want %v", s, err, want)
	}
	if _, err := FromConfig([]byte("a: [b"), "etcd.yaml"); err == nil {
		t.Error("broken YAML was accepted")
	}
}

const podHead = `apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.5.15-0
`

func TestParseManifest(t *testing.T) {
	want := Settings{"name": "cp1", "data-dir": "/srv/etcd", "cert-file": "/etc/kubernetes/pki/etcd/server.crt"}
	for name, command := range map[string]string{
		"block": `    command:
    - etcd
    - --name=$(NODE)
    - --data-dir=/var/lib/etcd
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
`,
		"inline":  "    command: [etcd, --name=cp1, \"--data-dir=/var/lib/etcd\", '--cert-file=/etc/kubernetes/pki/etcd/server.crt']\n",
		"args":    "    command: [\"etcd\"]\n    args: [--name, cp1, --data-dir, /var/lib/etcd, --cert-file, /etc/kubernetes/pki/etcd/server.crt]\n",
		"a shell": "    command:\n    - /bin/sh\n    - -c\n    - |\n      set -e\n      exec etcd --name=cp1 \\\n        --data-dir=/var/lib/etcd --cert-file=/etc/kubernetes/pki/etcd/server.crt\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := podHead + command + `    env: [{name: NODE, value: cp1}]
    volumeMounts:
    - {mountPath: /var/lib/etcd, name: data}
    - mountPath: /etc/kubernetes/pki/etcd
      name: certs
  volumes:
  - {name: data, hostPath: {path: /srv/etcd, type: DirectoryOrCreate}}
  - name: certs
    hostPath:
      path: /etc/kubernetes/pki/etcd
`
			pod, err := ParseManifest([]byte(text), "etcd.yaml")
			if err != nil || !maps.Equal(pod.Settings, want) || pod.Version != "3.5.15" {
				t.Errorf("got %+v %v, want %v", pod, err, want)
			}
		})
	}
	if _, err := ParseManifest([]byte(podHead+"    command: [sleep]\n"), "pod.yaml"); err == nil {
		t.Error("a pod without etcd was accepted")
	}
}

func TestResolve(t *testing.T) {
	for name, tt := range map[string]struct {
		in      Settings
		want    Member
		problem string
	}{
		"defaults": {
			in: Settings{},
			want: Member{Name: "default", DataDir: "/wd/default.etcd", InitialCluster: "default=http://localhost:2380", Token: "etcd-cluster",
				PeerURLs: []string{"http://localhost:2380"}, ListenPeerURLs: []string{"http://localhost:2380"},
				ClientURLs: []string{"http://localhost:2379"}, ListenClientURLs: []string{"http://localhost:2379"}},
		},
		"certificates only with https": {
			in: Settings{"name": "a", "data-dir": "/d", "cert-file": "/c", "advertise-client-urls": "https://h:2379, https://i:2379"},
			want: Member{Name: "a", DataDir: "/d", InitialCluster: "a=http://localhost:2380", Token: "etcd-cluster", CertFile: "/c",
				PeerURLs: []string{"http://localhost:2380"}, ListenPeerURLs: []string{"http://localhost:2380"},
				ClientURLs: []string{"https://h:2379", "https://i:2379"}, ListenClientURLs: []string{"http://localhost:2379"}},
		},
		"name not in the cluster": {
			in:      Settings{"name": "b", "initial-cluster": "a=http://localhost:2380"},
			problem: `the member "b" is not in the initial cluster`,
		},
		"other URLs in the cluster": {
			in:      Settings{"name": "a", "initial-cluster": "a=http://10.0.0.1:2380"},
			problem: `advertises the peer URLs ["http://localhost:2380"], but the initial cluster says ["http://10.0.0.1:2380"]`,
		},
		"no cluster at all": {
			in:      Settings{"initial-cluster": "nonsense"},
			problem: "can't be understood",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(tt.in, "/wd", "etcd.service")
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("got %v, want %q", err, tt.problem)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}
