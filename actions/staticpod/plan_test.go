package staticpod

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"runbook/test/fakecri"
)

// An API server that hangs doesn't hold up a plan, and isn't asked at all where
// nothing depends on its answer.
func TestPlanBesideAHangingPod(t *testing.T) {
	asked := make(chan string, 100)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		<-r.Context().Done()
	}))
	defer hangs.Close()
	port := hangs.Listener.Addr().(*net.TCPAddr).Port
	probe := fmt.Sprintf("startupProbe: {timeoutSeconds: 3600, httpGet: {host: 127.0.0.1, port: %d, path: /livez}}", port)
	for _, tt := range []struct {
		behaviour fakecri.Behaviour
		note      string
		asked     int
	}{
		{fakecri.Behaviour{}, "pod kube-apiserver: running, but container kube-apiserver runs and is not ready: ", 1},
		{fakecri.Behaviour{Down: true}, "pod kube-apiserver: running", 0},
	} {
		s := newScene(t, tt.behaviour, map[string]string{"kube-apiserver": probe})
		c := plan(t, s.stop("kube-apiserver"))
		if note := c.Items[1].Note; !strings.HasPrefix(note, tt.note) || len(asked) != tt.asked {
			t.Errorf("got %q, and it was asked %d times", note, len(asked))
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}
