package causes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const ownIP = "198.18.0.11"

// machine is a made-up control plane of one host, on which all is well.
type machine struct {
	t       testing.TB
	root    string
	ready   int // what the API server answers, unless answer does
	answer  http.HandlerFunc
	units   map[string]unit
	said    map[string][]string
	unknown map[string]error // why names don't resolve
	refused string           // the address that refuses connections
	now     time.Time
	ca      map[string]*authority
	options Options
	runtime net.Listener
	images  *fakeRuntime
	sockets []listener
	owner   *process
	running map[string][][]string // the arguments of processes, by their program
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	root, err := os.MkdirTemp("", "c") // a socket's path is short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(root)) })
	m := &machine{t: t, root: root, ready: http.StatusOK, now: time.Now(), said: map[string][]string{}, ca: map[string]*authority{},
		units: map[string]unit{
			kubeletUnit:    {name: kubeletUnit, load: "loaded", active: "active", sub: "running", file: "enabled"},
			containerdUnit: {name: containerdUnit, load: "loaded", active: "active", sub: "running", file: "enabled"},
		},
		options: Options{Manifest: usualManifests + "/etcd.yaml", DataDir: "/var/lib/etcd", Version: "3.6.16", Archives: []string{"/var/backups/etcd/b.tar.gz"}},
	}
	m.write("/var/lib/etcd/member/snap/db", "db")
	m.write("/var/lib/etcd/member/wal/0.wal", "")
	m.write(kubeletConfigAt, "kind: KubeletConfiguration\nstaticPodPath: /etc/kubernetes/manifests\ncontainerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n")
	m.listenAsRuntime()
	m.certify()
	m.write(m.options.Manifest, etcdManifest)
	m.write(usualManifests+"/kube-apiserver.yaml", fmt.Sprintf(apiServerManifest, m.serveAPI()))
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		m.write(usualManifests+"/"+name+".yaml", "kind: Pod\nmetadata: {name: "+name+"}\nspec: {containers: [{name: x, command: ["+name+"]}]}\n")
	}
	m.archive("etc/kubernetes")
	return m
}

const etcdManifest = `apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.16-0
    command:
    - etcd
    - --advertise-client-urls=https://198.18.0.11:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --client-cert-auth=true
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://198.18.0.11:2380
    - --initial-cluster=cp1=https://198.18.0.11:2380
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379,https://198.18.0.11:2379
    - --listen-peer-urls=https://198.18.0.11:2380
    - --name=cp1
    - --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt
    - --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
    - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    - --snapshot-count=10000
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    volumeMounts:
    - {mountPath: /var/lib/etcd, name: data}
    - {mountPath: /etc/kubernetes/pki/etcd, name: certs}
  volumes:
  - {name: certs, hostPath: {path: /etc/kubernetes/pki/etcd, type: DirectoryOrCreate}}
  - {name: data, hostPath: {path: /var/lib/etcd, type: DirectoryOrCreate}}
`

const apiServerManifest = `apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --advertise-address=198.18.0.11
    - --client-ca-file=/etc/kubernetes/pki/ca.crt
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
    - --etcd-servers=https://127.0.0.1:2379
    - --secure-port=%s
    - --service-account-key-file=/etc/kubernetes/pki/sa.pub
    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
`

// serveAPI answers as an API server does, and returns the port.
func (m *machine) serveAPI() string {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.answer != nil {
			m.answer(w, r)
			return
		}
		w.WriteHeader(m.ready)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	m.t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	must(m.t, err)
	return u.Port()
}

func (m *machine) listenAsRuntime() {
	must(m.t, os.MkdirAll(filepath.Join(m.root, "run/containerd"), 0o755))
	var err error
	m.runtime, err = net.Listen("unix", filepath.Join(m.root, containerdSocket))
	must(m.t, err)
	m.images = &fakeRuntime{images: []string{"registry.k8s.io/etcd:3.6.16-0"}}
	server := grpc.NewServer()
	cri.RegisterImageServiceServer(server, m.images)
	cri.RegisterRuntimeServiceServer(server, m.images)
	go func() { _ = server.Serve(m.runtime) }() // until it is stopped
	m.t.Cleanup(server.Stop)
}

// fakeRuntime is as much of a container runtime as is asked.
type fakeRuntime struct {
	cri.UnimplementedImageServiceServer
	cri.UnimplementedRuntimeServiceServer
	images []string
	ended  string // why etcd's last container ended
}

func (f *fakeRuntime) ImageStatus(_ context.Context, r *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	if r.Image.Image == "" || slices.Contains(f.images, r.Image.Image) {
		return &cri.ImageStatusResponse{Image: &cri.Image{Id: "i"}}, nil
	}
	return &cri.ImageStatusResponse{}, nil
}

func (f *fakeRuntime) ListImages(context.Context, *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	return &cri.ListImagesResponse{Images: []*cri.Image{{Id: "i", RepoTags: f.images}}}, nil
}

func (f *fakeRuntime) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	if f.ended == "" {
		return &cri.ListContainersResponse{}, nil
	}
	return &cri.ListContainersResponse{Containers: []*cri.Container{{Id: "old", CreatedAt: 1}, {Id: "new", CreatedAt: 2, State: cri.ContainerState_CONTAINER_EXITED}}}, nil
}

func (f *fakeRuntime) ContainerStatus(_ context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	if r.ContainerId != "new" {
		return nil, status.Error(codes.NotFound, r.ContainerId)
	}
	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{Reason: f.ended}}, nil
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	at := filepath.Join(m.root, path)
	must(m.t, os.MkdirAll(filepath.Dir(at), 0o755))
	must(m.t, os.WriteFile(at, []byte(text), 0o600))
}

func (m *machine) remove(path string) { must(m.t, os.RemoveAll(filepath.Join(m.root, path))) }

func (m *machine) text(path string) string {
	text, err := os.ReadFile(filepath.Join(m.root, path))
	must(m.t, err)
	return string(text)
}

// edit replaces a part of a file.
func (m *machine) edit(path, from, to string) {
	m.t.Helper()
	text := m.text(path)
	if !strings.Contains(text, from) {
		m.t.Fatalf("%s has no %q", path, from)
	}
	m.write(path, strings.Replace(text, from, to, 1))
}

// look looks at the machine.
func (m *machine) look() Report {
	h := host{root: m.root, now: m.now, name: "cp1",
		systemd:   func(context.Context, []string) (map[string]unit, error) { return m.units, nil },
		journal:   func(_ context.Context, unit, _ string) []string { return m.said[unit] },
		resolve:   func(_ context.Context, name string) error { return m.unknown[name] },
		refuses:   func(_ context.Context, address string) bool { return address == m.refused },
		addresses: func() ([]net.Addr, error) { return []net.Addr{&net.IPNet{IP: net.ParseIP(ownIP)}}, nil },
		listeners: func() []listener { return m.sockets },
		processes: func(program string) [][]string { return m.running[program] },
		ownerOf: func(listener) (process, bool) {
			if m.owner == nil {
				return process{}, false
			}
			return *m.owner, true
		},
	}
	return lookAt(m.t.Context(), h, m.options)
}

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

// leaf is what a certificate is for.
type leaf struct {
	from, to time.Time
	hosts    []string
}

func (m *machine) newAuthority(from time.Time) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(m.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca " + fmt.Sprint(len(m.ca))}, NotBefore: from, NotAfter: from.Add(10 * 365 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(m.t, err)
	cert, err := x509.ParseCertificate(der)
	must(m.t, err)
	return &authority{cert: cert, key: key, pem: block("CERTIFICATE", der)}
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue signs a certificate; it returns that and its key.
func (m *machine) issue(ca *authority, l leaf) (cert, key string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(m.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: l.from, NotAfter: l.to}
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = m.now.Add(-time.Hour), m.now.Add(24*time.Hour)
	}
	for _, h := range l.hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &k.PublicKey, ca.key)
	must(m.t, err)
	private, err := x509.MarshalECPrivateKey(k)
	must(m.t, err)
	return block("CERTIFICATE", der), block("EC PRIVATE KEY", private)
}

// certificates are those of the machine, with the CA that signs each.
var certificates = map[string]string{
	"/etc/kubernetes/pki/etcd/server": "/etc/kubernetes/pki/etcd/ca", "/etc/kubernetes/pki/etcd/peer": "/etc/kubernetes/pki/etcd/ca",
	"/etc/kubernetes/pki/apiserver-etcd-client": "/etc/kubernetes/pki/etcd/ca", "/etc/kubernetes/pki/apiserver": "/etc/kubernetes/pki/ca",
}

func (m *machine) certify() {
	for _, ca := range []string{"/etc/kubernetes/pki/ca", "/etc/kubernetes/pki/etcd/ca"} {
		m.ca[ca] = m.newAuthority(m.now.Add(-24 * time.Hour))
		key, err := x509.MarshalECPrivateKey(m.ca[ca].key)
		must(m.t, err)
		m.write(ca+".crt", m.ca[ca].pem)
		m.write(ca+".key", block("EC PRIVATE KEY", key))
	}
	for path := range certificates {
		m.certificate(path, leaf{hosts: []string{ownIP, "127.0.0.1", "localhost"}})
	}
	m.write("/etc/kubernetes/pki/sa.pub", "public")
	for _, name := range kubeconfigs {
		m.kubeconfig(name, leaf{})
	}
}

// certificate gives a path another certificate and key.
func (m *machine) certificate(path string, l leaf) {
	cert, key := m.issue(m.ca[certificates[path]], l)
	m.write(path+".crt", cert)
	m.write(path+".key", key)
}

func (m *machine) kubeconfig(name string, l leaf) {
	cert, key := m.issue(m.ca["/etc/kubernetes/pki/ca"], l)
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	m.write("/etc/kubernetes/"+name, fmt.Sprintf("kind: Config\nusers:\n- name: u\n  user:\n    client-certificate-data: %s\n    client-key-data: %s\n", encode(cert), encode(key)))
}

// archive packs a directory as a backup does.
func (m *machine) archive(dir string) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	files := tar.NewWriter(zip)
	err := filepath.WalkDir(filepath.Join(m.root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(m.root, path)
		if err != nil {
			return err
		}
		if err := files.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err = files.Write(text)
		return err
	})
	must(m.t, err)
	must(m.t, files.Close())
	must(m.t, zip.Close())
	m.write(m.options.Archives[0], buf.String())
}
