package staticpod

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"runbook/test/fakecri"
)

// A pod that crashes is given up once it has failed as often as it may, with the
// line that tells why and not with what comes behind it.
func TestGivesUpWhatFails(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Crashes: "name: etcd", CrashTimes: 1000, Says: `{"level":"info","msg":"starting"}
{"level":"fatal","msg":"discovery failed","error":"no such member"}
goroutine 1 [running]:
a stack
of
many
more
lines
`}, nil)
	s.putAside(t, "etcd")
	a := s.start("etcd")
	a.Failures, a.Timeout = 3, 300
	_, err := a.Apply(t.Context(), plan(t, a), new(listener))
	if err == nil || !strings.Contains(err.Error(), `container etcd has ended with 1; it last said:`+"\n"+`{"level":"fatal","msg":"discovery failed","error":"no such member"}`) ||
		strings.Contains(err.Error(), "stack") {
		t.Errorf("got %v", err)
	}
}

// One that fails less often is waited for.
func TestWaitsForWhatRecovers(t *testing.T) {
	for _, most := range []int64{0, 1000} {
		s := newScene(t, fakecri.Behaviour{Crashes: "name: etcd", CrashTimes: 4}, nil)
		s.putAside(t, "etcd")
		a := s.start("etcd")
		a.Failures = most
		_, err := a.Apply(t.Context(), plan(t, a), new(listener))
		must(t, err)
		if n := s.Starts(); n != 5 {
			t.Errorf("it was started %d times", n)
		}
	}
}

// What has crashed before the wait is no failure of what is waited for, however
// long kubelet lets it be.
func TestFailuresOfBefore(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Crashes: "name: etcd"}, map[string]string{"etcd": ""})
	must(t, s.Reset(fakecri.Behaviour{Crashes: "name: etcd"}))
	for t.Context().Err() == nil && s.Starts() == 0 {
	}
	must(t, s.Behave(fakecri.Behaviour{Hangs: true}))
	must(t, copyFile(s.Manifests+"/etcd.yaml", s.dir+"/kept"))
	a := s.start("etcd")
	a.Failures, a.Timeout = 1, 1
	_, err := a.Apply(t.Context(), plan(t, a), new(listener))
	if err == nil || !strings.Contains(err.Error(), "it has not come to that within 1s") {
		t.Errorf("got %v", err)
	}
}

// Manifests that are only put in place need no kubelet; once it runs, all pods
// start, and the step that is left waits for them.
func TestPutInPlace(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Down: true}, nil)
	s.putAside(t, "etcd", "kube-apiserver")
	a := s.start("kube-apiserver", "etcd")
	if _, err := a.Plan(t.Context(), world{}); err == nil || !strings.Contains(err.Error(), "nothing else starts static pods") {
		t.Errorf("got %v", err)
	}
	a.Wait = false
	got, err := a.Apply(t.Context(), plan(t, a), new(listener))
	must(t, err)
	again := plan(t, a)
	if !again.Empty() || len(again.Checks) > 0 || !reflect.DeepEqual(again.Results["stopped"], got["stopped"]) {
		t.Errorf("planned again it is %+v", again)
	}
	must(t, s.Behave(fakecri.Behaviour{}))
	a.Wait = true
	_, err = a.Apply(t.Context(), plan(t, a), new(listener))
	must(t, err)
	if n := s.Starts(); n != 2 {
		t.Errorf("%d containers were started", n)
	}
}

// What the runtime stops without kubelet, kubelet starts again where it was.
func TestSandboxIsUsedAgain(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Down: true}, map[string]string{"etcd": ""})
	stop := s.stop("etcd")
	stop.Keep = true
	got, err := stop.Apply(t.Context(), plan(t, stop), new(listener))
	must(t, err)
	if left := s.Running(); left != "" || len(got["stopped"].([]map[string]any)) != 1 {
		t.Errorf("it stopped %v, and there is\n%s", got["stopped"], left)
	}
	if again := plan(t, stop); !again.Empty() {
		t.Errorf("planned again it is %+v", again.Items)
	}
	a := s.start("etcd")
	a.Wait = false
	_, err = a.Apply(t.Context(), plan(t, a), new(listener))
	must(t, err)
	must(t, s.Behave(fakecri.Behaviour{}))
	a.Wait = true
	_, err = a.Apply(t.Context(), plan(t, a), new(listener))
	must(t, err)
	wait, err := newWaiter(kubelet{Socket: s.Socket}, 0, 0, nil)
	must(t, err)
	defer wait.close()
	all, err := wait.sandboxes(t.Context())
	must(t, err)
	if len(all) != 1 || len(all[0].containers) != 2 {
		t.Errorf("there is %+v", all)
	}
}

// A server that is starting takes a request that it never comes to. Asked again it
// answers, however long its probe would have it.
func TestReadyAfterARequestThatHung(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	s := newScene(t, fakecri.Behaviour{}, nil)
	probe := fmt.Sprintf("startupProbe: {timeoutSeconds: 3600, httpGet: {host: 127.0.0.1, port: %d}}", server.Listener.Addr().(*net.TCPAddr).Port)
	must(t, os.WriteFile(s.Manifests+"/kube-apiserver.yaml", fmt.Appendf(nil, text, "kube-apiserver", probe), 0o600))
	a := s.start("kube-apiserver")
	_, err := a.Apply(t.Context(), plan(t, a), new(listener))
	must(t, err)
}

// An etcd that serves nobody is stopped together with its API server.
func TestTogether(t *testing.T) {
	s := newScene(t, fakecri.Behaviour{Hangs: true}, map[string]string{"etcd": "", "kube-apiserver": ""})
	a := s.stop("kube-apiserver", "etcd")
	a.Together = true
	var heard listener
	_, err := a.Apply(t.Context(), plan(t, a), &heard)
	must(t, err)
	if said := strings.Join(heard.said, "\n"); !strings.Contains(said, "waiting until kube-apiserver and etcd are gone") || strings.Contains(said, "until etcd is gone") {
		t.Errorf("it said %s", said)
	}
}
