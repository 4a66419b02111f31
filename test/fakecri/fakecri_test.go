package fakecri

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const manifest = `apiVersion: v1
kind: Pod
metadata: {name: web, namespace: kube-system}
spec:
  containers:
  - name: web
    readinessProbe: {httpGet: {host: 127.0.0.1, port: %d, path: /readyz}}
`

// A container whose port somebody else still has answers once it is free.
func TestProbeOfATakenPort(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := held.Addr().(*net.TCPAddr)
	f, err := Start(t.TempDir(), "node")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(f.Manifests, "web.yaml"), fmt.Appendf(nil, manifest, address.Port), 0o600))
	await(t, "the container to start", func() bool { return f.Starts() > 0 })
	must(t, held.Close())
	await(t, "the probe to be answered", func() bool {
		answer, err := http.Get("http://" + address.String() + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	must(t, f.Reset(Behaviour{Down: true}))
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
