package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"runbook/engine"
	"runbook/engine/host"
)

// mainContext is the context of a process that isn't a test.
var mainContext = context.Background()

func TestMain(m *testing.M) {
	if endingReader(os.Args[1:]) || ChildMain(os.Args[1:]) || killMain(os.Args[1:]) {
		return
	}
	searchRoots = nil // what other tests leave is not to be found
	os.Exit(m.Run())
}

// server is a real etcd in this process, on a Unix socket.
type server struct {
	t        testing.TB
	etcd     *embed.Etcd
	client   *clientv3.Client
	endpoint string
}

const testPeerURL = "http://localhost:2380" // advertised, never listened on

// start runs etcd on dir. It fails the test if etcd isn't ready in time.
func start(t testing.TB, dir, name, walDir string) *server {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name, cfg.WalDir = dir, name, walDir
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{filepath.Join(t.TempDir(), "log")}
	sockets, err := os.MkdirTemp("", "etcd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	client := url.URL{Scheme: "unix", Path: filepath.Join(sockets, "c")}
	cfg.ListenClientUrls = []url.URL{client}
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(sockets, "p")}}
	cfg.AdvertiseClientUrls = []url.URL{client}
	peer, _ := url.Parse(testPeerURL)
	cfg.AdvertisePeerUrls = []url.URL{*peer}
	cfg.InitialCluster = name + "=" + testPeerURL
	cfg.UnsafeNoFsync = true
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, etcd: e, endpoint: client.String()}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatal("etcd isn't ready after 20 s")
	}
	if s.client, err = clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint}, DialTimeout: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	if s.etcd == nil {
		return
	}
	s.client.Close()
	s.etcd.Close()
	s.etcd = nil
}

func (s *server) put(from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		if _, err := s.client.Put(s.t.Context(), fmt.Sprintf("/k/%04d", i), fmt.Sprintf("value %d", i)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// fixture is a stopped member with 30 keys and a snapshot of its first 20.
type fixture struct {
	dir, data, snapshot string
}

func newFixture(t testing.TB) fixture {
	t.Helper()
	dir := t.TempDir()
	f := fixture{dir: dir, data: filepath.Join(dir, "etcd"), snapshot: filepath.Join(dir, "backup.db")}
	s := start(t, f.data, "m1", "")
	s.put(0, 20)
	if _, err := s.client.Delete(t.Context(), "/k/0003"); err != nil {
		t.Fatal(err)
	}
	s.put(5, 6) // a second version
	if _, err := call(t, "etcd_snapshot_save", attrs{"endpoints": []string{s.endpoint}, "path": f.snapshot}); err != nil {
		t.Fatal(err)
	}
	s.put(20, 30)
	s.stop()
	return f
}

type attrs map[string]any

// testHost works with this package's actions alone.
var testHost = host.NewLocal(&engine.Registry{Actions: Actions(), Data: Data()})

func config(t testing.TB, spec []engine.Attribute, a attrs) json.RawMessage {
	t.Helper()
	vals := map[string]cty.Value{}
	for _, s := range spec {
		v, ok := a[s.Name]
		switch {
		case ok:
			res, err := engine.ResultValue([]engine.Attribute{{Name: s.Name, Type: s.Type}}, engine.Result{s.Name: v}, false)
			if err != nil {
				t.Fatal(err)
			}
			vals[s.Name] = res.GetAttr(s.Name)
		case s.Default != cty.NilVal:
			vals[s.Name] = s.Default
		default:
			vals[s.Name] = cty.NullVal(s.Type.WithoutOptionalAttributesDeep())
		}
	}
	v, err := convert.Convert(cty.ObjectVal(vals), engine.ObjectType(spec))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := engine.EncodeConfig(spec, v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var testRun = engine.RunInfo{ID: "run1", Runbook: "test", Step: "s"}

func request(t testing.TB, action string, a attrs) engine.StepRequest {
	t.Helper()
	reg := engine.Registry{Actions: Actions()}
	spec, ok := reg.Action(action)
	if !ok {
		t.Fatalf("no action %s", action)
	}
	return engine.StepRequest{Run: testRun, Action: action, Config: config(t, spec.Attributes, a)}
}

// call plans and applies a step.
func call(t testing.TB, action string, a attrs) (engine.Result, error) {
	t.Helper()
	req := request(t, action, a)
	c, err := testHost.Plan(t.Context(), req)
	if err != nil {
		return nil, err
	}
	return testHost.Apply(t.Context(), req, c, quiet{})
}

func read(t testing.TB, source string, a attrs) (engine.Result, error) {
	t.Helper()
	reg := engine.Registry{Data: Data()}
	spec, ok := reg.DataSource(source)
	if !ok {
		t.Fatalf("no data source %s", source)
	}
	res, err := testHost.Read(context.Background(), engine.DataRequest{Run: testRun, Type: source, Config: config(t, spec.Attributes, a)})
	if err == nil {
		if _, err := engine.ResultValue(spec.Results, res, false); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	return res, err
}

type quiet struct{}

func (quiet) Progress(engine.Progress) {}
